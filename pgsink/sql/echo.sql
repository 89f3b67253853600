-- Notes the entries $1 of the trigger log, whose table is %s, as ones that took effect,
-- as an event tells: should the answer be lost, it is not sent again.
INSERT INTO %[1]s (id) SELECT unnest($1::bigint[]) ON CONFLICT DO NOTHING
