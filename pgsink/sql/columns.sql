-- The columns of table $1 (an oid), in order, with their types and
-- collations spelled as in CREATE TABLE.
SELECT a.attname,
    format_type(a.atttypid, a.atttypmod),
    a.attnotnull,
    a.atthasdef OR a.attidentity <> '',
    a.attgenerated <> '' OR a.attidentity = 'a',
    COALESCE((SELECT format('%I.%I', n.nspname, c.collname) FROM pg_collation AS c JOIN pg_namespace AS n ON n.oid = c.collnamespace WHERE c.oid = a.attcollation), '')
FROM pg_attribute AS a
WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum
