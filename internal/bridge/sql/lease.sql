-- Takes the lease on schema $1 for holder $2 until $3 from now, and answers its
-- epoch; no row means that another process holds it. Two bridges on one schema
-- would keep two streams and send writes twice, so only the holder works. Only the
-- database's clock counts. The epoch grows each time, and what is of an older one
-- is refused: see hcbridge.fence, whose lock is held meanwhile.
INSERT INTO hcbridge.lease AS l (schema, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3::interval)
ON CONFLICT (schema) DO UPDATE
SET holder = excluded.holder,
    epoch = l.epoch + 1,
    expires_at = excluded.expires_at
WHERE l.holder = excluded.holder
    OR l.expires_at < clock_timestamp()
RETURNING epoch
