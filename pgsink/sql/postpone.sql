-- Puts marks off for $5 seconds, unless they were set again since they were
-- read ($2 objects, $3 ids, $4 seqs).
UPDATE hcbridge.mark AS k
SET due_at = now() + $5::double precision * interval '1 second',
    attempts = k.attempts + 1
FROM unnest($2::text[], $3::text[], $4::bigint[]) AS u (object, sfid, seq)
WHERE k.schema = $1 AND k.object = u.object AND k.sfid = u.sfid AND k.seq = u.seq
