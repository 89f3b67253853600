-- The functions and triggers of table {table}, whose changes get state {state}.
CREATE OR REPLACE FUNCTION salesforce.hc_{table}_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF get_xmlbinary() = 'base64' THEN
        NEW._hc_lastop = 'PENDING';
        NEW._hc_err = NULL;
    ELSIF TG_OP = 'UPDATE' AND NEW._hc_lastop IS NOT NULL AND NEW._hc_lastop != OLD._hc_lastop THEN
        RETURN NEW;
    ELSE
        NEW._hc_lastop = 'SYNCED';
        NEW._hc_err = NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER hc_{table}_status_trigger BEFORE INSERT OR UPDATE ON salesforce.{table} FOR EACH ROW EXECUTE PROCEDURE salesforce.hc_{table}_status();

CREATE OR REPLACE FUNCTION salesforce.hc_{table}_logger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    entry salesforce._trigger_log;
    excluded text[] := ARRAY['_hc_lastop', '_hc_err'];
BEGIN
    entry.id := nextval('salesforce._trigger_log_id_seq');
    entry.txid := txid_current();
    entry.created_at := clock_timestamp();
    entry.updated_at := now();
    entry.state := '{state}';
    entry.action := TG_OP;
    entry.table_name := TG_TABLE_NAME;
    IF TG_OP = 'INSERT' THEN
        entry.record_id := NEW.id;
        entry."values" := (public.hstore(NEW.*) OPERATOR(public.-) excluded)::text;
    ELSIF TG_OP = 'UPDATE' THEN
        entry.record_id := NEW.id;
        entry.sfid := OLD.sfid;
        entry.old := (public.hstore(OLD.*) OPERATOR(public.-) excluded)::text;
        entry."values" := ((public.hstore(NEW.*) OPERATOR(public.-) public.hstore(OLD.*)) OPERATOR(public.-) excluded)::text;
        IF entry."values" = '' THEN
            entry.state := 'IGNORE';
        END IF;
    ELSE
        entry.record_id := OLD.id;
        entry.sfid := OLD.sfid;
        entry.old := (public.hstore(OLD.*) OPERATOR(public.-) excluded)::text;
        IF OLD.sfid IS NULL THEN
            entry.state := 'IGNORE';
        END IF;
    END IF;
    INSERT INTO salesforce._trigger_log VALUES (entry.*);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION salesforce.hc_{table}_logger() IS 'VERSION 4';
CREATE TRIGGER hc_{table}_logtrigger AFTER INSERT OR DELETE OR UPDATE ON salesforce.{table} FOR EACH ROW WHEN (public.get_xmlbinary()::text = 'base64') EXECUTE PROCEDURE salesforce.hc_{table}_logger();
