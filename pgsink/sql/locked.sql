-- Those of the records $1 whose rows somebody else has locked now. The rows of the others
-- are locked until the transaction ends, as to write them would.
WITH free AS MATERIALIZED (
    SELECT t.sfid FROM {table} AS t WHERE t.sfid = ANY ($1::text[]) FOR NO KEY UPDATE SKIP LOCKED
)
SELECT t.sfid::text FROM {table} AS t
WHERE t.sfid = ANY ($1::text[]) AND t.sfid NOT IN (SELECT f.sfid FROM free AS f)
