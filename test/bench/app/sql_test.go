package app

// ddl makes schema %[1]s with %[2]d rows of 20 columns.
const ddl = `CREATE SCHEMA %[1]s;
CREATE TABLE %[1]s.contact (name varchar(255), f1 varchar(80), f2 varchar(80), f3 varchar(80), f4 varchar(80), f5 varchar(80), f6 varchar(80), f7 varchar(80),
	f8 varchar(80), f9 varchar(80), f10 varchar(80), amount double precision, qty integer, score double precision, born date, seen timestamp, active boolean,
	systemmodstamp timestamp, isdeleted boolean, sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text) WITH (fillfactor = 50);
CREATE UNIQUE INDEX ON %[1]s.contact (sfid);
CREATE INDEX ON %[1]s.contact (systemmodstamp);
INSERT INTO %[1]s.contact (name, f1, f2, f3, f4, f5, f6, f7, f8, amount, qty, score, born, seen, active, systemmodstamp, isdeleted, sfid, _hc_lastop)
SELECT 'name ' || i, md5(i::text), md5(i::text), left(md5(i::text), 10), left(md5(i::text), 10), left(md5(i::text), 10), left(md5(i::text), 10), left(md5(i::text), 10),
	left(md5(i::text), 10), i * 1.1, i, i / 3.0, '2020-01-01', '2020-01-01 10:00', true, '2020-01-01 10:00', false, '003' || lpad(i::text, 15, '0'), 'SYNCED'
FROM generate_series(1, %[2]d) AS i;
ANALYZE %[1]s.contact`

// floor is the least capture into the contract's table in schema %[1]s: the four
// indexes that Heroku Connect's log has, and one constant row a statement, without
// a look at what was changed.
const floor = `
CREATE TABLE %[1]s._trigger_log (id bigserial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), processed_at timestamptz,
	processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128), record_id bigint, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text);
CREATE INDEX ON %[1]s._trigger_log (created_at);
CREATE INDEX ON %[1]s._trigger_log (state, id);
CREATE INDEX ON %[1]s._trigger_log (state, table_name) WHERE state IN ('NEW', 'PENDING');
CREATE FUNCTION %[1]s.note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO %[1]s._trigger_log (txid, created_at, state, action, table_name, record_id, sfid, old, "values")
	VALUES (1, '2020-01-01', 'NEW', 'UPDATE', 'contact', 1, '003000000000000001', '"f3"=>"a", "qty"=>"1"', '"f3"=>"b", "qty"=>"2"');
	RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON %[1]s.contact FOR EACH STATEMENT EXECUTE FUNCTION %[1]s.note()`

// heroku is capture as Heroku Connect has it in schema %[1]s, with its indexes.
// %[2]s is what its get_xmlbinary returns.
const heroku = `
CREATE TABLE %[1]s._trigger_log (id serial PRIMARY KEY, txid bigint, created_at timestamptz DEFAULT now(), updated_at timestamptz DEFAULT now(), processed_at timestamptz,
	processed_tx bigint, state varchar(8), action varchar(7), table_name varchar(128), record_id integer, sfid varchar(18), old text, "values" text, sf_result integer, sf_message text);
CREATE INDEX ON %[1]s._trigger_log (created_at);
CREATE INDEX ON %[1]s._trigger_log (state, id);
CREATE INDEX ON %[1]s._trigger_log (state, table_name) WHERE state IN ('NEW', 'PENDING');
CREATE FUNCTION %[1]s.get_xmlbinary() RETURNS varchar LANGUAGE plpgsql AS $$ DECLARE x varchar; BEGIN x := %[2]s; RETURN x; END $$;
CREATE FUNCTION %[1]s.hc_contact_status() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF %[1]s.get_xmlbinary() = 'base64' THEN
		NEW._hc_lastop = 'PENDING'; NEW._hc_err = NULL; RETURN NEW;
	ELSIF TG_OP = 'UPDATE' AND NEW._hc_lastop IS NOT NULL AND NEW._hc_lastop != OLD._hc_lastop THEN
		RETURN NEW;
	END IF;
	NEW._hc_lastop = 'SYNCED'; NEW._hc_err = NULL; RETURN NEW;
END $$;
CREATE TRIGGER hc_contact_status_trigger BEFORE INSERT OR UPDATE ON %[1]s.contact FOR EACH ROW EXECUTE FUNCTION %[1]s.hc_contact_status();
CREATE FUNCTION %[1]s.hc_contact_logger() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
	r %[1]s._trigger_log;
	excluded text[] = ARRAY['_hc_lastop', '_hc_err']::text[];
BEGIN
	r.id = nextval('%[1]s._trigger_log_id_seq'); r.action = TG_OP; r.table_name = TG_TABLE_NAME; r.txid = txid_current(); r.created_at = clock_timestamp(); r.state = 'NEW';
	IF TG_OP = 'DELETE' THEN
		r.record_id = OLD.id; r.old = hstore(OLD.*) - excluded;
		IF OLD.sfid IS NOT NULL THEN r.sfid = OLD.sfid; ELSE r.state = 'IGNORE'; END IF;
	ELSIF TG_OP = 'INSERT' THEN
		r.record_id = NEW.id; r.values = hstore(NEW.*) - excluded;
	ELSE
		r.record_id = NEW.id; r.old = hstore(OLD.*) - excluded; r.values = (hstore(NEW.*) - hstore(OLD.*)) - excluded;
		IF OLD.sfid IS NOT NULL THEN r.sfid = OLD.sfid; END IF;
		IF r.values = '' THEN r.state = 'IGNORE'; END IF;
	END IF;
	INSERT INTO %[1]s._trigger_log VALUES (r.*);
	RETURN NULL;
END $$;
CREATE TRIGGER hc_contact_logtrigger AFTER INSERT OR UPDATE OR DELETE ON %[1]s.contact FOR EACH ROW WHEN (%[1]s.get_xmlbinary()::text = 'base64') EXECUTE FUNCTION %[1]s.hc_contact_logger();
CREATE FUNCTION %[1]s.tlog_notify_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('%[1]s.hc_trigger_log', 'ping'); RETURN new; END $$;
CREATE TRIGGER tlog_insert_trigger AFTER INSERT ON %[1]s._trigger_log FOR EACH ROW EXECUTE FUNCTION %[1]s.tlog_notify_trigger()`
