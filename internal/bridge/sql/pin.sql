-- Notes on first use that schema $1 belongs to org $2, and answers the org
-- that it belongs to.
INSERT INTO hcbridge.instance AS i (schema, org_id)
VALUES ($1, $2)
ON CONFLICT (schema) DO UPDATE SET org_id = COALESCE(i.org_id, excluded.org_id)
RETURNING org_id
