package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/mattn/go-isatty"
	"golang.org/x/sync/errgroup"

	"hcbridge/internal/bridge"
	"hcbridge/internal/status"
	"hcbridge/test/compare"
	"hcbridge/test/org"
)

const (
	// eachWay is the pause between two changes on one side.
	eachWay = 100 * time.Millisecond
	// insertEvery is how many changes of an app lie between two inserts, each of
	// which comes with a delete.
	insertEvery = 10
	// settleIn is how long the sides may take to become equal once the traffic
	// has stopped.
	settleIn = 20 * time.Second
	// arrivesIn is when a change that has not arrived counts as late.
	arrivesIn = 10 * time.Second
)

// demo is a running demonstration.
type demo struct {
	sf       *org.Server
	pool     *pgxpool.Pool
	bridge   *bridge.Bridge
	out      io.Writer
	url, log string
	addr     string

	in, back samples // Salesforce → Postgres, Postgres → Salesforce
}

// run shows the demo until ctx ends, or for a duration that is not zero, and
// then its outcome. failed is the bridge's own end.
func (d *demo) run(ctx context.Context, duration time.Duration, failed <-chan error) error {
	d.intro()
	if err := d.ready(ctx, failed); err != nil {
		return err
	}
	if duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, duration)
		defer cancel()
	}
	g, gctx := errgroup.WithContext(ctx)
	g.Go(func() error { return d.editSalesforce(gctx) })
	g.Go(func() error { return d.editPostgres(gctx) })
	g.Go(func() error { d.show(gctx); return nil })
	if err := g.Wait(); err != nil {
		return err
	}
	return d.summary()
}

func (d *demo) intro() {
	contact := ""
	for _, r := range d.sf.Records("Contact") {
		contact = r.ID
		break
	}
	d.printf("hcbridge demo: a simulated Salesforce org, a private Postgres, and the bridge between them.\n\n")
	d.printf("  status page  http://%s/\n", d.addr)
	d.printf("  mapping page http://%s/mapping\n", d.addr)
	d.printf("  log          tail -f %s\n", d.log)
	d.printf("  database     psql %q\n\n", d.url)
	d.printf("Try, in another terminal:\n")
	d.printf("  psql %q -c \"UPDATE salesforce.contact SET title = 'Captain' WHERE sfid = '%s'\"\n", d.url, contact)
	d.printf("  curl -X PATCH -H 'Content-Type: application/json' -d '{\"Title\":\"Admiral\"}' %s/_org/records/Contact/%s\n\n", d.sf.URL(), contact)
}

// ready waits until the first load is done.
func (d *demo) ready(ctx context.Context, failed <-chan error) error {
	began := time.Now()
	for {
		changed := d.bridge.Board().Changed()
		done := true
		var rows int64
		for _, o := range d.bridge.Board().Snapshot().Objects {
			done = done && o.State == status.DataSynced && o.LastPollAt != nil
			rows += o.Loaded
		}
		if ok, _ := d.bridge.Board().Ready(); ok && done {
			d.printf("Loaded %d records in %s.\n\n", rows, time.Since(began).Round(time.Millisecond))
			return nil
		}
		select {
		case <-changed:
		case err := <-failed:
			return fmt.Errorf("the bridge ended: %w", err)
		case <-ctx.Done():
			_, stops := d.bridge.Board().Ready()
			return fmt.Errorf("the time was over before the first load was done: %v", stops)
		}
	}
}

// edited is an object that the traffic changes.
type edited struct {
	object               string
	salesforce, postgres string   // the field that is changed there
	theirs, ours         []string // the records that are changed there: never the same
}

