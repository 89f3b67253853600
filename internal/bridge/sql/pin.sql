-- Notes on first use that schema $1 belongs to org $2, and why nothing may be sent
-- from it yet ($3, '' if it may). Answers the org that it belongs to.
INSERT INTO hcbridge.instance AS i (schema, org_id, unsafe)
VALUES ($1, $2, NULLIF($3, ''))
ON CONFLICT (schema) DO UPDATE
SET org_id = COALESCE(i.org_id, excluded.org_id),
    unsafe = CASE WHEN i.org_id IS NULL THEN excluded.unsafe ELSE i.unsafe END
RETURNING org_id
