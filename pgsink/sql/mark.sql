-- Sets marks ($2 objects, $3 ids, $4 reasons, $5 delays in seconds, $6 when Salesforce
-- deleted them, $7 whether reads under way are too old, not to answer it alone but to be
-- written at all).
--
-- A mark that exists gets a new seq: a read that began before now is too old
-- to answer it. That Salesforce has named the record as deleted is not forgotten:
-- it does so once. What this bridge removed may be back where something else marks it,
-- too.
INSERT INTO hcbridge.mark AS k (schema, object, sfid, reason, due_at, deleted_at, barrier)
SELECT $1, u.object, u.sfid, u.reason, now() + u.delay * interval '1 second', u.deleted_at, u.bars::integer
FROM unnest($2::text[], $3::text[], $4::text[], $5::double precision[], $6::timestamptz[], $7::boolean[])
    AS u (object, sfid, reason, delay, deleted_at, bars)
ON CONFLICT (schema, object, sfid) DO UPDATE
SET (seq, barrier) = (SELECT n, CASE excluded.barrier WHEN 1 THEN n ELSE k.barrier END FROM nextval('hcbridge.mark_seq') AS n),
    reason = CASE
        WHEN k.reason = 'gone' THEN 'gone'
        WHEN k.reason <> excluded.reason AND 'removed' IN (k.reason, excluded.reason) THEN 'gone'
        ELSE excluded.reason
    END,
    due_at = excluded.due_at,
    deleted_at = greatest(k.deleted_at, excluded.deleted_at),
    attempts = 0
