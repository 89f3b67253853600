-- The functions behind the triggers of a"b'c.
--
-- They run as their owner with nothing but pg_catalog in reach, so that an app
-- needs no right on the log and no search_path can lead them astray. They only
-- append: nothing is looked up or locked that another writer might hold.
CREATE OR REPLACE FUNCTION "s""1"."hc_a""b'c_status"() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $body$
BEGIN
    IF "public"."get_xmlbinary"()::text = 'base64' THEN
        NEW._hc_lastop := 'PENDING';
        NEW._hc_err := NULL;
    ELSIF TG_OP = 'UPDATE' AND NEW._hc_lastop IS NOT NULL
        AND (NEW._hc_lastop IS DISTINCT FROM OLD._hc_lastop
            OR NEW._hc_err IS NOT NULL AND NEW._hc_err IS DISTINCT FROM OLD._hc_err) THEN
        NULL; -- the bridge says itself what became of the row
    ELSE
        NEW._hc_lastop := 'SYNCED';
        NEW._hc_err := NULL;
    END IF;
    RETURN NEW;
END
$body$;
REVOKE EXECUTE ON FUNCTION "s""1"."hc_a""b'c_status"() FROM PUBLIC;

CREATE OR REPLACE FUNCTION "s""1"."hc_a""b'c_logger"() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    SET datestyle = 'ISO, YMD' SET extra_float_digits = 1
    AS $body$
DECLARE
    excluded CONSTANT text[] := ARRAY['_hc_lastop', '_hc_err'];
    mapped CONSTANT text[] := ARRAY['x"; DROP TABLE t; --']::text[];
    before "public".hstore;
    after "public".hstore;
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, "values")
        VALUES (txid_current(), clock_timestamp(), 'NEW', TG_OP, TG_TABLE_NAME, NEW.id,
            "public".delete("public".hstore(NEW), excluded)::text);
    ELSIF TG_OP = 'UPDATE' THEN
        before := "public".delete("public".hstore(OLD), excluded);
        after := "public".delete("public".hstore(NEW), excluded) OPERATOR("public".-) before;
        INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, sfid, old, "values")
        VALUES (txid_current(), clock_timestamp(),
            CASE WHEN after OPERATOR("public".?|) mapped THEN 'NEW' ELSE 'IGNORE' END,
            TG_OP, TG_TABLE_NAME, NEW.id, OLD.sfid, before::text, after::text);
    ELSE
        INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, sfid, old)
        VALUES (txid_current(), clock_timestamp(),
            CASE WHEN OLD.sfid IS NULL THEN 'IGNORE' ELSE 'NEW' END,
            TG_OP, TG_TABLE_NAME, OLD.id, OLD.sfid, "public".delete("public".hstore(OLD), excluded)::text);
    END IF;
    RETURN NULL;
END
$body$;
REVOKE EXECUTE ON FUNCTION "s""1"."hc_a""b'c_logger"() FROM PUBLIC;


CREATE TRIGGER "hc_a""b'c_status_trigger" BEFORE INSERT OR UPDATE ON "s""1"."a""b'c" FOR EACH ROW EXECUTE FUNCTION "s""1"."hc_a""b'c_status"();
CREATE TRIGGER "hc_a""b'c_logtrigger" AFTER INSERT OR DELETE OR UPDATE ON "s""1"."a""b'c" FOR EACH ROW WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_a""b'c_logger"();
CREATE TRIGGER "hc_a""b'c_truncate_trigger" BEFORE TRUNCATE ON "s""1"."a""b'c" FOR EACH STATEMENT WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_refuse_truncate"();
