-- Those of the records $3 of object $2 that are not remembered as deleted.
SELECT u.sfid FROM unnest($3::text[]) AS u (sfid)
WHERE NOT EXISTS (SELECT FROM hcbridge.gone AS g WHERE g.schema = $1 AND g.object = $2 AND g.sfid = u.sfid)
