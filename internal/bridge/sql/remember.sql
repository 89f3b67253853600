-- Notes that fields $3 of object $2 are mapped and fields $4 frozen. Columns
-- that are new to loaded rows ($5: some were added) are filled by loading once
-- more, beside the changes; a first load that is under way begins anew. Part of
-- the transaction that alters the table, so that no crash forgets it.
WITH had AS (
    SELECT o.*, $5::boolean OR o.fields IS NOT NULL AND NOT $3::text[] <@ o.fields AS news
    FROM hcbridge.object AS o
    WHERE schema = $1 AND object = $2
)
INSERT INTO hcbridge.object AS o (schema, object, fields, frozen)
VALUES ($1, $2, $3, $4)
ON CONFLICT (schema, object) DO UPDATE
SET fields = excluded.fields,
    frozen = excluded.frozen,
    reload_requested_at = CASE
        WHEN (SELECT news FROM had) AND COALESCE(o.loaded_at, o.reload_requested_at) IS NOT NULL THEN clock_timestamp()
        ELSE o.reload_requested_at END,
    load_started = CASE WHEN (SELECT news FROM had) AND o.loaded_at IS NULL THEN NULL ELSE o.load_started END,
    load_job = CASE WHEN (SELECT news FROM had) THEN NULL ELSE o.load_job END,
    load_locator = CASE WHEN (SELECT news FROM had) THEN NULL ELSE o.load_locator END
WHERE (o.fields, o.frozen) IS DISTINCT FROM (excluded.fields, excluded.frozen) OR (SELECT news FROM had)
