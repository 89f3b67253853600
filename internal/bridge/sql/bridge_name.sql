-- The name by which the bridge of schema $1 knows its own topics in the org. It
-- is made of when the schema was first taken, so it stays through restarts,
-- upgrades and a move to another server, and no other bridge has it.
SELECT schema || '/' || left(encode(sha256(convert_to(
    schema || ' ' || round(extract(epoch FROM created_at) * 1000000)::bigint, 'UTF8')), 'hex'), 12)
FROM hcbridge.instance
WHERE schema = $1
