-- Notes that events of object $2 are missing, since the newest one that was
-- applied from channel $3, for reason $4. One that is open already begins
-- earlier, and goes on.
WITH again AS (
    UPDATE hcbridge.gap SET to_at = NULL
    WHERE schema = $1 AND object = $2 AND closed_at IS NULL
    RETURNING id
)
INSERT INTO hcbridge.gap (schema, object, from_at, reason)
SELECT $1, $2, (SELECT event_at FROM hcbridge.position WHERE schema = $1 AND channel = $3), $4
WHERE NOT EXISTS (SELECT FROM again)
