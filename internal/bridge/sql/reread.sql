-- Marks the records of object $2 (table %s) whose row is not older than the
-- last event that was applied from channel $4, or than $3 if that is earlier.
-- Stamps hold whole seconds: a change of which nobody told may bear the stamp
-- of one that was read, and then no poll tells them apart. Five seconds are for
-- events that were made later than the stamp.
--
-- Those may be the rows of days, so it is done in pages: of the $6 first ids after $5.
-- It answers the last of them, null where none is left.
WITH page AS (
    SELECT t.sfid
    FROM %s AS t
    WHERE t.sfid > $5
        AND t.systemmodstamp >= (least($3::timestamptz, (
            SELECT event_at FROM hcbridge.position WHERE schema = $1 AND channel = $4
        )) - interval '5 seconds') AT TIME ZONE 'UTC'
    ORDER BY t.sfid
    LIMIT $6
), marked AS (
    INSERT INTO hcbridge.mark (schema, object, sfid, reason)
    SELECT $1, $2, sfid, 'events missed' FROM page
    ON CONFLICT (schema, object, sfid) DO UPDATE
    SET seq = nextval('hcbridge.mark_seq'), due_at = now()
)
SELECT max(sfid) FROM page
