-- Notes how far a load has come: $3 records in all, and $6 of the page of job $4
-- that begins at $5.
INSERT INTO hcbridge.object AS o (schema, object, loaded, load_job, load_locator, load_done)
VALUES ($1, $2, $3, nullif($4::text, ''), nullif($5::text, ''), $6)
ON CONFLICT (schema, object) DO UPDATE
SET loaded = excluded.loaded,
    load_job = excluded.load_job,
    load_locator = excluded.load_locator,
    load_done = excluded.load_done
