-- What captures changes in schema $1: the name of each trigger and function,
-- and a hash of its definition. What is switched off is named with "off".
WITH trig AS (
    SELECT c.relname, t.*, p.prosrc, p.prosecdef, p.proconfig
    FROM pg_catalog.pg_trigger AS t
    JOIN pg_catalog.pg_class AS c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc AS p ON p.oid = t.tgfoid
    WHERE n.nspname = $1 AND NOT t.tgisinternal
        AND pg_catalog.obj_description(t.oid, 'pg_trigger') LIKE 'hcbridge %'
)
SELECT 'trigger ' || tgname || ' of ' || relname,
    pg_catalog.md5(pg_catalog.pg_get_triggerdef(oid) || prosrc || prosecdef || COALESCE(proconfig::text, ''))
FROM trig
UNION ALL
SELECT 'off trigger ' || tgname || ' of ' || relname || ' is ' || CASE tgenabled WHEN 'R' THEN 'left to replication' ELSE 'disabled' END, ''
FROM trig WHERE tgenabled IN ('D', 'R')
UNION ALL
SELECT 'function ' || n.nspname || '.' || p.proname, pg_catalog.md5(p.prosrc || p.prosecdef || COALESCE(p.proconfig::text, ''))
FROM pg_catalog.pg_proc AS p
JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
WHERE n.nspname = $1 AND p.proname IN ('hc_capture_insert_from_row', 'hc_capture_update_from_row')
    OR p.proname = 'get_xmlbinary' AND n.nspname IN ($1, 'public') AND pg_catalog.obj_description(p.oid, 'pg_proc') = 'hcbridge'
UNION ALL
-- What sessions begin with, as far as ours can tell.
SELECT 'off setting ' || name || ' is ' || reset_val, ''
FROM pg_catalog.pg_settings
WHERE name = 'session_replication_role' AND reset_val = 'replica' OR name = 'xmlbinary' AND reset_val = 'hex';
