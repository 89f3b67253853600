package outbox

import (
	"context"
	"strings"
	"testing"
)

// What Heroku Connect users do to its log and in their triggers, as SQL, works
// as they know it.
func TestRecipes(t *testing.T) {
	t.Parallel()

	// refused leaves an insert that Salesforce refused, and accepts from then on.
	refused := func(t *testing.T, change ...func(*Config)) *bundle {
		t.Helper()
		b := setup(t, change...)
		b.sf.script(refuse(1, Failure{Class: Permanent, Code: "REQUIRED_FIELD_MISSING", Message: "Required fields are missing: [LastName]"}, func(Call, Record) bool { return true }))
		b.exec(`INSERT INTO salesforce.contact (lastname, accountid) VALUES ('a', NULL)`)
		b.drain()
		b.want("log", b.one(`SELECT concat_ws('|', state, sf_message LIKE '%Required fields%') FROM salesforce._trigger_log`), "FAILED|t")
		return b
	}

	t.Run("state NEW sends what failed again", func(t *testing.T) {
		t.Parallel()
		b := refused(t)
		b.exec(`UPDATE salesforce._trigger_log SET state='NEW' WHERE state='FAILED'`)
		b.drain()
		b.want("archive", b.archived(), "INSERT/SUCCESS")
		b.want("records", b.one(`SELECT sfid IS NOT NULL FROM salesforce.contact`), "true")
	})

	t.Run("IGNORED dismisses what failed", func(t *testing.T) {
		t.Parallel()
		b := refused(t)
		b.exec(`UPDATE salesforce._trigger_log SET state='IGNORED' WHERE state='FAILED'`)
		b.drain()
		b.want("live", b.live(), "")
		b.want("archive", b.archived(), "INSERT/IGNORED")
		b.want("calls", b.sf.sent(), "insert Contact 1")
	})

	t.Run("REQUEUE brings an archived change back", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
		b.exec(`UPDATE salesforce.contact SET lastname = 'b'; UPDATE salesforce._trigger_log SET state = 'IGNORED'`)
		b.exec(`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.contact.*), 'contact') FROM salesforce.contact`)
		b.drain()
		b.exec(`UPDATE salesforce._trigger_log_archive SET state='REQUEUE' WHERE action = 'UPDATE'`)
		b.drain()
		b.want("archive", b.archived(), "UPDATE/REQUEUED INSERT/SUCCESS UPDATE/SUCCESS")
		b.want("calls", b.sf.sent(), "insert Contact 1, update Contact 1")
	})

	t.Run("IGNORED while it is on its way is IGNORED if it is refused", func(t *testing.T) {
		t.Parallel()
		for name, f := range map[string]Failure{"refused": {Class: Permanent, Code: "NO", Message: "no"}, "put back": {Class: Transient, Code: "LATER", Message: "later"}} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				b := setup(t)
				b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
					b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED'`)
					fail := f
					return []Outcome{{Failure: &fail}}, nil, false
				})
				b.exec(`INSERT INTO salesforce.contact (lastname) VALUES ('a')`)
				b.drain()
				b.want("live", b.live(), "")
				b.want("archive", b.archived(), "INSERT/IGNORED")
				b.want("calls", b.sf.sent(), "insert Contact 1")
			})
		}
	})

	t.Run("REQUEUE brings a change back as often as it is asked for", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.hex(`INSERT INTO salesforce.contact (lastname, sfid) VALUES ('a', '003')`)
		b.sf.records["003"] = map[string]any{}
		b.exec(`UPDATE salesforce.contact SET lastname = 'b'`)
		b.drain()
		for n := range maxTurns + 3 {
			b.exec(`UPDATE salesforce._trigger_log_archive SET state = 'REQUEUE' WHERE state = 'SUCCESS'`)
			b.drain()
			b.want("log", b.live(), "")
			b.want("archive", b.archived(), strings.Repeat("UPDATE/REQUEUED ", n+1)+"UPDATE/SUCCESS")
		}
		b.want("of one transaction", b.one(`SELECT count(DISTINCT txid) FROM salesforce._trigger_log_archive`), "1")
	})

	t.Run("hc_capture_insert_from_row sends the row as it is now", func(t *testing.T) {
		t.Parallel()
		b := refused(t)
		b.exec(`UPDATE salesforce._trigger_log SET state='IGNORED' WHERE state='FAILED'`)
		b.hex(`UPDATE salesforce.contact SET lastname = 'mended'`)
		b.exec(`SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.contact.*), 'contact') FROM salesforce.contact WHERE id = 1`)
		b.drain()
		b.want("archive", b.archived(), "INSERT/IGNORED INSERT/SUCCESS")
		b.want("sent", b.sf.last(), "mended")
	})

	t.Run("hc_capture_update_from_row sends the columns that are named", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`INSERT INTO salesforce.contact (lastname, accountid) VALUES ('a', NULL)`)
		b.drain()
		b.hex(`UPDATE salesforce.contact SET lastname = 'b', accountid = '001000000000001AAA'`)
		b.exec(`SELECT salesforce.hc_capture_update_from_row(hstore(salesforce.contact.*), 'contact', ARRAY['lastname']) FROM salesforce.contact WHERE sfid IS NOT NULL`)
		b.drain()
		b.want("sent", b.sf.last(), "b")
		b.want("log", b.one(`SELECT "values" FROM salesforce._trigger_log_archive WHERE action = 'UPDATE'`), `"lastname"=>"b"`)
	})

	t.Run("a capture function wakes the bridge from within a user's trigger too", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`CREATE FUNCTION public.recapture() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				PERFORM salesforce.hc_capture_update_from_row(hstore(c.*), 'contact', ARRAY['lastname']) FROM salesforce.contact AS c WHERE c.id = NEW.id; RETURN NULL; END $$;
			CREATE TRIGGER recapture AFTER UPDATE ON salesforce.contact FOR EACH ROW EXECUTE FUNCTION public.recapture()`)
		b.hex(`INSERT INTO salesforce.contact (lastname) VALUES ('a'); UPDATE salesforce.contact SET lastname = 'b'`)
		b.want("log", b.live(), "UPDATE/NEW")
		b.want("gate", b.one(`SELECT has_function_privilege('public', 'salesforce.hc_capture_update_from_row(hstore, varchar, text[])', 'EXECUTE')`), "true")
	})

	t.Run("a load with xmlbinary hex is not sent", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`SET xmlbinary = 'hex'; INSERT INTO salesforce.account (name, sfid) SELECT i, '001' || i FROM generate_series(1, 1000) AS i; UPDATE salesforce.account SET industry = 'x'; SET xmlbinary = 'base64'; UPDATE salesforce.account SET industry = 'y' WHERE id = 1`)
		b.want("log", b.live(), "UPDATE/NEW")
		b.want("rows", b.one(`SELECT count(*) FROM salesforce.account WHERE _hc_lastop = 'SYNCED'`), "999")
	})

	t.Run("the custom trigger is captured whoever changed the row", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.exec(`CREATE FUNCTION public.custom() RETURNS trigger LANGUAGE plpgsql AS $$
			DECLARE oldxmlbinary varchar;
			BEGIN
				oldxmlbinary := get_xmlbinary();
				SET LOCAL xmlbinary TO 'base64';
				UPDATE salesforce.account SET industry = 'by trigger' || NEW.id WHERE parentid = NEW.sfid;
				EXECUTE 'SET LOCAL xmlbinary TO ' || oldxmlbinary;
				RETURN NEW;
			END $$;
			CREATE TRIGGER custom AFTER INSERT OR UPDATE OF name ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.custom()`)
		b.hex(`INSERT INTO salesforce.account (name, sfid, parentid) VALUES ('p', '001', NULL), ('q', '002', '001'), ('r', '003', '002')`)
		b.want("bridge", b.list(`SELECT record_id || "values" FROM salesforce._trigger_log ORDER BY id`), `2"industry"=>"by trigger1" 3"industry"=>"by trigger2"`)
		b.hex(`UPDATE salesforce.account SET industry = NULL`)
		b.exec(`DELETE FROM salesforce._trigger_log; UPDATE salesforce.account SET name = name || '!' WHERE sfid = '001'`)
		b.want("app", b.list(`SELECT record_id || "values" FROM salesforce._trigger_log ORDER BY record_id`), `1"name"=>"p!" 2"industry"=>"by trigger1"`)
	})
}

// last is the last name that Salesforce was sent.
func (o *fakeOrg) last() string {
	o.Lock()
	defer o.Unlock()
	if len(o.calls) == 0 {
		return ""
	}
	r := o.calls[len(o.calls)-1].Records
	name, _ := r[len(r)-1].Fields["LastName"].(string)
	return name
}