// edits returns what the n-th change is made to: a contact, and now and then an
// account or an invoice.
func (d *demo) edits() func(n int) edited {
	list := []edited{
		{object: "Contact", salesforce: "Title", postgres: "Phone"},
		{object: "Account", salesforce: "Site", postgres: "Phone"},
		{object: "Invoice__c", salesforce: "Name", postgres: "Notes__c"},
	}
	for i := range list {
		var ids []string
		for _, r := range d.sf.Records(list[i].object) {
			ids = append(ids, r.ID)
		}
		list[i].theirs, list[i].ours = ids[:len(ids)/2], ids[len(ids)/2:]
	}
	return func(n int) edited {
		switch n % 10 {
		case 3:
			return list[1]
		case 7:
			return list[2]
		}
		return list[0]
	}
}

func oneOf(ids []string) string { return ids[rand.IntN(len(ids))] } //nolint:gosec // which one is of no consequence

// editSalesforce changes records as another user of the org, and measures how
// long each change takes to reach its row.
func (d *demo) editSalesforce(ctx context.Context) error {
	next := d.edits()
	for n := 0; pause(ctx, eachWay); n++ {
		e, value := next(n), fmt.Sprintf("Edit %d", n)
		id := oneOf(e.theirs)
		if err := d.sf.Update(e.object, id, map[string]any{e.salesforce: value}); err != nil {
			return fmt.Errorf("edit in Salesforce: %w", err)
		}
		began := time.Now()
		d.in.measure(ctx, began, func() bool {
			var have *string
			err := d.pool.QueryRow(ctx, "SELECT "+columnOf(e.salesforce)+" FROM "+tableOf(e.object)+" WHERE sfid = $1", id).Scan(&have)
			return err == nil && have != nil && *have == value
		})
	}
	return nil
}

// editPostgres changes records, and inserts and deletes contacts, as an app would,
// and measures how long each update takes to reach its record.
func (d *demo) editPostgres(ctx context.Context) error {
	next := d.edits()
	for n := 0; pause(ctx, eachWay); n++ {
		e, value := next(n), fmt.Sprintf("+1 555 %06d", n)
		id := oneOf(e.ours)
		if _, err := d.pool.Exec(context.WithoutCancel(ctx), "UPDATE "+tableOf(e.object)+" SET "+columnOf(e.postgres)+" = $1 WHERE sfid = $2", value, id); err != nil {
			return fmt.Errorf("edit in Postgres: %w", err)
		}
		began := time.Now()
		d.back.measure(ctx, began, func() bool {
			r, ok := d.sf.Get(e.object, id)
			return ok && r.Get(d.sf.Object(e.object), e.postgres) == value
		})
		if n%insertEvery == insertEvery/2 {
			if err := d.insertAndDelete(context.WithoutCancel(ctx), n); err != nil {
				return err
			}
		}
	}
	return nil
}

// insertAndDelete adds a contact in Postgres and deletes the one before.
func (d *demo) insertAndDelete(ctx context.Context, n int) error {
	key := func(n int) string { return fmt.Sprintf("demo-%d", n) }
	_, err := d.pool.Exec(ctx, "INSERT INTO salesforce.contact (firstname, lastname, external_id__c) VALUES ('Made', 'In Postgres', $1)", key(n))
	if err == nil {
		_, err = d.pool.Exec(ctx, "DELETE FROM salesforce.contact WHERE external_id__c = $1 AND sfid IS NOT NULL", key(n-insertEvery))
	}
	if err != nil {
		return fmt.Errorf("edit in Postgres: %w", err)
	}
	return nil
}

// show prints the table again and again, in place on a terminal.
func (d *demo) show(ctx context.Context) {
	every := 2 * time.Second
	terminal := isTerminal(d.out)
	if terminal {
		every = 500 * time.Millisecond
	}
	for lines := 0; pause(ctx, every); {
		if terminal && lines > 0 {
			d.printf("\x1b[%dA\x1b[J", lines)
		}
		text := d.table(d.bridge.Board().Snapshot())
		lines = strings.Count(text, "\n")
		d.printf("%s", text)
	}
}

