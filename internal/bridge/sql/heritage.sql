-- What waits in a trigger log ({log}, {archive}) that somebody else has kept: unsent
-- entries, those that were being sent, those that failed; how old the newest is that
-- was sent; and whether ids are narrow, and how far they have come.
SELECT count(*) FILTER (WHERE state = 'NEW'), count(*) FILTER (WHERE state = 'PENDING'), count(*) FILTER (WHERE state = 'FAILED'),
    EXTRACT(epoch FROM clock_timestamp() - GREATEST(
        max(processed_at), max(updated_at) FILTER (WHERE state = 'PENDING'),
        (SELECT max(processed_at) FROM (SELECT processed_at FROM {archive} ORDER BY created_at DESC LIMIT 1000) AS a)))::float8,
    EXISTS (SELECT FROM pg_attribute WHERE attrelid IN ('{log}'::regclass, '{archive}'::regclass) AND attname = 'id' AND atttypid = 'int4'::regtype),
    COALESCE(pg_sequence_last_value(pg_get_serial_sequence('{log}', 'id')::regclass), 0)
FROM {log}
