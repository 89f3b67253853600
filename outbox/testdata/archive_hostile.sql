-- Moves entries that are done to the archive: $1 ids, $2 states, $3 Salesforce
-- ids, $4 messages, $5 the entries they were merged into.
WITH done AS (
    SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::bigint[]) AS d (id, state, sfid, message, carrier)
), gone AS (
    DELETE FROM "s""1"."_trigger_log" AS l USING done AS d WHERE l.id = d.id
    RETURNING l.id, l.txid, l.created_at, l.action, l.table_name, l.record_id, l.old, l."values",
        d.state, COALESCE(d.sfid, l.sfid) AS sfid, d.message, d.carrier
)
INSERT INTO "s""1"."_trigger_log_archive" (id, txid, created_at, updated_at, processed_at, processed_tx, state, action, table_name,
    record_id, sfid, old, "values", sf_result, sf_message)
SELECT id, txid, created_at, now(), now(), txid_current(), state, action, table_name,
    record_id, sfid, old, "values", CASE WHEN carrier <= 2147483647 THEN carrier END, message
FROM gone;
