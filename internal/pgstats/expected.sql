-- How many rows of the table $1 the planner expects, as estimate_rel_size does it: what
-- the last VACUUM or ANALYZE counted to a page, times the pages there are now. Without
-- such a count it goes by the width of a row and the pages of the moment: NULL.
SELECT CASE WHEN relpages > 0 AND reltuples >= 0 THEN
    reltuples::float8 / relpages * (pg_catalog.pg_relation_size(oid) / pg_catalog.current_setting('block_size')::bigint)
END
FROM pg_catalog.pg_class WHERE oid = $1::regclass
