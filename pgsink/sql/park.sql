-- Records that Postgres refused a record: why, never its values.
INSERT INTO hcbridge.read_error AS e (schema, object, sfid, code, message)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (schema, object, sfid) DO UPDATE
SET code = excluded.code,
    message = excluded.message,
    at = now(),
    attempts = e.attempts + 1
