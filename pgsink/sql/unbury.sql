-- Forgets deletions of object $2 that nothing can tell of any more: Salesforce
-- keeps events for three days at the most, and gives a record back from the
-- recycle bin for 15 days.
DELETE FROM hcbridge.gone
WHERE schema = $1 AND object = $2 AND at < now() - interval '16 days'
