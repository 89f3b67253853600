package crash

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"syscall"
	"time"

	"hcbridge/test/check"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// scenario is something that happens while the bridge dies.
type scenario struct {
	name string
	// fresh ones begin with an empty database and an org of their own, and their
	// effects are counted from the start of the process. Others happen again and
	// again to a bridge that is at work.
	fresh bool
	own   bool // what it leaves would be a burden to others
	env   map[string]string
	// prepare makes what is there before, and is over when both sides are equal.
	prepare func(context.Context, *world) error
	act     func(context.Context, *world) error
	size    int // about how many effects it has, for an even sample of them
	// again says that it dies for the first time at some effect of the scenario, and
	// that those are counted by which the next process recovers.
	again bool
	twice bool // it is done both ways
}

// all are the scenarios in the order of the report: those below, and those of them
// that a bridge at work sees, with a second death.
func all() (list []scenario) {
	for _, s := range scenarios {
		list = append(list, s)
		if s.twice {
			s.name, s.again, s.size = s.name+"+again", true, 230
			list = append(list, s)
		}
	}
	return list
}

// first is the effect of the first death, another one for each point.
func (s scenario) first(n int) int { return 1 + n*7%30 }

// scenarios are what can happen.
var scenarios = []scenario{
	{name: "events", twice: true, size: 36, act: events},
	{name: "read-back", twice: true, size: 36, act: readBack},
	{name: "poll", twice: true, size: 36, env: map[string]string{"HC_POLL_INTERVAL": "1s", "HC_OBJECT_CONTACT_POLL_INTERVAL": ""}, act: lateCommits},
	{name: "deletes", twice: true, size: 40, prepare: threeAccounts, act: deletes},
	{name: "upsert", twice: true, size: 36, act: upserts},
	{name: "insert", twice: true, size: 36, act: inserts},
	{name: "update-delete", twice: true, size: 45, prepare: threeAccounts, act: updates},
	{name: "family", twice: true, size: 40, env: map[string]string{
		"HC_OBJECT_ACCOUNT_EXTERNAL_ID": "External_Id__c", "HC_OBJECT_CONTACT_FIELDS": "LastName,Title,AccountId,External_Id__c,Account.External_Id__c",
	}, act: family},
	{name: "echo-first", twice: true, size: 36, act: echoFirst},
	{name: "conflict", twice: true, size: 40, prepare: threeAccounts, act: conflict},
	{name: "reload", twice: true, size: 45, act: reload},
	{name: "start", size: 200, prepare: down, act: func(ctx context.Context, w *world) error {
		if err := w.start(); err != nil {
			return err
		}
		return w.ready(ctx)
	}},
	{name: "load", fresh: true, size: 250, prepare: func(_ context.Context, w *world) error { return w.people(30) }, act: loaded},
	{name: "take-over", fresh: true, size: 300, env: map[string]string{
		"HC_OBJECTS": "Account,Contact", "HC_OBJECT_INVOICE__C_FIELDS": "", "HC_OBJECT_ACCOUNT_EXTERNAL_ID": "External_Id__c", "HC_OBJECT_ACCOUNT_FIELDS": "CreatedDate,Name,Industry,Phone,External_Id__c",
	}, prepare: herokus, act: takeOver},
	{name: "bulk-load", fresh: true, size: 280, prepare: func(_ context.Context, w *world) error { return w.people(2100) }, act: loaded, env: map[string]string{
		"HC_OBJECTS": "Account", "HC_OBJECT_CONTACT_ACCESS": "", "HC_OBJECT_CONTACT_EXTERNAL_ID": "", "HC_OBJECT_CONTACT_FIELDS": "", "HC_OBJECT_CONTACT_POLL_INTERVAL": "", "HC_OBJECT_INVOICE__C_FIELDS": "",
	}},
	{name: "bulk", own: true, size: 80, prepare: manyContacts, act: bulk},
}

// people makes n accounts in the org and, if contacts are mapped, a few of those.
func (w *world) people(n int) error {
	ids, err := w.sf.InsertMany("Account", func(yield func(map[string]any) bool) {
		for i := 0; i < n && yield(map[string]any{"Name": w.name("Account"), "Industry": "Banking"}); i++ {
		}
	})
	if err != nil || len(w.objects) == 1 {
		return err
	}
	_, err = w.sf.InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := 0; i < 8 && yield(map[string]any{"LastName": w.name("Contact"), "AccountId": ids[i]}); i++ {
		}
	})
	return err
}

