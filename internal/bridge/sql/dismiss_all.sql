-- Dismisses all that waits to be sent: none of it is known to be newer than Salesforce.
UPDATE %[1]s SET state = 'IGNORED', sf_message = 'dismissed when the database was adopted', updated_at = now()
WHERE state = 'NEW'
