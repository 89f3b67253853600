-- Closes the gaps of object $2 that were open when a poll began at $3: it has
-- looked for all that happened until then.
UPDATE hcbridge.gap SET closed_at = clock_timestamp()
WHERE schema = $1 AND object = $2 AND closed_at IS NULL AND to_at < $3
