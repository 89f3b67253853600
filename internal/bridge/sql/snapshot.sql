-- Leaves status $2 of the bridge at work on schema $1 for commands that run
-- beside it, also where its HTTP address is off or out of reach.
UPDATE hcbridge.instance SET status = $2::jsonb, status_at = clock_timestamp() WHERE schema = $1
