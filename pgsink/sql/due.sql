-- The marks of object $2 whose time has come, at most $3, the longest due
-- first. Nothing is claimed: the seq tells at the end whether the read counts.
SELECT sfid, reason, seq, attempts, deleted_at
FROM hcbridge.mark
WHERE schema = $1 AND object = $2 AND due_at <= now()
ORDER BY due_at, sfid
LIMIT $3
