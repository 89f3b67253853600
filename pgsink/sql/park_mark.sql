-- Has a parked record read again, after a minute and then ever less often, up
-- to once an hour.
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at)
VALUES ($1, $2, $3, $4, now() + interval '1 minute')
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    reason = excluded.reason,
    due_at = now() + least(interval '1 minute' * 2 ^ least(k.attempts + 1, 6), interval '1 hour'),
    attempts = k.attempts + 1
