-- Marks the records of object $2 (table %s) whose row is not older than the
-- last event that was applied from channel $4, or than $3 if that is earlier.
-- Stamps hold whole seconds: a change of which nobody told may bear the stamp
-- of one that was read, and then no poll tells them apart. Five seconds are for
-- events that were made later than the stamp.
INSERT INTO hcbridge.mark (schema, object, sfid, reason)
SELECT $1, $2, t.sfid, 'events missed'
FROM %s AS t
WHERE t.sfid IS NOT NULL
    AND t.systemmodstamp >= (least($3::timestamptz, (
        SELECT event_at FROM hcbridge.position WHERE schema = $1 AND channel = $4
    )) - interval '5 seconds') AT TIME ZONE 'UTC'
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'), due_at = now()
