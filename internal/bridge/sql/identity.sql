-- Notes on first use which cluster ($2, NULL where it may not be asked) and which
-- database schema $1 is in. If it is in another now, nothing may be sent: this may
-- be a copy. Answers why nothing may be sent, and the epoch.
WITH db AS (
    SELECT oid::bigint AS oid FROM pg_database WHERE datname = current_database()
)
UPDATE hcbridge.instance AS i
SET system_identifier = COALESCE(i.system_identifier, $2::text),
    database_oid = COALESCE(i.database_oid, db.oid),
    unsafe = CASE
        WHEN i.unsafe IS NOT NULL THEN i.unsafe
        WHEN i.system_identifier <> $2::text THEN 'the rows of this schema come from another Postgres cluster: this is a copy, or it was moved or upgraded'
        WHEN i.database_oid <> db.oid THEN 'the rows of this schema come from another database: this is a copy, or it was restored or moved'
    END
FROM db
WHERE i.schema = $1
RETURNING COALESCE(i.unsafe, ''), i.epoch
