-- Answers per object of schema $1 the fields that are mapped or frozen, those that
-- are mapped with their types, and whether it waits to be loaded again.
SELECT object,
    COALESCE((SELECT array_agg(split_part(f, ' ', 1)) FROM unnest(fields) AS f), '{}') || COALESCE(frozen, '{}'),
    COALESCE(fields, '{}'),
    reload_requested_at IS NOT NULL
FROM hcbridge.object
WHERE schema = $1
