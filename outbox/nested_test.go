package outbox

import (
	"context"
	"fmt"
	"strings"
	"testing"
)

// inBothModes runs a test in each algorithm.
func inBothModes(t *testing.T, test func(t *testing.T, change func(*Config))) {
	t.Helper()
	for name, change := range map[string]func(*Config){"ordered": func(*Config) {}, "merged": merged} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, change)
		})
	}
}

// trigger makes an app's row trigger on accounts.
func (b *bundle) trigger(name, when, body string) {
	b.Helper()
	b.exec(fmt.Sprintf(`CREATE FUNCTION public.%[1]s() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN %[3]s; RETURN NULL; END $$;
		CREATE TRIGGER %[1]s AFTER %[2]s ON salesforce.account FOR EACH ROW WHEN (public.get_xmlbinary() = 'base64') EXECUTE FUNCTION public.%[1]s()`, name, when, body))
}

// What an app's row triggers make of the row that fired them arrives, as what was
// committed, whatever the triggers' order and depth.
func TestTriggersOnTheirOwnRow(t *testing.T) {
	t.Parallel()
	const id = "acc000000000001AAA"
	for name, c := range map[string]struct {
		triggers func(*bundle)
		sql      string
		record   string // "" = none
	}{
		"an insert": {
			func(b *bundle) {
				b.trigger("a", "INSERT", `UPDATE salesforce.account SET industry = 'by trigger' WHERE id = NEW.id`)
			},
			`INSERT INTO salesforce.account (name) VALUES ('n')`, "Industry:by trigger Name:n",
		},
		"an insert, two levels": {
			func(b *bundle) {
				b.trigger("a", "INSERT", `UPDATE salesforce.account SET name = NEW.name || ' b' WHERE id = NEW.id`)
				b.trigger("z", "UPDATE OF name", `UPDATE salesforce.account SET name = NEW.name || ' c' WHERE id = NEW.id AND NEW.name NOT LIKE '% c'`)
			},
			`BEGIN; INSERT INTO salesforce.account (name) VALUES ('a'); UPDATE salesforce.account SET name = 'd'; COMMIT`, "Name:d c",
		},
		"an update": {
			func(b *bundle) {
				b.trigger("a", "UPDATE OF name", `UPDATE salesforce.account SET name = regexp_replace(NEW.name, '\D', '', 'g') WHERE id = NEW.id AND NEW.name ~ '\D'`)
			},
			`UPDATE salesforce.account SET name = '(1) 23'`, "Name:123",
		},
		"an update, two levels and twice": {
			func(b *bundle) {
				b.trigger("a", "UPDATE OF name", `UPDATE salesforce.account SET name = NEW.name || '!' WHERE id = NEW.id AND NEW.name NOT LIKE '%!!'`)
			},
			`BEGIN; UPDATE salesforce.account SET name = 'x'; UPDATE salesforce.account SET name = 'y'; COMMIT`, "Name:y!!",
		},
		"a delete": {
			func(b *bundle) {
				b.trigger("a", "UPDATE OF name", `DELETE FROM salesforce.account WHERE id = NEW.id`)
			},
			`UPDATE salesforce.account SET name = 'last'`, "",
		},
		"a delete of what was made just now": {
			func(b *bundle) {
				b.trigger("a", "INSERT", `DELETE FROM salesforce.account WHERE id = NEW.id`)
			},
			`INSERT INTO salesforce.account (name) VALUES ('n')`, "",
		},
		"foreign keys that change and delete": {
			func(b *bundle) {
				b.exec(`CREATE TABLE public.parent (key integer PRIMARY KEY, code integer UNIQUE); INSERT INTO public.parent VALUES (1, 2);
					ALTER TABLE salesforce.account ADD FOREIGN KEY (numberofemployees) REFERENCES public.parent (code) ON DELETE SET NULL;
					ALTER TABLE salesforce.account ADD COLUMN owner integer REFERENCES public.parent ON DELETE CASCADE;
					ALTER TABLE salesforce.account ADD COLUMN other integer REFERENCES public.parent ON DELETE SET NULL`)
				b.hex(`UPDATE salesforce.account SET owner = 1, numberofemployees = 2; INSERT INTO salesforce.account (other) VALUES (1)`)
			},
			`DELETE FROM public.parent`, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inBothModes(t, func(t *testing.T, change func(*Config)) {
				b := setup(t, change)
				if !strings.Contains(c.sql, "INSERT") {
					b.hex(`INSERT INTO salesforce.account (name, sfid) VALUES ('n0', '` + id + `')`)
					b.sf.records[id], b.sf.objects[id], b.sf.next = map[string]any{"Name": "n0"}, "Account", 1
				}
				c.triggers(b)
				b.exec(c.sql)
				b.drain()
				b.want("log", b.live(), "")
				b.want("nothing was refused", b.list(`SELECT action || state FROM salesforce._trigger_log_archive WHERE state NOT IN ('SUCCESS', 'MERGED', 'IGNORE')`), "")
				want := "map[]"
				if c.record != "" {
					want = fmt.Sprintf("map[%s:map[%s]]", id, c.record)
				}
				b.want("records", fmt.Sprint(b.sf.records), want)
			})
		})
	}
}

// Of a record with more changes than a run looks at, a transaction is read as a whole.
func TestTransactionsAreNotTornApart(t *testing.T) {
	t.Parallel()
	const id = "acc000000000001AAA"
	b := setup(t)
	b.accounts(1)
	b.trigger("a", "UPDATE OF name", `UPDATE salesforce.account SET name = NEW.name || '!' WHERE id = NEW.id AND NEW.name NOT LIKE '%!'`)
	b.exec(`UPDATE salesforce.account SET industry = 'i'`) // so that the rest is not even
	for n := range perRecordOrdered {
		b.exec(fmt.Sprintf(`UPDATE salesforce.account SET name = 'n%d'`, n))
	}
	b.worker.short = false
	b.drain()
	b.want("log", b.live(), "")
	b.want("record", fmt.Sprint(b.sf.records[id]["Name"]), "n19!")
	for n, line := range b.sf.history[id][1:] {
		b.want("change", line, fmt.Sprintf("update map[Name:n%d%s]", n/2, []string{"", "!"}[n%2]))
	}
}

// An insert that was refused, dismissed and sent again from the archive takes along
// what the app has changed since.
func TestInsertFromTheArchiveIsNotNewest(t *testing.T) {
	t.Parallel()
	inBothModes(t, func(t *testing.T, change func(*Config)) {
		b := setup(t, change)
		b.sf.script(func(_ context.Context, c Call) ([]Outcome, error, bool) {
			return []Outcome{{Failure: &Failure{Class: Permanent, Code: "NO"}}}, nil, false
		})
		b.exec(`INSERT INTO salesforce.account (name, industry) VALUES ('old', 'i')`)
		b.drain()
		b.exec(`UPDATE salesforce._trigger_log SET state = 'IGNORED'`)
		b.drain()
		b.sf.script(nil)
		b.exec(`UPDATE salesforce.account SET name = 'new'`)
		b.drain()
		b.want("log", b.live(), "UPDATE/FAILED")
		b.exec(`UPDATE salesforce._trigger_log_archive SET state = 'REQUEUE'`)
		b.drain()
		b.drain()
		b.want("log", b.live(), "")
		b.want("record", fmt.Sprint(b.sf.records), "map[acc000000000001AAA:map[Industry:i Name:new]]")
	})
}
