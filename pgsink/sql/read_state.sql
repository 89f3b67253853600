-- The states of the mapped objects of schema $1. The caller may add a condition.
SELECT object, coalesce(state, ''), coalesce(message, ''), loaded, to_load,
    coalesce(load_job, ''), coalesce(load_locator, ''), load_done,
    load_started, loaded_at, poll_mark, late_mark, drift_mark, full_mark,
    covered_mark, deleted_mark, last_poll_at, last_event_at, last_write_at, full_wanted
FROM hcbridge.object
WHERE schema = $1
