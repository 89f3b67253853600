-- What makes the app's writes late or fills the disk: whether transactions may be
-- prepared, how long the oldest has been open here, and the replication slot that
-- nobody uses and that keeps the most of the log, with how many bytes.
SELECT current_setting('max_prepared_transactions') <> '0',
    COALESCE((SELECT max(clock_timestamp() - xact_start) FROM pg_stat_activity WHERE datname = current_database() AND backend_xmin IS NOT NULL), '0'),
    COALESCE(slot_name::text, ''), COALESCE(kept, 0)::bigint
FROM (SELECT) AS one
LEFT JOIN (
    SELECT slot_name, pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END, restart_lsn) AS kept
    FROM pg_replication_slots
    WHERE NOT active AND restart_lsn IS NOT NULL
    ORDER BY kept DESC
    LIMIT 1
) AS slot ON true
