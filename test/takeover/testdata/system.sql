-- What Heroku Connect has in a schema besides the mapped tables: names, columns,
-- indexes, triggers and functions as dumps of its schemas show them. The bodies
-- are our own and do what its documentation and those dumps say.
CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public;
CREATE SCHEMA salesforce;

CREATE FUNCTION public.get_xmlbinary() RETURNS varchar LANGUAGE plpgsql AS $$
BEGIN
    RETURN (SELECT setting FROM pg_settings WHERE name = 'xmlbinary');
END $$;

CREATE TABLE salesforce._hcmeta (id serial PRIMARY KEY, hcver integer, org_id varchar(50), details text);

CREATE TABLE salesforce._sf_event_log (
    id serial PRIMARY KEY, table_name varchar(128), action varchar(7), synced_at timestamptz DEFAULT now(),
    sf_timestamp timestamptz, sfid varchar(20), record text, processed boolean
);
CREATE INDEX idx__sf_event_log_comp_key ON salesforce._sf_event_log (table_name, synced_at);
CREATE INDEX idx__sf_event_log_sfid ON salesforce._sf_event_log (sfid);

CREATE TABLE salesforce._trigger_log (
    id serial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(),
    processed_at timestamptz, processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128),
    record_id integer, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text
);
CREATE INDEX _trigger_log_idx_created_at ON salesforce._trigger_log (created_at);
CREATE INDEX _trigger_log_idx_state_id ON salesforce._trigger_log (state, id);
CREATE INDEX _trigger_log_idx_state_table_name ON salesforce._trigger_log (state, table_name) WHERE state IN ('NEW', 'PENDING');

CREATE TABLE salesforce._trigger_log_archive (
    id integer PRIMARY KEY, txid bigint, created_at timestamptz, updated_at timestamptz,
    processed_at timestamptz, processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128),
    record_id integer, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text
);
CREATE INDEX _trigger_log_archive_idx_created_at ON salesforce._trigger_log_archive (created_at);
CREATE INDEX _trigger_log_archive_idx_record_id ON salesforce._trigger_log_archive (record_id);
CREATE INDEX _trigger_log_archive_idx_state_table_name ON salesforce._trigger_log_archive (state, table_name) WHERE state = 'FAILED';
