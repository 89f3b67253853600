-- Locks the marks of all records of this transaction ($2 objects, $3 ids), and gives
-- those of deleted and patched records ($4) a new seq that is their barrier: a read
-- already under way cannot bring a record back, nor, as a patched row has an old
-- stamp, the values of before.
--
-- It comes first, and in the order in which all lock marks, so that nobody waits for
-- us who has what we need. And it is a statement of its own, so that the next one
-- sees what we waited for: a delete that sets a mark again either comes first and is
-- seen, or waits for us and then finds the row that we wrote.
WITH held AS MATERIALIZED (
    SELECT k.object, k.sfid, u.barred
    FROM hcbridge.mark AS k
    JOIN unnest($2::text[], $3::text[], $4::boolean[]) AS u (object, sfid, barred)
        ON k.object = u.object AND k.sfid = u.sfid
    WHERE k.schema = $1
    ORDER BY k.object COLLATE "C", k.sfid
    FOR UPDATE OF k
), barred AS (
    UPDATE hcbridge.mark AS k
    SET (seq, barrier) = (SELECT n, n FROM nextval('hcbridge.mark_seq') AS n)
    FROM held
    WHERE held.barred AND k.schema = $1 AND k.object = held.object AND k.sfid = held.sfid
)
SELECT count(*) FROM held
