-- Those of the objects $2 that have marks whose time has come. A look at each in the
-- index, and not at the marks, of which there may be a million.
SELECT o.name
FROM unnest($2::text[]) AS o (name)
WHERE EXISTS (SELECT FROM hcbridge.mark AS m WHERE m.schema = $1 AND m.object = o.name AND m.due_at <= now())
