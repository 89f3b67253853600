-- Releases what is held of table $2, or of all: the entries that are in the log
-- now. A transaction that is open at this moment may add one with a lower id,
-- which goes with them.
UPDATE hcbridge.hold AS h
SET held = false,
    approved_to = GREATEST(h.approved_to, (SELECT max(l.id) FROM {log} AS l WHERE l.table_name = h.table_name))
WHERE h.schema = $1 AND h.held AND ($2 = '' OR h.table_name = $2)
RETURNING h.table_name, h.reason,
    (SELECT count(*) FROM {log} AS l WHERE l.table_name = h.table_name AND l.state = 'NEW')
