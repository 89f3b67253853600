-- Counts a merged page of $3 records and notes where the next one of job $4
-- begins ($5). The last page ends the load.
INSERT INTO hcbridge.object AS o (schema, object, loaded, load_job, load_locator, loaded_at)
VALUES (
    $1, $2, $3::bigint,
    CASE WHEN $6::boolean THEN NULL ELSE nullif($4::text, '') END,
    CASE WHEN $6::boolean THEN NULL ELSE nullif($5::text, '') END,
    CASE WHEN $6::boolean THEN now() END
)
ON CONFLICT (schema, object) DO UPDATE
SET loaded = o.loaded + excluded.loaded,
    load_job = excluded.load_job,
    load_locator = excluded.load_locator,
    loaded_at = coalesce(excluded.loaded_at, o.loaded_at)
