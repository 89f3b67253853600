-- Notes that Salesforce knows epoch $2 of schema $1, so that the database goes on from
-- there, and for reason $3, NULL without one, that nothing may be sent until it is
-- adopted.
UPDATE hcbridge.instance SET unsafe = COALESCE(unsafe, $3::text), epoch = GREATEST(epoch, $2)
WHERE schema = $1
RETURNING COALESCE(unsafe, '')
