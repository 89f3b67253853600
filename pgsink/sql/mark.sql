-- Sets marks ($2 objects, $3 ids, $4 reasons, $5 delays in seconds, $6 when Salesforce
-- deleted them).
--
-- A mark that exists gets a new seq: a read that began before now is too old
-- to answer it. That Salesforce has named the record as deleted is not forgotten:
-- it does so once. What this bridge removed may be back where something else marks it,
-- too.
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at, deleted_at)
SELECT $1, u.object, u.sfid, u.reason, now() + u.delay * interval '1 second', u.deleted_at
FROM unnest($2::text[], $3::text[], $4::text[], $5::double precision[], $6::timestamptz[]) AS u (object, sfid, reason, delay, deleted_at)
ON CONFLICT (schema, object, sfid) DO UPDATE
SET seq = nextval('hcbridge.mark_seq'),
    reason = CASE
        WHEN k.reason = 'gone' THEN 'gone'
        WHEN k.reason <> excluded.reason AND 'removed' IN (k.reason, excluded.reason) THEN 'gone'
        ELSE excluded.reason
    END,
    due_at = excluded.due_at,
    deleted_at = greatest(k.deleted_at, excluded.deleted_at),
    attempts = 0
