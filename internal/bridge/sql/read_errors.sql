-- Lists the records that Postgres refused, newest first, without those that a
-- person has dismissed.
SELECT object, sfid, COALESCE(code, ''), COALESCE(message, ''), at
FROM hcbridge.read_error
WHERE schema = $1 AND NOT ignored
ORDER BY at DESC
LIMIT $2
