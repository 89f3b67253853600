-- Ends the load of object $2 that served the request of $3, unless there is a
-- newer request. Polls begin once more where they were before it: a page may
-- have brought back a record that was deleted after the page was made. And
-- everything is compared, because a load never tells which records are gone.
UPDATE hcbridge.object
SET poll_mark = LEAST(poll_mark, load_started, reload_since),
    deleted_mark = LEAST(deleted_mark, load_started, reload_since),
    full_wanted = true,
    reload_requested_at = NULL,
    reload_began_at = NULL,
    reload_since = NULL
WHERE schema = $1 AND object = $2 AND reload_requested_at = $3
