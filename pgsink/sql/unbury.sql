-- Forgets deletions of object $2 that are older than any event that may still
-- come: Salesforce keeps them for one day, those of Change Data Capture for three.
DELETE FROM hcbridge.gone
WHERE schema = $1 AND object = $2 AND at < now() - interval '4 days'
