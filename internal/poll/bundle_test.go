package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/internal/migrate"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// clock is the org's: it stands still unless it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

type bundle struct {
	t     *testing.T
	clock *clock
	sf    *org.Server
	pool  *pgxpool.Pool
	sink  *pgsink.Sink
	r     *Reader
	o     Object

	client *salesforce.Client
}

// setup returns a reader between an org, whose clock stands, and an empty
// table of contacts.
func setup(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{t: t, clock: &clock{now: time.Now().UTC().Truncate(time.Second)}}
	b.sf = org.New(org.Options{DailyLimit: 1_000_000, Now: b.clock.Now, SessionTimeout: 1000 * time.Hour}).Start()
	t.Cleanup(b.sf.Close)
	b.pool = pgtest.Copy(t, "migrated", migrate.Up)
	client, err := salesforce.New(salesforce.Config{
		LoginURL: b.sf.URL(), Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword,
	})
	b.must(err)
	b.client = client
	_, err = client.Login(t.Context())
	b.must(err)

	b.sink = pgsink.New(b.pool, "salesforce", zerolog.Nop())
	b.r = New(client, b.sink, zerolog.Nop())
	b.o = b.object("Contact", "FirstName", "LastName", "Title", "Email", "External_Id__c")
	return b
}

// object maps some fields of an object of the org.
func (b *bundle) object(name string, fields ...string) Object {
	b.t.Helper()
	d, err := b.client.Describe(b.t.Context(), name)
	b.must(err)
	deletes := d.Field("IsDeleted") != nil
	if deletes {
		fields = append([]string{"IsDeleted"}, fields...)
	}
	fields = append([]string{"Id", "SystemModstamp"}, fields...)
	o := Object{Name: name, Fields: fields, Deletes: deletes, Replicates: d.Replicateable, Interval: 10 * time.Minute, Streamed: func() bool { return true }}
	o.Merges = d.Field("MasterRecordId") != nil
	spec := pgsink.Spec{Schema: "salesforce", Object: name}
	for _, field := range fields {
		column := pgsink.Field{Name: field, Type: "string", Length: 255} // a parent's
		if f := d.Field(field); f != nil {
			column = pgsink.Field{Name: f.Name, Type: f.Type, Length: f.Length, Precision: f.Precision, Scale: f.Scale}
		}
		if f := d.Field(field); f == nil || f.Calculated {
			o.Moving = append(o.Moving, field)
		} else if len(f.ReferenceTo) > 0 {
			o.Lookups = append(o.Lookups, field)
		}
		spec.Fields = append(spec.Fields, column)
	}
	o.Table, err = pgsink.NewTable(spec)
	b.must(err)
	b.must(pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(b.t.Context(), "CREATE SCHEMA IF NOT EXISTS salesforce"); err != nil {
			return err
		}
		_, err := o.Table.Ensure(b.t.Context(), tx)
		return err
	}))
	return o
}

func (b *bundle) must(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bundle) insert(name string) string {
	b.t.Helper()
	id, err := b.sf.AsBulk("loader@example.com").Insert("Contact", map[string]any{"LastName": name})
	b.must(err)
	return id
}

func (b *bundle) insertMany(n int) {
	b.t.Helper()
	_, err := b.sf.AsBulk("loader@example.com").InsertMany("Contact", names(n))
	b.must(err)
}

func names(n int) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(map[string]any{"LastName": fmt.Sprintf("Contact %d, \"quoted\"\r\n", i), "Email": fmt.Sprintf("c%d@example.com", i)}) {
				return
			}
		}
	}
}

func (b *bundle) load() {
	b.t.Helper()
	b.must(b.r.Load(b.t.Context(), b.o, func(int64, int64) {}))
}

// poll polls and reads back what is due now, and returns what the poll found.
func (b *bundle) poll() int {
	b.t.Helper()
	return b.ask(Ask{Wanted: true}).Total()
}

