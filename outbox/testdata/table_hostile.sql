-- The functions behind the triggers of a"b'c.
--
-- They run on the app's path, so they are cheap first of all. Every name in
-- them is qualified, operators and types too: that leaves no search_path
-- anything to decide. They only append: nothing is looked up or locked that another
-- writer might hold.
CREATE OR REPLACE FUNCTION "s""1"."hc_a""b'c_status"() RETURNS trigger
    LANGUAGE plpgsql
    AS $body$
BEGIN
    IF pg_catalog.current_setting('xmlbinary') OPERATOR(pg_catalog.=) 'base64' THEN
        IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
            -- Whoever saves whole objects writes back what they once read of the
            -- bridge's own columns, too, and means nothing by it.
            IF NEW.sfid IS NULL THEN NEW.sfid := OLD.sfid; END IF;
            NEW._hc_lastop := OLD._hc_lastop;
            NEW._hc_err := OLD._hc_err;
            IF NEW OPERATOR(pg_catalog.*=) OLD THEN
                RETURN NEW; -- nothing is sent that would end a PENDING, and what was refused is so still
            END IF;
        END IF;
        NEW._hc_lastop := 'PENDING';
        NEW._hc_err := NULL;
    ELSIF NEW._hc_lastop::pg_catalog.text OPERATOR(pg_catalog.=) 'SYNCED' AND NEW._hc_err IS NULL THEN
        NULL; -- as it would become below; most of what the bridge writes says so
    ELSIF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' AND NEW._hc_lastop IS NOT NULL
        AND (OLD._hc_lastop IS NULL OR NEW._hc_lastop::pg_catalog.text OPERATOR(pg_catalog.<>) OLD._hc_lastop::pg_catalog.text
            OR NEW._hc_err IS NOT NULL AND (OLD._hc_err IS NULL OR NEW._hc_err OPERATOR(pg_catalog.<>) OLD._hc_err)
            OR pg_catalog.current_setting('hcbridge.tells', true) OPERATOR(pg_catalog.=) 'on') THEN
        NULL; -- the bridge says itself what became of the row
    ELSE
        NEW._hc_lastop := 'SYNCED';
        NEW._hc_err := NULL;
    END IF;
    RETURN NEW;
END
$body$;
REVOKE EXECUTE ON FUNCTION "s""1"."hc_a""b'c_status"() FROM PUBLIC;

-- It runs as its owner, so that an app needs no right on the log; hence the
-- search_path, for what a user's trigger on the log may call. Its other settings
-- make the texts of dates and numbers the same for every app.
CREATE OR REPLACE FUNCTION "s""1"."hc_a""b'c_logger"() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp SET datestyle = 'ISO, YMD' SET extra_float_digits = 1
    AS $body$
DECLARE
    image "public".hstore;
    changes "public".hstore;
    record_id pg_catalog.int8;
    merging pg_catalog.text;
