-- Records ($3) that are written are no longer refused.
DELETE FROM hcbridge.read_error WHERE schema = $1 AND object = $2 AND sfid = ANY ($3::text[])
