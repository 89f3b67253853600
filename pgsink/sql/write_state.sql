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
    late_mark = $12,
    drift_mark = $13,
    full_mark = $14,
    covered_mark = $15,
    deleted_mark = $16,
    last_poll_at = $17,
    last_event_at = $18,
    last_write_at = $19,
    full_wanted = $20
WHERE schema = $1 AND object = $2
