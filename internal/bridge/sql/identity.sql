-- Notes where schema $1 is, unless nothing may be sent from it, and why that is, as
-- place.sql finds it with the same parameters. Answers the same.
WITH found AS (
{place}FOR UPDATE OF i
)
UPDATE hcbridge.instance AS i
SET system_identifier = COALESCE(i.system_identifier, $2::text),
    database_oid = COALESCE(i.database_oid, db.oid),
    unsafe = NULLIF(found.unsafe, ''),
    address = CASE WHEN found.unsafe = '' THEN $3::text ELSE i.address END,
    started = CASE WHEN found.unsafe = '' THEN db.started ELSE i.started END,
    timeline = CASE WHEN found.unsafe = '' THEN $4::text ELSE i.timeline END
FROM found, (
    SELECT oid::bigint AS oid, pg_postmaster_start_time() AS started FROM pg_database WHERE datname = current_database()) AS db
WHERE i.schema = $1
RETURNING COALESCE(i.unsafe, ''), i.epoch
