-- Answers whether schema $1 is paused, and why nothing may be sent from it.
SELECT paused, COALESCE(unsafe, '') FROM hcbridge.instance WHERE schema = $1
