-- Locks the marks of the records that this transaction has read ($2 objects,
-- $3 ids).
--
-- A statement of its own, so that the next one sees what we waited for: a
-- delete that sets a mark again either comes first and is seen, or waits for
-- us and then finds the row that we wrote.
SELECT
FROM hcbridge.mark AS k
JOIN unnest($2::text[], $3::text[]) AS u (object, sfid)
    ON k.object = u.object AND k.sfid = u.sfid
WHERE k.schema = $1
ORDER BY k.object, k.sfid
FOR UPDATE OF k
