-- The usable indexes of table $1 (an oid). Column is set where an index covers
-- exactly one column and all rows, so that it can stand in for ours.
SELECT c.relname,
    CASE WHEN i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL AND m.amname = 'btree'
        THEN a.attname END,
    i.indisunique AND i.indimmediate
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
JOIN pg_am AS m ON m.oid = c.relam
LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
WHERE i.indrelid = $1 AND i.indisvalid