BEGIN
    IF TG_OP OPERATOR(pg_catalog.=) 'UPDATE' THEN
        -- Most statements change one row, and what one costs is mostly what each
        -- query in here costs. So there is no counting and no pairing for it: the
        -- first query finds the row, and nothing where there is a second one.
        SELECT _hc_row.id, "public".hstore(_hc_row.*), (SELECT "public".hstore(_hc_row.*) FROM _hc_before AS _hc_row)
            INTO record_id, changes, image
            FROM _hc_after AS _hc_row WHERE NOT EXISTS (SELECT FROM _hc_after OFFSET 1);
        IF FOUND THEN
            changes := "public".delete(changes OPERATOR("public".-) image, ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[]);
            INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, sfid, old, "values")
            VALUES (pg_catalog.txid_current(), pg_catalog.clock_timestamp(),
                CASE WHEN "public".akeys(changes) OPERATOR(pg_catalog.&&) ARRAY['id', 'x"; DROP TABLE t; --']::pg_catalog.text[] THEN 'NEW' ELSE 'IGNORE' END,
                'UPDATE', 'a"b''c', record_id, image OPERATOR("public".->) 'sfid',
                "public".delete(image, ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[])::pg_catalog.text, changes::pg_catalog.text);
        ELSIF EXISTS (SELECT FROM _hc_after) THEN
            -- Both tables hold the rows in the order in which they were changed.
            -- They are paired by it and not by id, which may have been changed,
            -- or appear twice: foreign keys can set a row to null two times. The
            -- outer join is one that is never done by nested loops, and log ids
            -- are drawn below it, in the order of the changes. Rows are smaller than their
            -- images, so these are made above. To merge them, Postgres
            -- would sort the whole rows, as it does not know that they are in order,
            -- and take the numbers for less telling than they are.
            merging := pg_catalog.current_setting('enable_mergejoin');
            PERFORM pg_catalog.set_config('enable_mergejoin', 'off', true);
            INSERT INTO "s""1"."_trigger_log" (id, txid, created_at, state, action, table_name, record_id, sfid, old, "values")
            SELECT u.log_id, pg_catalog.txid_current(), pg_catalog.clock_timestamp(),
                CASE WHEN "public".akeys(u.after) OPERATOR(pg_catalog.&&) ARRAY['id', 'x"; DROP TABLE t; --']::pg_catalog.text[] THEN 'NEW' ELSE 'IGNORE' END,
                'UPDATE', 'a"b''c', u.id, u.sfid, u.before::pg_catalog.text, u.after::pg_catalog.text
            FROM (
                SELECT p.log_id, p.id, p.sfid, "public".delete(p.before, ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[]) AS before,
                    "public".delete(p.after OPERATOR("public".-) p.before, ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[]) AS after
                FROM (
                    SELECT n.log_id, n.id, o.sfid, "public".hstore(o.image) AS before, "public".hstore(n.image) AS after
                    FROM (SELECT pg_catalog.nextval('"s""1"._trigger_log_id_seq'::pg_catalog.regclass) AS log_id, _hc_row.id,
                            COALESCE(_hc_row.*) AS image, pg_catalog.row_number() OVER () AS nr FROM _hc_after AS _hc_row) AS n
                    FULL JOIN (SELECT _hc_row.sfid, COALESCE(_hc_row.*) AS image, pg_catalog.row_number() OVER () AS nr FROM _hc_before AS _hc_row) AS o
                        ON o.nr OPERATOR(pg_catalog.=) n.nr
                    OFFSET 0) AS p
                OFFSET 0) AS u;
            PERFORM pg_catalog.set_config('enable_mergejoin', merging, true);
        END IF;
    ELSE
        -- Who disables the trigger of Heroku Connect's name, for a load, means
        -- all three.
        IF TG_OP OPERATOR(pg_catalog.=) 'INSERT' THEN
            INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, "values")
            SELECT pg_catalog.txid_current(), pg_catalog.clock_timestamp(), 'NEW', 'INSERT', 'a"b''c', _hc_row.id,
                "public".delete("public".hstore(_hc_row.*), ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[])::pg_catalog.text
            FROM _hc_after AS _hc_row WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                WHERE t.tgrelid OPERATOR(pg_catalog.=) TG_RELID AND t.tgname OPERATOR(pg_catalog.=) 'hc_a"b''c_logtrigger'::pg_catalog.name
                    AND t.tgenabled OPERATOR(pg_catalog.=) 'D'::pg_catalog."char");
        ELSE
            INSERT INTO "s""1"."_trigger_log" (txid, created_at, state, action, table_name, record_id, sfid, old)
            SELECT pg_catalog.txid_current(), pg_catalog.clock_timestamp(),
                CASE WHEN _hc_row.sfid IS NULL THEN 'IGNORE' ELSE 'NEW' END,
                'DELETE', 'a"b''c', _hc_row.id, _hc_row.sfid,
                "public".delete("public".hstore(_hc_row.*), ARRAY['_hc_lastop', '_hc_err']::pg_catalog.text[])::pg_catalog.text
            FROM _hc_before AS _hc_row WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_trigger AS t
                WHERE t.tgrelid OPERATOR(pg_catalog.=) TG_RELID AND t.tgname OPERATOR(pg_catalog.=) 'hc_a"b''c_logtrigger'::pg_catalog.name
                    AND t.tgenabled OPERATOR(pg_catalog.=) 'D'::pg_catalog."char");
        END IF;
    END IF;
    RETURN NULL;
END
$body$;
REVOKE EXECUTE ON FUNCTION "s""1"."hc_a""b'c_logger"() FROM PUBLIC;

-- Heroku Connect says there which version of its own this is.
COMMENT ON FUNCTION "s""1"."hc_a""b'c_logger"() IS 'hcbridge';





CREATE TRIGGER "hc_a""b'c_status_trigger" BEFORE INSERT OR UPDATE ON "s""1"."a""b'c" FOR EACH ROW EXECUTE FUNCTION "s""1"."hc_a""b'c_status"();
CREATE TRIGGER "hc_a""b'c_logtrigger" AFTER UPDATE ON "s""1"."a""b'c" REFERENCING OLD TABLE AS _hc_before NEW TABLE AS _hc_after FOR EACH STATEMENT WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_a""b'c_logger"();
CREATE TRIGGER "hc_a""b'c_logtrigger_insert" AFTER INSERT ON "s""1"."a""b'c" REFERENCING NEW TABLE AS _hc_after FOR EACH STATEMENT WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_a""b'c_logger"();
CREATE TRIGGER "hc_a""b'c_logtrigger_delete" AFTER DELETE ON "s""1"."a""b'c" REFERENCING OLD TABLE AS _hc_before FOR EACH STATEMENT WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_a""b'c_logger"();
CREATE TRIGGER "hc_a""b'c_truncate_trigger" BEFORE TRUNCATE ON "s""1"."a""b'c" FOR EACH STATEMENT WHEN ("public"."get_xmlbinary"()::text = 'base64') EXECUTE FUNCTION "s""1"."hc_refuse_truncate"();
