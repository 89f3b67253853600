-- Answers whether a table ($1, a regclass as text) is there that holds records, and
-- no bridge has yet mapped object $3 of schema $2 to it.
SELECT to_regclass($1) IS NOT NULL
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'sfid')
    AND EXISTS (SELECT FROM pg_attribute WHERE attrelid = to_regclass($1) AND attname = 'systemmodstamp' AND atttypid = 'timestamp'::regtype)
    AND NOT EXISTS (SELECT FROM hcbridge.object WHERE schema = $2 AND lower(object) = lower($3) AND (fields IS NOT NULL OR load_started IS NOT NULL))
