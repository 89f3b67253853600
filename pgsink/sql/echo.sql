-- Notes the entries $1 of the trigger log as ones that took effect, as an event tells:
-- should the answer be lost, they are not sent again.
INSERT INTO %s (id) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING
