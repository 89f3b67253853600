-- The triggers of schema $1 that are ours, or Heroku Connect's of the same
-- names, which Postgres has cut to 63 bytes: table, trigger, function, our mark, and whether somebody disabled it.
SELECT c.relname::text, t.tgname::text, p.proname::text,
    COALESCE(pg_catalog.obj_description(t.oid, 'pg_trigger'), ''), t.tgenabled = 'D'
FROM pg_catalog.pg_trigger AS t
JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
WHERE n.nspname = $1
    AND NOT t.tgisinternal
    AND (pg_catalog.obj_description(t.oid, 'pg_trigger') LIKE 'hcbridge %'
        OR t.tgname = 'tlog_insert_trigger'
        OR t.tgname = pg_catalog.left('hc_' || c.relname || '_status_trigger', 63)
        OR t.tgname = pg_catalog.left('hc_' || c.relname || '_logtrigger', 63)
        OR t.tgname LIKE 'hc\_%\_status\_trigger'
        OR t.tgname LIKE 'hc\_%\_logtrigger'
        OR t.tgname LIKE 'hc\_%\_logtrigger\_insert'
        OR t.tgname LIKE 'hc\_%\_logtrigger\_delete'
        OR t.tgname LIKE 'hc\_%\_truncate\_trigger');