// rows counts the rows of an object's table.
func (d *demo) rows(object string) int {
	n := -1
	_ = d.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+tableOf(object)).Scan(&n) // shown as -1
	return n
}

func tableOf(object string) string { return pgx.Identifier{schema, strings.ToLower(object)}.Sanitize() }

func columnOf(field string) string { return pgx.Identifier{strings.ToLower(field)}.Sanitize() }

func (d *demo) table(s status.Status) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-12s %-10s %-12s %10s %10s %8s %8s %8s\n", "OBJECT", "MODE", "STATE", "SALESFORCE", "POSTGRES", "EVENTS", "WRITES", "PENDING")
	for _, o := range s.Objects {
		fmt.Fprintf(&b, "%-12s %-10s %-12s %10d %10d %8d %8d %8d\n", o.Object, o.ModeEffective, o.State, len(d.sf.Records(o.Object)), d.rows(o.Object), o.Counters.Events, o.Counters.WritesSent, o.PendingWrites)
	}
	fmt.Fprintf(&b, "Salesforce → Postgres  %s\n", &d.in)
	fmt.Fprintf(&b, "Postgres → Salesforce  %s\n", &d.back)
	if s.Connection.Message != "" {
		fmt.Fprintf(&b, "! %s\n", s.Connection.Message)
	}
	return b.String()
}

// summary waits for the two sides to become equal and tells the outcome.
func (d *demo) summary() error {
	d.printf("\nTraffic stopped; comparing every field of every record …\n")
	began := time.Now()
	shown, trouble, err := d.settled()
	for err == nil && len(trouble) > 0 && time.Since(began) < settleIn {
		time.Sleep(200 * time.Millisecond)
		shown, trouble, err = d.settled()
	}
	if err != nil {
		return err
	}
	d.printf("%s", d.table(shown))
	for _, text := range trouble {
		d.printf("✗ %s\n", text)
	}
	if len(trouble) > 0 {
		return errUnequal
	}
	if d.in.late+d.back.late > 0 {
		return fmt.Errorf("%d changes took longer than %s", d.in.late+d.back.late, arrivesIn)
	}
	d.printf("✓ Both sides are equal.\n")
	return nil
}

// settled tells how the sides still differ, and what waits to be sent, with the
// status that says so.
func (d *demo) settled() (shown status.Status, trouble []string, err error) {
	shown = d.bridge.Board().Snapshot()
	for _, o := range shown.Objects {
		// Not bounded by the time to settle, whose end is when there is most to tell.
		differences, err := compare.Sides(context.Background(), d.pool, schema, d.sf, o.Object)
		if err != nil {
			return shown, nil, fmt.Errorf("compare %s: %w", o.Object, err)
		}
		trouble = append(trouble, differences...)
		if o.PendingWrites > 0 {
			trouble = append(trouble, fmt.Sprintf("%s: changes that wait to be sent: %d", o.Object, o.PendingWrites))
		}
	}
	return shown, trouble, nil
}

func (d *demo) printf(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format, args...) }

// samples is how long changes of one direction took.
type samples struct {
	mu   sync.Mutex
	took []time.Duration
	late int
}

// measure waits until a change that was made at began has arrived.
func (s *samples) measure(ctx context.Context, began time.Time, arrived func() bool) {
	for time.Since(began) < arrivesIn {
		if arrived() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.took = append(s.took, time.Since(began))
			return
		}
		if !pause(ctx, time.Millisecond) {
			return
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.late++
}

func (s *samples) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.took) == 0 {
		return "no change measured yet"
	}
	sorted := slices.Sorted(slices.Values(s.took))
	at := func(p int) time.Duration {
		return sorted[min(len(sorted)-1, len(sorted)*p/100)].Round(100 * time.Microsecond)
	}
	return fmt.Sprintf("%5d changes   p50 %s   p99 %s   late %d", len(sorted), at(50), at(99), s.late)
}

// pause waits for d and reports false if ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
