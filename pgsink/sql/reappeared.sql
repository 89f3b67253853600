-- Marks those of the records ($3 ids of object $2) that were noted as invisible,
-- and takes the note back. What changed while they could not be read may bear the
-- stamp that the row has, and nothing else would tell.
WITH back AS (
    DELETE FROM hcbridge.invisible
    WHERE schema = $1 AND object = $2 AND sfid = ANY ($3::text[])
    RETURNING sfid
)
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason)
SELECT $1, $2, back.sfid, 'reappeared' FROM back ORDER BY back.sfid
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    reason = CASE WHEN k.reason IN ('gone', 'removed') THEN 'gone' ELSE excluded.reason END,
    due_at = now(),
    attempts = 0
