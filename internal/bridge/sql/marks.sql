-- Answers per object how many milliseconds the oldest record that is known to
-- be stale has been due: the lag of what must be read back.
SELECT object, (extract(epoch FROM clock_timestamp() - min(due_at)) * 1000)::bigint
FROM hcbridge.mark
WHERE schema = $1 AND due_at < clock_timestamp() AND reason <> 'again'
GROUP BY object
