-- Makes the marks of records $3 of object $2 due that wait for a change of the
-- app: it has been answered, so there is nothing to wait for any more.
UPDATE hcbridge.mark SET due_at = now(), attempts = 0
WHERE schema = $1 AND object = $2 AND sfid = ANY (ARRAY(
    SELECT k.sfid FROM hcbridge.mark AS k
    WHERE k.schema = $1 AND k.object = $2 AND k.sfid = ANY ($3::text[]) AND k.reason = 'held'
    ORDER BY k.sfid
    FOR UPDATE))
