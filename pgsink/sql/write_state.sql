-- Writes a whole state that the same transaction has read under its lock.
UPDATE hcbridge.object
SET state = nullif($3, ''),
    message = nullif($4, ''),
    loaded = $5,
    to_load = $6,
    load_job = nullif($7, ''),
    load_locator = nullif($8, ''),
    load_done = $9,
    load_started = $10,
    loaded_at = $11,
    poll_mark = $12,
    late_mark = $13,
    drift_mark = $14,
    full_mark = $15,
    covered_mark = $16,
    deleted_mark = $17,
    last_poll_at = $18,
    last_event_at = $19,
    last_write_at = $20,
    full_wanted = $21
WHERE schema = $1 AND object = $2
