-- Gives the marks of deleted and patched records ($2 objects, $3 ids) a new seq
-- and makes it their barrier, so that a read already under way cannot bring a
-- record back, nor, as a patched row has an old stamp, the values of before. It
-- runs before the rows are written: a read that is just being applied holds its
-- mark, and we wait.
UPDATE hcbridge.mark AS k
SET (seq, barrier) = (SELECT n, n FROM nextval('hcbridge.mark_seq') AS n)
FROM unnest($2::text[], $3::text[]) AS u (object, sfid)
WHERE k.schema = $1 AND k.object = u.object AND k.sfid = u.sfid
