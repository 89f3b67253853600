-- Confirms schema $1 as it is here and now: the next look notes cluster, database
-- and place anew. Answers why nothing was sent.
UPDATE hcbridge.instance AS i
SET unsafe = NULL,
    system_identifier = CASE WHEN was.unsafe IS NULL THEN i.system_identifier END,
    database_oid = CASE WHEN was.unsafe IS NULL THEN i.database_oid END,
    address = CASE WHEN was.unsafe IS NULL THEN i.address END
FROM (SELECT schema, unsafe FROM hcbridge.instance WHERE schema = $1 FOR UPDATE) AS was
WHERE i.schema = was.schema
RETURNING COALESCE(was.unsafe, '')
