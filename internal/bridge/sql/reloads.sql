-- Answers which objects of schema $1 wait to be loaded again.
SELECT object FROM hcbridge.object WHERE schema = $1 AND reload_requested_at IS NOT NULL
