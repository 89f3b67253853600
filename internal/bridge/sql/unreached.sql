-- The owner of {table} if we may not alter it, about how many rows it has, and how
-- many of them have no record and nothing in {log} that would make one.
SELECT CASE WHEN NOT pg_has_role(c.relowner, 'USAGE') THEN pg_get_userbyid(c.relowner)::text ELSE '' END,
    (SELECT count(*) FROM {table}),
    (SELECT count(*) FROM {table} AS t WHERE t.sfid IS NULL AND NOT EXISTS (
        SELECT FROM {log} AS l WHERE l.table_name = c.relname AND l.record_id = t.id AND l.state IN ('NEW', 'PENDING', 'FAILED')))
FROM pg_class AS c WHERE c.oid = '{table}'::regclass
