-- Has refused records read again at once: those whose ids begin with one of $2,
-- or, if that is NULL, all that were not dismissed.
WITH again AS (
    UPDATE hcbridge.read_error
    SET ignored = false
    WHERE schema = $1 AND CASE WHEN $2::text[] IS NULL THEN NOT ignored ELSE left(sfid, 15) = ANY ($2::text[]) END
    RETURNING object, sfid
)
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
SELECT $1, object, sfid, 'parked', now()
FROM again
ORDER BY object, sfid
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    due_at = now(),
    attempts = 0
