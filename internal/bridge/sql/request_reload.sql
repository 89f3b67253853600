-- Asks for another load of object $2. One that has never been loaded is going
-- to be anyway. No row means that nothing is known of the object.
UPDATE hcbridge.object AS o
SET reload_requested_at = CASE WHEN loaded_at IS NOT NULL OR reload_requested_at IS NOT NULL THEN clock_timestamp() END
WHERE schema = $1 AND lower(object) = lower($2)
RETURNING object, reload_requested_at,
    EXISTS (SELECT FROM hcbridge.lease AS l WHERE l.schema = $1 AND l.expires_at > clock_timestamp())
