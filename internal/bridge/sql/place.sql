-- Answers why nothing may be sent from schema $1, '' if it may, and its epoch. It is in
-- another cluster ($2, NULL where that may not be asked), another database or another
-- place than it was: this may be a copy. Its place is the address $3, on timeline $4,
-- NULL where the server does not tell.
--
-- A copy of the server's files is at another address and was started for itself. A
-- server that is only reached another way has not been started since, and one that
-- took over as a standby has a later timeline.
SELECT COALESCE(CASE
        WHEN i.unsafe IS NOT NULL THEN i.unsafe
        WHEN i.system_identifier <> $2::text THEN 'the rows of this schema come from another Postgres cluster: this is a copy, or it was moved or upgraded'
        WHEN i.database_oid <> db.oid THEN 'the rows of this schema come from another database: this is a copy, or it was restored or moved'
        WHEN i.address <> $3::text AND i.started <> db.started AND COALESCE($4::text <= i.timeline COLLATE "C", true)
            THEN 'the rows of this schema come from the server at ' || i.address || ', and this one is at ' || $3::text || ': this is a copy of its files, or it was moved'
    END, '') AS unsafe, i.epoch
FROM hcbridge.instance AS i, (
    SELECT oid::bigint AS oid, pg_postmaster_start_time() AS started FROM pg_database WHERE datname = current_database()) AS db
WHERE i.schema = $1
