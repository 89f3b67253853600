-- The columns of table $1 (an oid), in order, with their types spelled as in
-- CREATE TABLE.
SELECT a.attname,
    format_type(a.atttypid, a.atttypmod),
    a.attnotnull,
    a.atthasdef OR a.attidentity <> '',
    a.attgenerated <> '' OR a.attidentity = 'a'
FROM pg_attribute AS a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
