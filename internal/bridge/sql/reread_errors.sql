-- Marks the records of object $2 that Postgres refused: its columns hold more
-- than before.
INSERT INTO hcbridge.mark (schema, object, sfid, reason)
SELECT schema, object, sfid, 'column widened'
FROM hcbridge.read_error
WHERE schema = $1 AND object = $2
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'), due_at = now()
