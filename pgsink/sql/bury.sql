-- Remembers deleted records ($3) of object $2, those that are remembered as long
-- as they are. That Salesforce did not show them is explained then.
WITH noted AS (
    DELETE FROM hcbridge.invisible
    WHERE schema = $1 AND object = $2 AND sfid = ANY ($3::text[])
)
INSERT INTO hcbridge.gone (schema, object, sfid)
SELECT $1, $2, u.sfid FROM unnest($3::text[]) AS u (sfid)
ORDER BY u.sfid
ON CONFLICT DO NOTHING
