-- Whether nobody but $2 holds the lease on schema $1. Who stands by asks this
-- twice a second, and locks nothing as long as the answer is no.
SELECT NOT EXISTS (SELECT FROM hcbridge.lease WHERE schema = $1 AND holder <> $2 AND expires_at >= clock_timestamp())
