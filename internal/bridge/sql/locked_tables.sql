-- The tables of schema $1 that somebody keeps from being read or written, by a lock or by
-- waiting for one, for longer than a moment.
SELECT DISTINCT c.relname::text
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'relation'
    AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
    AND l.mode IN ('ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
    AND n.nspname = $1
    AND l.pid IS DISTINCT FROM pg_backend_pid()
    AND COALESCE(a.xact_start < clock_timestamp() - interval '250 milliseconds', true)
