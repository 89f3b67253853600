-- Ends the gap of object $2: its channel is subscribed again, or it is polled
-- from now on. The next poll that begins later and ends well closes it.
UPDATE hcbridge.gap SET to_at = clock_timestamp()
WHERE schema = $1 AND object = $2 AND closed_at IS NULL AND to_at IS NULL
