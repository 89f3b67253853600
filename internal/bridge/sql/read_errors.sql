-- Lists the records that Postgres refused, newest first.
SELECT object, sfid, COALESCE(code, ''), COALESCE(message, ''), at
FROM hcbridge.read_error
WHERE schema = $1
ORDER BY at DESC
LIMIT $2
