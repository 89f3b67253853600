-- Records that Postgres refused a record: why, never its values. One that was
-- dismissed stays so until it is refused for another reason.
INSERT INTO hcbridge.read_error AS e (schema, object, sfid, code, message)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (schema, object, sfid) DO UPDATE
SET code = excluded.code,
    message = excluded.message,
    ignored = e.ignored AND (e.code, e.message) IS NOT DISTINCT FROM (excluded.code, excluded.message),
    at = now(),
    attempts = e.attempts + 1
RETURNING e.attempts