// loaded starts a bridge, and while it loads people work on in the org and the
// app in what is there.
func loaded(ctx context.Context, w *world) error {
	if err := w.start(); err != nil {
		return err
	}
	accounts := w.sf.Records("Account")
	if err := w.is(ctx, `SELECT to_regclass('salesforce.account') IS NOT NULL AND to_regclass('hcbridge.object') IS NOT NULL`); err != nil {
		return err
	}
	if err := w.sf.Update("Account", accounts[0].ID, map[string]any{"Phone": "1"}); err != nil {
		return err
	}
	if err := w.sf.Delete("Account", accounts[20].ID); err != nil {
		return err
	}
	return w.is(ctx, `SELECT count(*) = $1 FROM hcbridge.object WHERE loaded_at IS NOT NULL`, len(w.objects))
}

// down ends the bridge, and both sides change while there is none.
func down(ctx context.Context, w *world) error {
	w.end(syscall.SIGTERM)
	if _, err := w.app.Insert(ctx, "Account", map[string]any{"name": w.name("App"), "phone": "1"}); err != nil {
		return err
	}
	_, err := w.sf.Insert("Account", map[string]any{"Name": w.name("User")})
	return err
}

func events(ctx context.Context, w *world) error {
	id, err := w.sf.Insert("Account", map[string]any{"Name": w.name("Event"), "Phone": "0"})
	if err != nil {
		return err
	}
	if _, err := w.sf.Insert("Contact", map[string]any{"LastName": w.name("Event"), "AccountId": id}); err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT EXISTS (SELECT FROM salesforce.account WHERE sfid = $1)`, id); err != nil {
		return err
	}
	return errors.Join(
		w.sf.Update("Account", id, map[string]any{"Phone": "1"}),
		w.sf.Update("Account", id, map[string]any{"Phone": "2", "Industry": "Energy"}),
	)
}

// readBack makes records whose long texts no event carries.
func readBack(ctx context.Context, w *world) error {
	id, err := w.sf.Insert("Invoice__c", map[string]any{"External_Id__c": w.name("i"), "Notes__c": strings.Repeat("long ", 400)})
	if err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT EXISTS (SELECT FROM salesforce.invoice__c WHERE sfid = $1)`, id); err != nil {
		return err
	}
	if err := w.sf.Update("Invoice__c", id, map[string]any{"Notes__c": strings.Repeat("longer ", 400)}); err != nil {
		return err
	}
	_, err = w.sf.Insert("Invoice__c", map[string]any{"Notes__c": "short"})
	return err
}

// lateCommits are changes without events, one of which has taken its stamp long
// before it can be seen.
func lateCommits(ctx context.Context, w *world) error {
	loader := w.sf.AsBulk("loader@example.com")
	id, err := loader.Insert("Account", map[string]any{"Name": w.name("Loaded")})
	if err != nil {
		return err
	}
	late := w.name("Late")
	w.late(late)
	if _, err := loader.Insert("Account", map[string]any{"Name": late}); err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT EXISTS (SELECT FROM salesforce.account WHERE sfid = $1)`, id); err != nil {
		return err
	}
	return loader.Update("Account", id, map[string]any{"Phone": "1"})
}

// late gives the account of that name a stamp of eight minutes ago.
func (w *world) late(name string) {
	w.sf.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name == "Account" && d.Kind == sobject.Insert && d.Get("Name") == name {
			d.Tx.At = d.Tx.At.Add(-8 * time.Minute)
		}
		return nil
	})
}

// threeAccounts are the app's, and are there when it begins.
func threeAccounts(ctx context.Context, w *world) error {
	return w.app.Do(ctx, func(tx *check.Tx) error {
		for range 3 {
			if _, err := tx.Insert(ctx, "Account", map[string]any{"name": w.name("Account"), "phone": "0"}); err != nil {
				return err
			}
		}
		return nil
	})
}

// last are the newest rows, the newest last.
func (w *world) last(ctx context.Context, n int) (ids []int64, sfids []string, err error) {
	err = w.pool.QueryRow(ctx, `SELECT array_agg(id::bigint ORDER BY id), array_agg(sfid::text ORDER BY id) FROM (SELECT id, sfid FROM salesforce.account WHERE sfid IS NOT NULL ORDER BY id DESC LIMIT $1) AS l`, n).Scan(&ids, &sfids)
	if err == nil && len(ids) < n {
		err = fmt.Errorf("%d accounts, not %d", len(ids), n)
	}
	return ids, sfids, err
}

func deletes(ctx context.Context, w *world) error {
	_, sfids, err := w.last(ctx, 3)
	if err != nil {
		return err
	}
	if err := errors.Join(w.sf.Delete("Account", sfids[0]), w.sf.Delete("Account", sfids[1])); err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT NOT EXISTS (SELECT FROM salesforce.account WHERE sfid = $1)`, sfids[0]); err != nil {
		return err
	}
	return errors.Join(w.sf.Undelete("Account", sfids[0]), w.sf.Update("Account", sfids[2], map[string]any{"Phone": "1"}), w.sf.Delete("Account", sfids[2]))
}

