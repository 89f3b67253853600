-- Removes answered marks ($2 objects, $3 ids, $4 seqs). A mark that was set
-- again since, by others or by this transaction, has another seq and stays.
DELETE FROM hcbridge.mark AS k
USING unnest($2::text[], $3::text[], $4::bigint[]) AS u (object, sfid, seq)
WHERE k.schema = $1 AND k.object = u.object AND k.sfid = u.sfid AND k.seq = u.seq
