-- Dismisses all that waits to be sent, was on its way or is to be sent once more: none
-- of it is known to be newer than Salesforce. What was on its way a restart would look
-- for, and send where it finds something else. Answers how many entries.
WITH log AS (
    UPDATE %[1]s SET state = 'IGNORED', sf_message = 'dismissed when the database was adopted', updated_at = now()
    WHERE state IN ('NEW', 'PENDING')
    RETURNING id
), archive AS (
    UPDATE %[2]s SET state = 'IGNORED', updated_at = now()
    WHERE state = 'REQUEUE'
    RETURNING id
)
SELECT (SELECT count(*) FROM log) + (SELECT count(*) FROM archive)
