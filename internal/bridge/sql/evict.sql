-- Ends the sessions that hold up a take-over of schema $1 by $2: transactions of a
-- holder whose lease has run out. Most end by themselves when they are idle too
-- long, but not one that stands still in the middle of a COPY.
SELECT count(*) FILTER (WHERE pg_terminate_backend(k.pid))
FROM pg_locks AS k
WHERE k.locktype = 'advisory' AND k.mode = 'ShareLock' AND k.granted AND k.objsubid = 1
    AND k.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    AND (k.classid::bigint << 32 | k.objid::bigint) = hcbridge.lease_key($1)
    AND EXISTS (SELECT FROM hcbridge.lease AS l WHERE l.schema = $1 AND l.holder <> $2 AND l.expires_at < clock_timestamp())
