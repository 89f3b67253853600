-- Leaves status $2 of the bridge at work on schema $1 for commands that run
-- beside it, also where its HTTP address is off or out of reach.
INSERT INTO hcbridge.instance (schema, status, status_at)
VALUES ($1, $2::jsonb, clock_timestamp())
ON CONFLICT (schema) DO UPDATE SET status = excluded.status, status_at = excluded.status_at
