-- Holds the entries of table $2 for reason $3, but for those that are approved.
INSERT INTO hcbridge.hold (schema, table_name, held, reason)
VALUES ($1, $2, true, $3)
ON CONFLICT (schema, table_name) DO UPDATE
SET held = true, reason = excluded.reason, since = now()
