-- Notes for reason $3 that nothing may be sent from schema $1, and that Salesforce
-- knows epoch $2, so that an adopted database goes on from there.
UPDATE hcbridge.instance SET unsafe = COALESCE(unsafe, $3), epoch = GREATEST(epoch, $2)
WHERE schema = $1
RETURNING unsafe