// ask polls once and reads back what it found.
func (b *bundle) ask(ask Ask) Found {
	b.t.Helper()
	b.tell()
	found, _, err := b.r.Poll(b.t.Context(), b.o, Pace{Stretch: 1, Deep: true}, ask)
	b.must(err)
	b.hydrate()
	return found
}

// tell lets the reader know the org's time, as any answer does.
func (b *bundle) tell() {
	b.t.Helper()
	_, err := b.client.Count(b.t.Context(), "SELECT COUNT() FROM Lead")
	b.must(err)
}

func (b *bundle) hydrate(others ...Object) {
	b.t.Helper()
	rounds := 0
	for again := true; again; rounds++ {
		if again = false; rounds > 200 {
			b.t.Fatal("the same is read back over and over")
		}
		for _, o := range append(others, b.o) {
			n, _, err := b.r.Hydrate(b.t.Context(), o)
			b.must(err)
			again = again || n > 0
		}
	}
}

// compare compares everything and reads back what it found.
func (b *bundle) compare() Found {
	b.t.Helper()
	b.tell()
	found, err := b.r.Full(b.t.Context(), b.o, func(int64, int64) {})
	b.must(err)
	b.hydrate()
	return found
}

// verify returns what Verify reports.
func (b *bundle) verify(o Object) (differences []pgsink.Difference) {
	b.t.Helper()
	b.must(b.r.Verify(b.t.Context(), o, func(int64, int64) {}, func(d pgsink.Difference) error {
		differences = append(differences, d)
		return nil
	}))
	return differences
}

// value is one column of one row; "" if there is none.
func (b *bundle) value(table, column, sfid string) (v string) {
	b.t.Helper()
	b.must(b.pool.QueryRow(b.t.Context(), "SELECT coalesce((SELECT coalesce("+column+"::text, 'null') FROM salesforce."+table+" WHERE sfid = $1), '')", sfid).Scan(&v))
	return v
}

// hooked calls before ahead of every query, retrieve ahead of every reading back, and
// answered after it.
type hooked struct {
	Source

	before   func(soql string)
	retrieve func()
	answered func()
	refuse   func(ids []string) error
}

func (h hooked) Retrieve(ctx context.Context, object string, ids, fields []string) ([]json.RawMessage, error) {
	if h.retrieve != nil {
		h.retrieve()
	}
	if h.refuse != nil {
		if err := h.refuse(ids); err != nil {
			return nil, err
		}
	}
	records, err := h.Source.Retrieve(ctx, object, ids, fields)
	if h.answered != nil {
		h.answered()
	}
	return records, err
}

func (h hooked) Query(ctx context.Context, soql string, o salesforce.QueryOpts) (*salesforce.Page, error) {
	if h.before != nil {
		h.before(soql)
	}
	return h.Source.Query(ctx, soql, o)
}

func (b *bundle) equal() {
	b.t.Helper()
	diff, err := compare.Sides(b.t.Context(), b.pool, "salesforce", b.sf, "Contact")
	b.must(err)
	if len(diff) > 0 {
		b.t.Errorf("not equal:\n%s", strings.Join(diff, "\n"))
	}
}

func (b *bundle) rows() int {
	b.t.Helper()
	var n int
	b.must(b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM salesforce.contact").Scan(&n))
	return n
}

// calls counts the requests whose path contains part.
func (b *bundle) calls(part string) (n int) {
	for _, r := range b.sf.Requests() {
		if strings.Contains(r.Path, part) {
			n++
		}
	}
	return n
}

// asked counts the requests, composite ones among them, that mention part.
func (b *bundle) asked(part string) (n int) {
	for _, r := range b.sf.Requests() {
		n += strings.Count(r.Path, part) + strings.Count(string(r.Body), part)
	}
	return n
}

// drop removes a table of the mapping.
func (b *bundle) drop(table string) error {
	_, err := b.pool.Exec(b.t.Context(), "DROP TABLE salesforce."+table)
	return err
}
