-- Dismisses refused records: those whose ids begin with one of $2, or all. They
-- go on being tried, and come back if Postgres refuses them for another reason.
UPDATE hcbridge.read_error
SET ignored = true
WHERE schema = $1 AND NOT ignored AND ($2::text[] IS NULL OR left(sfid, 15) = ANY ($2::text[]))
