-- Takes or renews the lease on schema $1 for holder $2 until $3 from now, and
-- answers its epoch; no row means that another process holds it. Two bridges
-- on one schema would keep two streams and send writes twice, so only the
-- holder works. Only the database's clock counts. The epoch grows with each
-- change of holder.
INSERT INTO hcbridge.lease AS l (schema, holder, epoch, expires_at)
VALUES ($1, $2, 1, clock_timestamp() + $3::interval)
ON CONFLICT (schema) DO UPDATE
SET holder = excluded.holder,
    epoch = l.epoch + CASE WHEN l.holder = excluded.holder THEN 0 ELSE 1 END,
    expires_at = excluded.expires_at
WHERE l.holder = excluded.holder
    OR l.expires_at < clock_timestamp()
RETURNING epoch
