-- Remembers deleted records ($3) of object $2, those that are remembered as long
-- as they are.
INSERT INTO hcbridge.gone (schema, object, sfid)
SELECT $1, $2, u.sfid FROM unnest($3::text[]) AS u (sfid)
ORDER BY u.sfid
ON CONFLICT DO NOTHING
