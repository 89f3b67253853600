-- Has records ($3) read again that need what somebody else has locked, ever less often,
-- as the apply statement does.
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
SELECT $1, $2, u.sfid, $4, now() + interval '250 milliseconds'
FROM unnest($3::text[]) AS u (sfid)
ORDER BY u.sfid
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    reason = CASE WHEN k.reason IN ('gone', 'removed') THEN 'gone' ELSE excluded.reason END, -- as Mark does
    due_at = now() + interval '250 milliseconds' * 2 ^ least(k.attempts + 1, 5),
    attempts = k.attempts + 1
