-- Writes a whole state that the same transaction has read under its lock.
UPDATE hcbridge.object
SET state = nullif($3, ''),
    message = nullif($4, ''),
    loaded = $5,
    to_load = $6,
    load_job = nullif($7, ''),
    load_locator = nullif($8, ''),
    load_started = $9,
    loaded_at = $10,
    poll_mark = $11,
    deleted_mark = $12,
    last_poll_at = $13,
    last_event_at = $14,
    last_write_at = $15
WHERE schema = $1 AND object = $2
