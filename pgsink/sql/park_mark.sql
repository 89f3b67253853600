-- Has a parked record read again, after $5 seconds and then ever less often, up
-- to once an hour.
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
VALUES ($1, $2, $3, $4, now() + $5::double precision * interval '1 second')
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    reason = CASE WHEN k.reason IN ('gone', 'removed') THEN 'gone' ELSE excluded.reason END, -- as Mark does
    due_at = now() + least($5::double precision * interval '1 second' * 2 ^ least(k.attempts + 1, 12), interval '1 hour'),
    attempts = k.attempts + 1
