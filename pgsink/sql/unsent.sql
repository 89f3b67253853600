-- Those of the records $1 whose rows have an unsent change. Counted, and not EXISTS,
-- which Postgres may join, going through the whole table.
SELECT u.sfid
FROM unnest($1::text[]) AS u (sfid)
WHERE (
    SELECT count(*) FROM {log} AS l
    WHERE l.table_name = {table_name} AND l.state IN ('NEW', 'PENDING')
        AND l.record_id = (SELECT t.id FROM {table} AS t WHERE t.sfid = u.sfid)) > 0
