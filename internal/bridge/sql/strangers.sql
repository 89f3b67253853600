-- The tables of schema $1 with records that are not among those that are mapped
-- ($2), and how many entries of {log} wait for each.
SELECT c.relname::text, (SELECT count(*) FROM {log} AS l WHERE l.table_name = c.relname AND l.state IN ('NEW', 'PENDING'))
FROM pg_class AS c
WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p') AND c.relname <> ALL ($2)
    AND EXISTS (SELECT FROM pg_trigger AS t WHERE t.tgrelid = c.oid AND t.tgname = left('hc_' || c.relname || '_logtrigger', 63))
ORDER BY 1
