-- Keeps what is left in the purse of schema $1: $2 calls as of now.
INSERT INTO hcbridge.purse (schema, calls, at) VALUES ($1, $2, now())
ON CONFLICT (schema) DO UPDATE SET calls = excluded.calls, at = excluded.at;
