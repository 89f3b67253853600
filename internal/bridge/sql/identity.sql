-- Notes which cluster ($2, NULL where it may not be asked) and which database schema
-- $1 is in, and where that is: at address $3, on timeline $4, NULL where the server
-- does not tell. If it is in another now, nothing may be sent: this may be a copy.
-- Answers why nothing may be sent, and the epoch.
--
-- A copy of the server's files is at another address and was started for itself. A
-- server that is only reached another way has not been started since, and one that
-- took over as a standby has a later timeline.
WITH db AS (
    SELECT oid::bigint AS oid, pg_postmaster_start_time() AS started FROM pg_database WHERE datname = current_database()
), found AS (
    SELECT CASE
        WHEN i.unsafe IS NOT NULL THEN i.unsafe
        WHEN i.system_identifier <> $2::text THEN 'the rows of this schema come from another Postgres cluster: this is a copy, or it was moved or upgraded'
        WHEN i.database_oid <> db.oid THEN 'the rows of this schema come from another database: this is a copy, or it was restored or moved'
        WHEN i.address <> $3::text AND i.started <> db.started AND COALESCE($4::text <= i.timeline COLLATE "C", true)
            THEN 'the rows of this schema come from the server at ' || i.address || ', and this one is at ' || $3::text || ': this is a copy of its files, or it was moved'
    END AS unsafe
    FROM hcbridge.instance AS i, db
    WHERE i.schema = $1
    FOR UPDATE OF i
)
UPDATE hcbridge.instance AS i
SET system_identifier = COALESCE(i.system_identifier, $2::text),
    database_oid = COALESCE(i.database_oid, db.oid),
    unsafe = found.unsafe,
    address = CASE WHEN found.unsafe IS NULL THEN $3::text ELSE i.address END,
    started = CASE WHEN found.unsafe IS NULL THEN db.started ELSE i.started END,
    timeline = CASE WHEN found.unsafe IS NULL THEN $4::text ELSE i.timeline END
FROM db, found
WHERE i.schema = $1
RETURNING COALESCE(i.unsafe, ''), i.epoch
