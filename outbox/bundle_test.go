package outbox

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

const testSchema = "salesforce"

func rw(name, field, kind string) Column {
	return Column{Name: name, Field: field, Type: kind, Createable: true, Updateable: true}
}

func testTables() []Table {
	system := []Column{{Name: "sfid", Field: "Id", Type: "id"}, {Name: "systemmodstamp", Field: "SystemModstamp", Type: "datetime"}}
	account := Table{Object: "Account", Name: "account", ReadWrite: true, Columns: append([]Column{
		rw("name", "Name", "string"), rw("industry", "Industry", "picklist"), rw("numberofemployees", "NumberOfEmployees", "int"),
		rw("annualrevenue", "AnnualRevenue", "currency"), rw("active__c", "Active__c", "boolean"), rw("founded__c", "Founded__c", "date"),
		rw("seen__c", "Seen__c", "datetime"), rw("external_id__c", "External_Id__c", "string"), rw("parentid", "ParentId", "reference"),
		{Name: "score__c", Field: "Score__c", Type: "double"},
		{Name: "currencyisocode", Field: "CurrencyIsoCode", Type: "picklist", Createable: true},
	}, system...)}
	contact := Table{Object: "Contact", Name: "contact", ReadWrite: true, Columns: append([]Column{
		rw("lastname", "LastName", "string"), rw("accountid", "AccountId", "reference"),
		{Name: "account__external_id__c", Field: "Account.External_Id__c", Type: "string", Createable: true, Updateable: true, Relationship: "Account", RelationObject: "Account", RelationField: "External_Id__c"},
	}, system...)}
	user := Table{Object: "User", Name: "user", Columns: append([]Column{rw("name", "Name", "string")}, system...)}
	return []Table{account, contact, user}
}

const testDDL = `
CREATE SCHEMA salesforce;
CREATE TABLE salesforce.account (
    name varchar(255), industry varchar(255), numberofemployees integer, annualrevenue double precision, active__c boolean,
    founded__c date, seen__c timestamp, external_id__c varchar(255), parentid varchar(18), score__c double precision,
    currencyisocode varchar(3), unmapped text, systemmodstamp timestamp, isdeleted boolean,
    sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_account_sfid ON salesforce.account (sfid);
CREATE TABLE salesforce.contact (
    lastname varchar(80), accountid varchar(18), account__external_id__c varchar(255), systemmodstamp timestamp,
    sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX hcu_idx_contact_sfid ON salesforce.contact (sfid);
CREATE TABLE salesforce."user" (
    name varchar(121), systemmodstamp timestamp,
    sfid varchar(18), id bigserial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text);
`

type bundle struct {
	testing.TB
	pool   *pgxpool.Pool
	sf     *fakeOrg
	worker *Worker
}

// setup makes a database with the test tables, captured, and a worker on it.
func setup(t testing.TB, change ...func(*Config)) *bundle {
	t.Helper()
	b := &bundle{TB: t, sf: newFakeOrg(), pool: pgtest.Copy(t, "captured", func(ctx context.Context, conn *pgx.Conn) error {
		if _, err := conn.Exec(ctx, testDDL, pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		return installOn(ctx, conn, testTables())
	})}
	b.restart(change...)
	return b
}

func installOn(ctx context.Context, conn *pgx.Conn, tables []Table) error {
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error { return Install(ctx, tx, testSchema, tables, nil, "00D000000000001EAA") })
}

func (b *bundle) install(tables []Table) {
	b.Helper()
	err := b.pool.AcquireFunc(b.Context(), func(conn *pgxpool.Conn) error { return installOn(b.Context(), conn.Conn(), tables) })
	if err != nil {
		b.Fatal(err)
	}
}

// restart replaces the worker, as a new process would.
func (b *bundle) restart(change ...func(*Config)) {
	b.Helper()
	cfg := Config{
		Schema: testSchema, Tables: testTables(), Sender: b.sf, Log: zerolog.Nop(), TidyEvery: time.Nanosecond, Calls: 1,
		Backoff: func(int) time.Duration { return time.Millisecond },
	}
	for _, c := range change {
		c(&cfg)
	}
	w, err := New(b.pool, cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.worker = w
}

func merged(c *Config) { c.Algorithm = Merged }

func withExternalID(c *Config) { c.Tables[0].ExternalID = "External_Id__c" }

func (b *bundle) exec(sql string, args ...any) {
	b.Helper()
	if _, err := b.pool.Exec(b.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, args...)...); err != nil {
		b.Fatalf("%v\n%s", err, sql)
	}
}

// hex runs statements as the bridge does: not captured.
func (b *bundle) hex(sql string) {
	b.Helper()
	b.exec("BEGIN; SELECT set_config('xmlbinary', 'hex', true); " + sql + "; COMMIT")
}

func (b *bundle) one(sql string, args ...any) string {
	b.Helper()
	var s *string
	if err := b.pool.QueryRow(b.Context(), "SELECT ("+sql+")::text", args...).Scan(&s); err != nil {
		b.Fatalf("%v\n%s", err, sql)
	}
	if s == nil {
		return "NULL"
	}
	return *s
}

// list returns rows of one text column, joined.
func (b *bundle) list(sql string, args ...any) string {
	b.Helper()
	rows, err := b.pool.Query(b.Context(), sql, args...)
	if err != nil {
		b.Fatal(err)
	}
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		b.Fatalf("%v\n%s", err, sql)
	}
	return strings.Join(got, " ")
}

// live and archived show the logs as "INSERT/NEW UPDATE/IGNORE".
func (b *bundle) live() string {
	b.Helper()
	return b.list(`SELECT action || '/' || state FROM salesforce._trigger_log ORDER BY id`)
}

