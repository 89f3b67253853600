-- Removes old conflicts of schema $1: as long as the archive of the trigger log
-- is kept, so is what it cannot tell.
DELETE FROM hcbridge.conflict WHERE schema = $1 AND at < now() - interval '31 days'
