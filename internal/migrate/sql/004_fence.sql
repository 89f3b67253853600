-- Only the holder of a lease may write. What it writes it begins with
-- hcbridge.fence, and whoever takes the lease over waits for what has begun.

-- The advisory lock that stands for the lease on a schema: shared by the holder's
-- transactions, taken alone by who takes over.
CREATE FUNCTION hcbridge.lease_key(name text) RETURNS bigint
    LANGUAGE sql IMMUTABLE PARALLEL SAFE
    AS $$ SELECT hashtextextended('hcbridge.lease ' || name, 0) $$;

-- Refuses the transaction unless the lease on schema name is still of epoch held,
-- and will be until the transaction ends. The statement after the lock sees what
-- was committed before it, so whoever had the lock meanwhile is seen; it is not
-- waited for, since who wants it alone is about to take over. An advisory lock
-- and no row lock: that would be written to disk, with every change, and keep the
-- holder itself from renewing.
CREATE FUNCTION hcbridge.fence(name text, held bigint) RETURNS void
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF NOT pg_try_advisory_xact_lock_shared(hcbridge.lease_key(name))
            OR NOT EXISTS (SELECT FROM hcbridge.lease AS l WHERE l.schema = name AND l.epoch = held)
        THEN
            RAISE EXCEPTION 'fenced: another process works on schema % now', name USING ERRCODE = '57X01';
        END IF;
    END
    $$;
