-- How many rows {table} has, where it is large about, and how many of them have no
-- record and nothing in {log} that would make one.
SELECT CASE WHEN pg_relation_size(c.oid) < 100000000 OR c.reltuples <= 0 THEN (SELECT count(*) FROM {table}) ELSE c.reltuples::bigint END,
    (SELECT count(*) FROM {table} AS t WHERE t.sfid IS NULL AND NOT EXISTS (
        SELECT FROM {log} AS l WHERE l.table_name = c.relname AND l.record_id = t.id AND l.state IN ('NEW', 'PENDING', 'FAILED')))
FROM pg_class AS c WHERE c.oid = '{table}'::regclass
