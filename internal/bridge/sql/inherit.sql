-- Takes the rows of object $2 of schema $1, which somebody else has kept in step up
-- to stamp $3, for loaded: the next poll begins at that stamp, deletes are looked
-- for from three days before it, and all records are compared with all rows. Where
-- columns were added ($4) all records are read once more, to fill them.
UPDATE hcbridge.object
SET loaded_at = clock_timestamp(), load_started = $3, poll_mark = $3, late_mark = $3, drift_mark = $3,
    deleted_mark = $3::timestamptz - interval '3 days', full_wanted = true,
    reload_requested_at = CASE WHEN $4 THEN clock_timestamp() END
WHERE schema = $1 AND object = $2
