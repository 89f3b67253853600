-- Which of the records $3 of a load have a row already or are remembered as
-- deleted (true), or have a mark (false). The others can be copied into the
-- table unseen.
--
-- A first load must not pay for it by looking up each of a million ids. Bulk
-- results mostly come in the order of their ids, so that nothing lies between
-- the first id ($4) and the last one ($5), and one look tells. It needs an
-- index in the order of bytes.
SELECT t.sfid, true
FROM {table} AS t
WHERE t.sfid = ANY ($3::text[])
    AND (
        -- Not EXISTS: for that Postgres would go through the table, because it
        -- expects to find a row soon.
        (SELECT r.sfid FROM {table} AS r WHERE r.sfid >= $4::text ORDER BY r.sfid LIMIT 1) <= $5::text
        OR NOT EXISTS (
            SELECT
            FROM pg_attribute AS a
            JOIN pg_collation AS c ON c.oid = a.attcollation
            WHERE a.attrelid = {name}::regclass AND a.attname = 'sfid' AND c.collcollate IN ('C', 'POSIX')
        )
    )
UNION ALL
SELECT k.sfid, false
FROM hcbridge.mark AS k
WHERE k.schema = $1 AND k.object = $2 AND k.sfid = ANY ($3::text[])
    AND k.reason <> 'parked' -- a refused record has another chance now
    AND EXISTS (SELECT FROM hcbridge.mark AS m WHERE m.schema = $1 AND m.object = $2)
UNION ALL
SELECT g.sfid, true
FROM hcbridge.gone AS g
WHERE g.schema = $1 AND g.object = $2 AND g.sfid = ANY ($3::text[])
    AND EXISTS (SELECT FROM hcbridge.gone AS h WHERE h.schema = $1 AND h.object = $2)
