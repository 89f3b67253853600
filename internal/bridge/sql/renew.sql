-- Renews epoch $3 of the lease on schema $1 for holder $2 until $4 from now. It
-- may have run out: nobody has it as long as it is of this epoch.
UPDATE hcbridge.lease SET expires_at = clock_timestamp() + $4::interval
WHERE schema = $1 AND holder = $2 AND epoch = $3
