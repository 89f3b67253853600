-- Writes results to the rows $1: Salesforce ids $2, _hc_lastop $3, _hc_err $4.
UPDATE "s""1"."a""b'c" AS t SET sfid = COALESCE(t.sfid, r.sfid), _hc_lastop = r.lastop, _hc_err = r.err
FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[]) AS r (id, sfid, lastop, err)
WHERE t.id = r.id;
