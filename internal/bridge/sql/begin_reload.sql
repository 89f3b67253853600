-- Takes up the newest request to load object $2 again, and answers it. A load
-- that serves it already goes on where it stopped. Polls go on meanwhile, but
-- the load moves their marks, so the marks of before are kept.
UPDATE hcbridge.object AS o
SET reload_began_at = reload_requested_at,
    reload_since = CASE WHEN again THEN LEAST(o.reload_since, poll_mark, deleted_mark) ELSE o.reload_since END,
    loaded_at = CASE WHEN again THEN NULL ELSE loaded_at END,
    load_started = CASE WHEN again THEN NULL ELSE load_started END,
    load_job = CASE WHEN again THEN NULL ELSE load_job END,
    load_locator = CASE WHEN again THEN NULL ELSE load_locator END,
    load_done = CASE WHEN again THEN 0 ELSE load_done END,
    loaded = CASE WHEN again THEN 0 ELSE loaded END,
    to_load = CASE WHEN again THEN 0 ELSE to_load END
FROM (
    SELECT schema, object, reload_began_at IS DISTINCT FROM reload_requested_at AS again
    FROM hcbridge.object WHERE schema = $1 AND object = $2
) AS q
WHERE o.schema = q.schema AND o.object = q.object AND o.reload_requested_at IS NOT NULL
RETURNING o.reload_requested_at
