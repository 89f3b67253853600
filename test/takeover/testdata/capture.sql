-- The functions and the trigger of the log.
CREATE OR REPLACE FUNCTION salesforce.tlog_notify_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('salesforce.hc_trigger_log', 'ping');
    RETURN new;
END $$;
COMMENT ON FUNCTION salesforce.tlog_notify_trigger() IS 'VERSION 1';
CREATE TRIGGER tlog_insert_trigger AFTER INSERT ON salesforce._trigger_log FOR EACH ROW EXECUTE PROCEDURE salesforce.tlog_notify_trigger();

CREATE OR REPLACE FUNCTION salesforce.hc_capture_insert_from_row(source_row public.hstore, table_name varchar, excluded_cols text[] DEFAULT ARRAY[]::text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    log_id integer;
    kept text[] := array_remove(array_remove(excluded_cols, 'id'), 'sfid') || ARRAY['_hc_lastop', '_hc_err'];
BEGIN
    IF (source_row -> 'id') IS NULL THEN
        RETURN NULL;
    END IF;
    INSERT INTO salesforce._trigger_log (txid, created_at, state, action, table_name, record_id, "values")
    VALUES (txid_current(), clock_timestamp(), 'NEW', 'INSERT', table_name, (source_row -> 'id')::integer, (source_row - kept)::text)
    RETURNING id INTO log_id;
    RETURN log_id;
END $$;
COMMENT ON FUNCTION salesforce.hc_capture_insert_from_row(public.hstore, varchar, text[]) IS 'VERSION 1';

CREATE OR REPLACE FUNCTION salesforce.hc_capture_update_from_row(source_row public.hstore, table_name varchar, columns_to_include text[] DEFAULT ARRAY[]::text[]) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    log_id integer;
    captured public.hstore := source_row - ARRAY['_hc_lastop', '_hc_err'];
BEGIN
    IF (source_row -> 'id') IS NULL THEN
        RETURN NULL;
    END IF;
    IF cardinality(columns_to_include) > 0 THEN
        captured := slice(captured, columns_to_include);
    END IF;
    INSERT INTO salesforce._trigger_log (txid, created_at, state, action, table_name, record_id, sfid, "values")
    VALUES (txid_current(), clock_timestamp(), 'NEW', 'UPDATE', table_name, (source_row -> 'id')::integer, source_row -> 'sfid', captured::text)
    RETURNING id INTO log_id;
    RETURN log_id;
END $$;
COMMENT ON FUNCTION salesforce.hc_capture_update_from_row(public.hstore, varchar, text[]) IS 'VERSION 1';
