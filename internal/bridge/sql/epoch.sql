-- Begins the next epoch of schema $1. Its commit comes before Salesforce is told,
-- so that a crash in between is not taken for a database that was set back.
UPDATE hcbridge.instance SET epoch = epoch + 1 WHERE schema = $1 RETURNING epoch
