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
	"golang.org/x/sync/errgroup"

	"hcbridge/internal/bridge"
	"hcbridge/internal/status"
	"hcbridge/test/compare"
	"hcbridge/test/org"
)

const (
	// eachWay is the pause between two changes on one side.
	eachWay = 100 * time.Millisecond
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

// editSalesforce changes contacts as another user of the org, and measures how
// long each change takes to reach its row.
func (d *demo) editSalesforce(ctx context.Context) error {
	ids := d.ids()
	for n := 0; pause(ctx, eachWay); n++ {
		id, title := ids[rand.IntN(len(ids)/2)], fmt.Sprintf("Title %d", n) //nolint:gosec // which contact is of no consequence
		if err := d.sf.Update("Contact", id, map[string]any{"Title": title}); err != nil {
			return fmt.Errorf("edit in Salesforce: %w", err)
		}
		began := time.Now()
		d.in.measure(ctx, began, func() bool {
			var have *string
			err := d.pool.QueryRow(ctx, "SELECT title FROM salesforce.contact WHERE sfid = $1", id).Scan(&have)
			return err == nil && have != nil && *have == title
		})
	}
	return nil
}

// editPostgres changes, inserts and deletes contacts as an app would, and
// measures how long each update takes to reach its record.
func (d *demo) editPostgres(ctx context.Context) error {
	ids := d.ids()
	fields := d.sf.Object("Contact")
	for n := 0; pause(ctx, eachWay); n++ {
		id, phone := ids[len(ids)/2+rand.IntN(len(ids)/2)], fmt.Sprintf("+1 555 %06d", n) //nolint:gosec // which contact is of no consequence
		if _, err := d.pool.Exec(context.WithoutCancel(ctx), "UPDATE salesforce.contact SET phone = $1 WHERE sfid = $2", phone, id); err != nil {
			return fmt.Errorf("edit in Postgres: %w", err)
		}
		began := time.Now()
		d.back.measure(ctx, began, func() bool {
			r, ok := d.sf.Get("Contact", id)
			return ok && r.Get(fields, "Phone") == phone
		})
		if n%10 == 5 {
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
		_, err = d.pool.Exec(ctx, "DELETE FROM salesforce.contact WHERE external_id__c = $1 AND sfid IS NOT NULL", key(n-10))
	}
	if err != nil {
		return fmt.Errorf("edit in Postgres: %w", err)
	}
	return nil
}

func (d *demo) ids() []string {
	var ids []string
	for _, r := range d.sf.Records("Contact") {
		ids = append(ids, r.ID)
	}
	return ids
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
		text := d.table()
		lines = strings.Count(text, "\n")
		d.printf("%s", text)
	}
}

// rows counts the rows of an object's table.
func (d *demo) rows(object string) int {
	n := -1
	table := pgx.Identifier{schema, strings.ToLower(object)}.Sanitize()
	_ = d.pool.QueryRow(context.Background(), "SELECT count(*) FROM "+table).Scan(&n) // shown as -1
	return n
}

func (d *demo) table() string {
	var b strings.Builder
	s := d.bridge.Board().Snapshot()
	fmt.Fprintf(&b, "%-12s %-10s %-12s %10s %10s %8s %8s %8s\n", "OBJECT", "MODE", "STATE", "SALESFORCE", "POSTGRES", "EVENTS", "WRITES", "PENDING")
	for _, o := range s.Objects {
		fmt.Fprintf(&b, "%-12s %-10s %-12s %10d %10d %8d %8d %8d\n", o.Object, o.ModeEffective, o.State, len(d.sf.Records(o.Object)), d.rows(o.Object), o.Counters.Events, o.Counters.WritesSent, o.PendingWrites)
	}
	fmt.Fprintf(&b, "Salesforce → Postgres  %s\n", &d.in)
	fmt.Fprintf(&b, "Postgres → Salesforce  %s\n", &d.back)
	return b.String()
}

// summary waits for the two sides to become equal and tells the outcome.
func (d *demo) summary() error {
	ctx, cancel := context.WithTimeout(context.Background(), settleIn)
	defer cancel()
	d.printf("\nTraffic stopped; comparing every field of every record …\n")
	var differences []string
	for {
		differences = differences[:0]
		for _, o := range d.bridge.Board().Snapshot().Objects {
			diff, err := compare.Sides(ctx, d.pool, schema, d.sf, o.Object)
			if err != nil {
				return err
			}
			differences = append(differences, diff...)
		}
		if len(differences) == 0 || !pause(ctx, 200*time.Millisecond) {
			break
		}
	}
	d.printf("%s", d.table())
	if len(differences) > 0 {
		for _, text := range differences {
			d.printf("✗ %s\n", text)
		}
		return errUnequal
	}
	if d.in.late+d.back.late > 0 {
		return fmt.Errorf("%d changes took longer than %s", d.in.late+d.back.late, arrivesIn)
	}
	d.printf("✓ Both sides are equal.\n")
	return nil
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
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
