-- Notes that events of object $2 are missing, since the newest one that was
-- applied from channel $3, for reason $4. The next poll that ends well closes
-- it. One that is open already says as much.
INSERT INTO hcbridge.gap (schema, object, from_at, to_at, reason)
SELECT $1, $2, (SELECT event_at FROM hcbridge.position WHERE schema = $1 AND channel = $3), clock_timestamp(), $4
WHERE NOT EXISTS (SELECT FROM hcbridge.gap WHERE schema = $1 AND object = $2 AND closed_at IS NULL)