func upserts(ctx context.Context, w *world) error {
	var id int64
	err := w.app.Do(ctx, func(tx *check.Tx) (err error) {
		for range 2 {
			name := w.name("c")
			if id, err = tx.Insert(ctx, "Contact", map[string]any{"lastname": name, "external_id__c": name}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.app.Update(ctx, "Contact", id, map[string]any{"title": "1"})
}

func inserts(ctx context.Context, w *world) error {
	var id int64
	err := w.app.Do(ctx, func(tx *check.Tx) (err error) {
		for range 3 {
			if id, err = tx.Insert(ctx, "Account", map[string]any{"name": w.name("App"), "phone": "0"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return w.app.Update(ctx, "Account", id, map[string]any{"phone": "1"})
}

func updates(ctx context.Context, w *world) error {
	ids, _, err := w.last(ctx, 3)
	if err != nil {
		return err
	}
	for _, phone := range []string{"1", "2"} {
		if err := w.app.Update(ctx, "Account", ids[0], map[string]any{"phone": phone}); err != nil {
			return err
		}
	}
	return errors.Join(
		w.app.Update(ctx, "Account", ids[1], map[string]any{"phone": "1", "industry": "Energy"}),
		w.app.Delete(ctx, "Account", ids[1]),
		w.app.Delete(ctx, "Account", ids[2]),
		w.app.Update(ctx, "Account", ids[0], map[string]any{"phone": "3"}),
	)
}

// manyContacts makes as many as go by a job, once in a world.
func manyContacts(ctx context.Context, w *world) error {
	var has bool
	if err := w.pool.QueryRow(ctx, `SELECT count(*) >= 2000 FROM salesforce.contact`).Scan(&has); err != nil || has {
		return err
	}
	_, err := w.sf.InsertMany("Contact", func(yield func(map[string]any) bool) {
		for range 2000 {
			name := w.name("m")
			if !yield(map[string]any{"LastName": name, "External_Id__c": name}) {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return w.is(ctx, `SELECT count(*) >= 2000 FROM salesforce.contact`)
}

func bulk(ctx context.Context, w *world) error {
	return w.app.Do(ctx, func(tx *check.Tx) error {
		_, err := tx.UpdateAll(ctx, "Contact", "sfid IS NOT NULL", map[string]any{"title": w.name("t")})
		return err
	})
}

// family is a parent and its children, of which the first names the other by its
// external id.
func family(ctx context.Context, w *world) error {
	return w.app.Do(ctx, func(tx *check.Tx) error {
		parent := w.name("p")
		for range 2 {
			name := w.name("c")
			if _, err := tx.Insert(ctx, "Contact", map[string]any{"lastname": name, "external_id__c": name, "account__external_id__c": parent}); err != nil {
				return err
			}
		}
		_, err := tx.Insert(ctx, "Account", map[string]any{"name": parent, "external_id__c": parent})
		return err
	})
}

// echoFirst lets the events of what is written arrive long before the answer.
func echoFirst(ctx context.Context, w *world) error {
	slow := w.sf.Fault(org.Fault{Method: "POST", Path: "/composite|/sobjects/", Verb: org.Slow, Delay: 300 * time.Millisecond})
	defer slow.Remove()
	name := w.name("App")
	if _, err := w.app.Insert(ctx, "Account", map[string]any{"name": name}); err != nil {
		return err
	}
	return w.is(ctx, `SELECT EXISTS (SELECT FROM salesforce.account WHERE name = $1 AND sfid IS NOT NULL)`, name)
}

// conflict changes the same records on both sides at once, in another field and
// in the same.
func conflict(ctx context.Context, w *world) error {
	ids, sfids, err := w.last(ctx, 2)
	if err != nil {
		return err
	}
	return errors.Join(
		w.app.Update(ctx, "Account", ids[0], map[string]any{"phone": "1"}),
		w.sf.Update("Account", sfids[0], map[string]any{"Industry": "Energy"}),
		w.app.Update(ctx, "Account", ids[1], map[string]any{"phone": "1"}),
		w.sf.Update("Account", sfids[1], map[string]any{"Phone": "2"}),
	)
}

func reload(ctx context.Context, w *world) error {
	if err := w.exec(ctx, `UPDATE hcbridge.object SET reload_requested_at = clock_timestamp() WHERE object = 'Account'`); err != nil {
		return err
	}
	if _, err := w.app.Insert(ctx, "Account", map[string]any{"name": w.name("App")}); err != nil {
		return err
	}
	if _, err := w.sf.Insert("Account", map[string]any{"Name": w.name("User")}); err != nil {
		return err
	}
	return w.is(ctx, `SELECT count(*) = 0 FROM hcbridge.object WHERE reload_requested_at IS NOT NULL OR loaded_at IS NULL`)
}

// herokus makes the tables that Heroku Connect would have left, with the records
// of the org in them, and a change that it has not sent.
func herokus(ctx context.Context, w *world) error {
	if err := w.people(20); err != nil {
		return err
	}
	for _, name := range []string{"system", "tables", "capture", "table account", "table contact"} {
		name, table, _ := strings.Cut(name, " ")
		sql, err := os.ReadFile("../takeover/testdata/" + name + ".sql")
		if err != nil {
			return err
		}
		if err := w.exec(ctx, strings.NewReplacer("{table}", table, "{state}", "NEW").Replace(string(sql))); err != nil {
			return err
		}
	}
	if err := w.exec(ctx, `INSERT INTO salesforce._hcmeta (hcver, org_id, details) VALUES (10, $1, NULL)`, w.sf.ID()); err != nil {
		return err
	}
	ob := w.sf.Object("Account")
	for _, r := range w.sf.Records("Account") {
		if err := w.heroku(ctx, "account", r, map[string]any{"createddate": r.Created, "isdeleted": false, "name": r.Get(ob, "Name"), "industry": r.Get(ob, "Industry"), "systemmodstamp": r.Stamp}); err != nil {
			return err
		}
	}
	ob = w.sf.Object("Contact")
	for _, r := range w.sf.Records("Contact") {
		if err := w.heroku(ctx, "contact", r, map[string]any{"isdeleted": false, "lastname": r.Get(ob, "LastName"), "accountid": r.Get(ob, "AccountId"), "systemmodstamp": r.Stamp}); err != nil {
			return err
		}
	}
	name := w.name("a")
	if _, err := w.app.Insert(ctx, "Account", map[string]any{"name": name, "external_id__c": name}); err != nil {
		return err
	}
	return w.sf.Update("Account", w.sf.Records("Account")[0].ID, map[string]any{"Phone": "since"})
}

// heroku writes a row as Heroku Connect does.
func (w *world) heroku(ctx context.Context, table string, r sobject.Record, values map[string]any) error {
	values["sfid"], values["_hc_lastop"] = r.ID, "SYNCED"
	var columns, marks []string
	var args []any
	for column := range maps.Keys(values) {
		columns, args = append(columns, column), append(args, values[column])
		marks = append(marks, fmt.Sprintf("$%d", len(args)))
	}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }()
	if _, err := tx.Exec(ctx, "SET LOCAL xmlbinary = 'hex'"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "INSERT INTO salesforce."+table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", args...); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

func takeOver(ctx context.Context, w *world) error {
	if err := w.start(); err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT to_regclass('hcbridge.purse') IS NOT NULL`); err != nil {
		return err
	}
	if err := w.is(ctx, `SELECT EXISTS (SELECT FROM hcbridge.instance WHERE unsafe IS NOT NULL)`); err != nil {
		return err
	}
	// What the command adopt does.
	if err := w.exec(ctx, `UPDATE hcbridge.instance SET unsafe = NULL`); err != nil {
		return err
	}
	return w.is(ctx, `SELECT count(*) = 2 FROM hcbridge.object WHERE loaded_at IS NOT NULL AND NOT full_wanted AND full_mark > '2000-01-01'`)
}
