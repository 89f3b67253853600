-- Who holds a lock on table $2 of schema $1, '' for any of its tables, for longer than
-- a moment. A transaction that was prepared belongs to no process.
SELECT COALESCE(string_agg(who, ', ' ORDER BY who), '')
FROM (
    SELECT DISTINCT COALESCE('pid ' || l.pid, 'a prepared transaction')
        || COALESCE(' (' || NULLIF(a.application_name, '') || ')', '')
        || COALESCE(' since ' || to_char(a.xact_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS "UTC"'), '') AS who
    FROM pg_catalog.pg_locks AS l
    JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
    WHERE l.locktype = 'relation'
        AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
        AND l.granted
        AND n.nspname = $1
        AND ($2 = '' OR c.relname = $2)
        AND l.pid IS DISTINCT FROM pg_backend_pid()
        AND COALESCE(a.xact_start < clock_timestamp() - interval '1 second', true)
    LIMIT 5
) AS holders
