-- Until when somebody else than $2 holds the lease on schema $1, NULL if nobody does.
-- Who stands by asks this twice a second, and locks nothing as long as somebody does.
SELECT (SELECT expires_at FROM hcbridge.lease WHERE schema = $1 AND holder <> $2 AND expires_at >= clock_timestamp())