func (b *bundle) archived() string {
	b.Helper()
	return b.list(`SELECT action || '/' || state FROM salesforce._trigger_log_archive ORDER BY id`)
}

func (b *bundle) run() int {
	b.Helper()
	n, err := b.worker.RunOnce(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// drain runs until nothing moves any more.
func (b *bundle) drain() {
	b.Helper()
	for idle := 0; idle < 3; idle++ {
		if b.run() > 0 {
			idle = 0
		}
		time.Sleep(2 * time.Millisecond) // longer than the tests' back-off
	}
}

func (b *bundle) want(what, got, want string) {
	b.Helper()
	if got != want {
		b.Errorf("%s:\n got %s\nwant %s", what, got, want)
	}
}

// eventually waits for a condition that another goroutine brings about.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !holds(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// fakeOrg is a Sender with records in memory, and a hook to misbehave.
type fakeOrg struct {
	sync.Mutex
	calls   []Call
	records map[string]map[string]any // by id
	objects map[string]string         // id → object
	history map[string][]string       // id → what was done to it
	next    int
	looks   int                      // of Find
	foreign map[string]bool          // ids of records that others have made, or were the last to change
	ages    map[string]time.Duration // since the last change, by id; 0 = this very moment
	blind   error                    // of Compare
	bin     map[string]map[string]any

	// hook sees a call first. outcomes or err not nil replace the answer;
	// apply tells whether the call takes effect all the same.
	hook func(ctx context.Context, c Call) (outcomes []Outcome, err error, apply bool)
}

func newFakeOrg() *fakeOrg {
	return &fakeOrg{records: map[string]map[string]any{}, objects: map[string]string{}, history: map[string][]string{}, foreign: map[string]bool{}, ages: map[string]time.Duration{}, bin: map[string]map[string]any{}}
}

func (o *fakeOrg) Send(ctx context.Context, c Call) ([]Outcome, error) {
	o.Lock()
	hook := o.hook
	o.calls = append(o.calls, c)
	o.Unlock()
	if hook != nil {
		outcomes, err, apply := hook(ctx, c)
		if apply {
			o.apply(c)
		}
		if outcomes != nil || err != nil {
			return outcomes, err
		}
	}
	return o.apply(c), nil
}

func (o *fakeOrg) apply(c Call) []Outcome {
	o.Lock()
	defer o.Unlock()
	outcomes := make([]Outcome, len(c.Records))
	for i, r := range c.Records {
		outcomes[i] = o.applyOne(c, r)
	}
	return outcomes
}

func (o *fakeOrg) applyOne(c Call, r Record) Outcome {
	id, created := r.SFID, false
	switch c.Op {
	case Upsert:
		id = o.find(c.Object, c.ExternalID, r.Fields[c.ExternalID])
		fallthrough
	case Insert:
		if id == "" {
			o.next++
			id, created = fmt.Sprintf("%.3s%012dAAA", strings.ToLower(c.Object), o.next), true
			o.records[id], o.objects[id] = map[string]any{}, c.Object
		}
	case Update, Delete:
		if o.records[id] == nil {
			return Outcome{Failure: &Failure{Class: Conflict, Code: "ENTITY_IS_DELETED", Message: "entity is deleted"}}
		}
	}
	for k, v := range r.Fields {
		if parent, ok := v.(map[string]any); ok {
			for field, value := range parent {
				pid := o.find("", field, value)
				if pid == "" {
					return Outcome{Failure: &Failure{Class: Permanent, Code: "INVALID_FIELD", Message: fmt.Sprintf("Foreign key external ID: %v not found", value)}}
				}
				k, v = k+"Id", pid
			}
		}
		o.records[id][k] = v
	}
	if c.Op == Delete {
		delete(o.records, id)
	}
	o.history[id] = append(o.history[id], fmt.Sprintf("%s %v", c.Op, r.Fields))
	return Outcome{SFID: id, Created: created}
}

func (o *fakeOrg) find(object, field string, value any) string {
	for id, r := range o.records {
		if (object == "" || o.objects[id] == object) && r[field] == value && value != nil {
			return id
		}
	}
	return ""
}

// sent shows the calls as "insert Account 2".
func (o *fakeOrg) sent() string {
	o.Lock()
	defer o.Unlock()
	var list []string
	for _, c := range o.calls {
		list = append(list, fmt.Sprintf("%s %s %d", c.Op, c.Object, len(c.Records)))
	}
	return strings.Join(list, ", ")
}

func (o *fakeOrg) script(hook func(context.Context, Call) ([]Outcome, error, bool)) {
	o.Lock()
	o.hook = hook
	o.Unlock()
}

func (o *fakeOrg) count(object string) int {
	o.Lock()
	defer o.Unlock()
	n := 0
	for id := range o.records {
		if o.objects[id] == object {
			n++
		}
	}
	return n
}

// refuse answers every record of calls that pick chooses with f, the first n times.
func refuse(n int, f Failure, pick func(Call, Record) bool) func(context.Context, Call) ([]Outcome, error, bool) {
	var mu sync.Mutex
	return func(_ context.Context, c Call) ([]Outcome, error, bool) {
		mu.Lock()
		defer mu.Unlock()
		if n == 0 || !slices.ContainsFunc(c.Records, func(r Record) bool { return pick(c, r) }) {
			return nil, nil, false
		}
		n--
		outcomes := make([]Outcome, len(c.Records))
		for i, r := range c.Records {
			fail := f
			if !pick(c, r) {
				fail = Failure{Class: Transient, Code: "OTHER", Message: "not yet"}
			}
			outcomes[i] = Outcome{Failure: &fail}
		}
		return outcomes, nil, false
	}
}
