-- Gives epoch $3 of the lease on schema $1 up, if $2 still holds it, so that a
-- process that stands by need not wait for it to run out.
UPDATE hcbridge.lease SET expires_at = clock_timestamp() - interval '1 second'
WHERE schema = $1 AND holder = $2 AND epoch = $3
