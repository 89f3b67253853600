-- Has schema $1 paused or not, and answers whether it was. Durable: a restart does
-- not end a pause.
UPDATE hcbridge.instance AS i SET paused = $2
FROM (SELECT schema, paused FROM hcbridge.instance WHERE schema = $1 FOR UPDATE) AS was
WHERE i.schema = was.schema
RETURNING was.paused
