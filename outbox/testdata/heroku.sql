-- A schema as Heroku Connect leaves it, as far as capture goes.
CREATE TABLE salesforce._trigger_log (
    id serial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    processed_at timestamptz, processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128),
    record_id integer, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text);
CREATE TABLE salesforce._trigger_log_archive (
    id integer PRIMARY KEY, txid bigint, created_at timestamptz, updated_at timestamptz,
    processed_at timestamptz, processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128),
    record_id integer, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text);
ALTER SEQUENCE salesforce._trigger_log_id_seq CACHE 20;
INSERT INTO salesforce._trigger_log_archive (id, state, action, table_name, record_id) VALUES (77, 'SUCCESS', 'INSERT', 'account', 5);

CREATE FUNCTION public.get_xmlbinary() RETURNS varchar LANGUAGE plpgsql AS $$
DECLARE xmlbin varchar;
BEGIN
    SELECT setting INTO xmlbin FROM pg_settings WHERE name = 'xmlbinary';
    RETURN xmlbin;
END $$;
CREATE FUNCTION salesforce.hc_account_logger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO salesforce._trigger_log (id, txid, created_at, state, action, table_name, record_id, "values")
    VALUES (nextval('salesforce._trigger_log_id_seq'), txid_current(), clock_timestamp(), 'NEW', TG_OP, TG_TABLE_NAME, NEW.id,
        (hstore(NEW.*) - ARRAY['_hc_lastop', '_hc_err'])::text);
    RETURN NULL;
END $$;
CREATE TRIGGER hc_account_logtrigger AFTER INSERT OR DELETE OR UPDATE ON salesforce.account
    FOR EACH ROW WHEN (public.get_xmlbinary()::text = 'base64') EXECUTE PROCEDURE salesforce.hc_account_logger();
CREATE FUNCTION salesforce.hc_account_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF get_xmlbinary() = 'base64' THEN NEW._hc_lastop = 'PENDING'; NEW._hc_err = NULL; END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hc_account_status_trigger BEFORE INSERT OR UPDATE ON salesforce.account
    FOR EACH ROW EXECUTE PROCEDURE salesforce.hc_account_status();
CREATE FUNCTION salesforce.tlog_notify_trigger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_notify('salesforce.hc_trigger_log', 'ping'); RETURN new; END $$;
CREATE TRIGGER tlog_insert_trigger AFTER INSERT ON salesforce._trigger_log FOR EACH ROW EXECUTE PROCEDURE salesforce.tlog_notify_trigger();
CREATE FUNCTION salesforce.hc_capture_insert_from_row(source_row hstore, table_name varchar, excluded_cols text[] DEFAULT ARRAY[]::text[])
    RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION salesforce.hc_capture_update_from_row(source_row hstore, table_name varchar, columns_to_include text[] DEFAULT ARRAY[]::text[])
    RETURNS integer LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
