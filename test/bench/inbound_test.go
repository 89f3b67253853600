package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/bench/figure"
)

// TestInboundLatency measures how long a single event takes to its committed
// row, beside what delivering it and committing a row cost by themselves.
func TestInboundLatency(t *testing.T) {
	n, rate := 50, 200
	if measuring() {
		n = 2000
	}
	delivery := deliveryBound(t, n, rate)
	commit := commitBound(t, n)

	f := newFeed(1000)
	b := start(t, f)
	b.listen(t, func(arrived <-chan time.Time) {
		ours := make([]time.Duration, 0, n)
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for i := range n + n/10 {
			<-tick.C
			at := time.Now()
			f.push(event(i, i%1000, at))
			select {
			case now := <-arrived:
				if i >= n/10 { // warm
					ours = append(ours, now.Sub(at))
				}
			case <-time.After(10 * time.Second):
				t.Fatalf("event %d does not arrive", i)
			}
		}
		bound := percentile(delivery, 50) + percentile(commit, 50)
		t.Logf("%-34s %10s %10s", "event to committed row, 200/s", "p50", "p99")
		t.Logf("%-34s %10s %10s", "delivery bound", percentile(delivery, 50), percentile(delivery, 99))
		t.Logf("%-34s %10s %10s", "commit bound", percentile(commit, 50), percentile(commit, 99))
		t.Logf("%-34s %10s %10s", "ours", percentile(ours, 50), percentile(ours, 99))
		t.Logf("p50 is %.2f times the bounds together (target 4); p99 %s (target 5ms)", float64(percentile(ours, 50))/float64(bound), percentile(ours, 99))
		figure.Keep(t,
			figure.Figure{Job: "event to committed row", What: "200 events/s, p50; the bound: delivery and commit", Unit: "ms", Ours: figure.MS(percentile(ours, 50)), Bound: figure.MS(bound), Goals: []figure.Goal{{Of: "bound", AtMost: 4}}},
			figure.Figure{Job: "event to committed row", What: "200 events/s, p99", Unit: "ms", Ours: figure.MS(percentile(ours, 99)), Bound: figure.MS(percentile(delivery, 99) + percentile(commit, 99)), Goals: []figure.Goal{{AtMost: 5}}})
	})
}

// listen calls fn with the times at which changes of the table were committed.
func (b *bridge) listen(t *testing.T, fn func(<-chan time.Time)) {
	t.Helper()
	for _, sql := range []string{
		`CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NOTIFY bench; RETURN NULL; END $$`,
		`CREATE TRIGGER tell AFTER INSERT OR UPDATE ON salesforce.contact FOR EACH STATEMENT EXECUTE FUNCTION tell()`,
	} {
		if _, err := b.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	conn, err := pgx.Connect(t.Context(), b.url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "LISTEN bench"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	arrived := make(chan time.Time, 1024)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				return
			}
			arrived <- time.Now()
		}
	}()
	fn(arrived)
	cancel()
	<-done
}

// deliveryBound is what a long-poll of one event costs: from the making of the
// event to its answer in another process.
func deliveryBound(t *testing.T, n, rate int) []time.Duration {
	t.Helper()
	f := newFeed(1000)
	srv := httptest.NewServer(f)
	defer srv.Close()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe)
	cmd.Env = []string{asPoller + "=" + srv.URL}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ages := json.NewDecoder(out)
	samples := make([]time.Duration, 0, n)
	for i := range n {
		time.Sleep(time.Second / time.Duration(rate))
		f.push(event(i, i, time.Now()))
		var age time.Duration
		if err := ages.Decode(&age); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, age)
	}
	_ = in.Close()
	_ = cmd.Wait()
	return samples
}

// commitBound is what a durable insert of one row costs.
func commitBound(t *testing.T, n int) []time.Duration {
	t.Helper()
	b := newBound(t)
	samples := make([]time.Duration, 0, n)
	for i := range n {
		began := time.Now()
		if _, err := b.conn.Exec(t.Context(), "INSERT INTO bound (sfid, systemmodstamp, lastname) VALUES ($1, $2, 'x')", sfid(i), epoch); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, time.Since(began))
	}
	return samples
}

// TestInboundBurst measures how fast replayed events are committed, beside the
// least program that does it in batches and the naive one.
func TestInboundBurst(t *testing.T) {
	n, runs := 2000, 1
	if measuring() {
		n, runs = 200_000, 3
	}
	events := make([][]byte, n)
	for i := range events {
		events[i] = event(i, i/2, time.Now())
	}
	for range runs {
		naive := drainRows(t, events[:min(n, 5000)])
		bound := drainUnnest(t, events)
		f := newFeed(1000)
		b := start(t, f)
		began, cpu := time.Now(), b.cpu()
		f.push(events...)
		b.reached(t, n)
		ours := float64(n) / time.Since(began).Seconds()
		if got := b.count(t); got != (n+1)/2 {
			t.Errorf("%d rows, want %d", got, (n+1)/2)
		}
		t.Logf("committed events/s: ours %.0f, bound (pipelined unnest) %.0f, row by row %.0f; ours/bound %.2f (target 0.5), ours/naive %.1f (target 8); %.1f µs of the bridge's CPU an event, peak memory %.0f MB",
			ours, bound, naive, ours/bound, ours/naive, (b.cpu()-cpu).Seconds()*1e6/float64(n), b.memory())
		figure.Keep(t,
			figure.Figure{Job: "event to committed row", What: fmt.Sprintf("%d replayed events; the bound: pipelined unnest, naive: row by row", n), Unit: "events/s", Ours: ours, Bound: bound, Naive: naive, Goals: []figure.Goal{{Of: "bound", AtLeast: 0.5}, {Of: "naive", AtLeast: 8}}},
			figure.Figure{Job: "event to committed row", What: "the same, most memory", Unit: "MB", Ours: b.memory()})
	}
}

// TestInboundSustained measures the lag at 2,000 changed records a second.
func TestInboundSustained(t *testing.T) {
	rate, length := 2000, 2*time.Second
	if measuring() {
		length = time.Minute
	}
	const step = 10 * time.Millisecond
	f := newFeed(1000)
	b := start(t, f)
	total := rate * int(length/time.Second)
	sent := make([]time.Time, total)
	tick := time.NewTicker(step)
	defer tick.Stop()
	began := time.Now()
	go func() {
		for i := 0; i < total; {
			<-tick.C
			due := min(total, int(time.Since(began).Seconds()*float64(rate)))
			for ; i < due; i++ {
				sent[i] = time.Now()
				f.push(event(i, i, sent[i]))
			}
		}
	}()
	// What is committed is seen every 5 ms, so the figures are that much too high.
	lags := make([]time.Duration, 0, total)
	for len(lags) < total {
		if time.Since(began) > 2*length+30*time.Second {
			t.Fatalf("%d of %d events arrived", len(lags), total)
		}
		time.Sleep(5 * time.Millisecond)
		at, now := b.position(t), time.Now()
		for i := len(lags); i < at; i++ {
			lags = append(lags, now.Sub(sent[i]))
		}
	}
	figure.Keep(t, figure.Figure{Job: "event to committed row", What: fmt.Sprintf("%d changes a second for %s, lag p99", rate, length), Unit: "ms", Ours: figure.MS(percentile(lags, 99)), Goals: []figure.Goal{{AtMost: 250}}})
	t.Logf("%d changed records a second for %s: lag p50 %s, p99 %s (target 250ms), most %s; peak memory %.0f MB",
		rate, length, percentile(lags, 50), percentile(lags, 99), percentile(lags, 100), b.memory())
}

// position is the last event whose row is committed.
func (b *bridge) position(t *testing.T) int {
	t.Helper()
	var at int
	if err := b.pool.QueryRow(t.Context(), "SELECT coalesce(max(replay_id), 0) FROM hcbridge.position WHERE channel = $1", topic).Scan(&at); err != nil {
		t.Fatal(err)
	}
	return at
}

// reached waits until all events up to n are committed.
func (b *bridge) reached(t *testing.T, n int) {
	t.Helper()
	for began := time.Now(); b.position(t) < n; time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			t.Fatalf("%d of %d events are committed", b.position(t), n)
		}
	}
}

func (b *bridge) count(t *testing.T) (n int) {
	t.Helper()
	if err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM salesforce.contact").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// bound is a table as the bridge's, to write into directly.
type bound struct{ conn *pgx.Conn }

func newBound(t *testing.T) *bound {
	t.Helper()
	name := fmt.Sprintf("bound_%d", time.Now().UnixNano())
	url, err := server.CreateDatabase(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close(context.Background())
		if err := server.DropDatabase(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	for _, sql := range strings.Split(boundSQL, ";") {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	return &bound{conn: conn}
}

const boundSQL = `CREATE TABLE bound (id serial PRIMARY KEY, sfid varchar(18) COLLATE "C", systemmodstamp timestamp, firstname varchar(40), lastname varchar(80),
	email varchar(80), phone varchar(40), title varchar(128), department varchar(80), birthdate date, donotcall boolean, _hc_lastop varchar(32), _hc_err text);
CREATE UNIQUE INDEX ON bound (sfid);
CREATE INDEX ON bound (systemmodstamp);
CREATE TABLE at (replay_id bigint);
INSERT INTO at VALUES (0)`

// record is an event's row, typed.
type record struct {
	ID             string `json:"Id"`
	SystemModstamp time.Time
	FirstName      string
	LastName       string
	Email          string
	Phone          string
	Title          string
	Department     string
	Birthdate      string
	DoNotCall      bool
}

type message struct {
	Data struct {
		Event   struct{ ReplayID int64 }
		SObject record
	}
}

// drainUnnest is the least program that does the same in batches: it reads the
// next answer while it writes the last, and writes with unnest, dropping what a
// later event of the batch replaces.
func drainUnnest(t *testing.T, events [][]byte) float64 {
	t.Helper()
	b := newBound(t)
	f := newFeed(1000)
	srv := httptest.NewServer(f)
	defer srv.Close()
	f.push(events...)
	began := time.Now()
	answers := make(chan []message, 2)
	go func() {
		defer close(answers)
		for got := 0; got < len(events); {
			body, _, err := poll(context.Background(), srv.URL)
			var list []message
			if err == nil {
				err = json.Unmarshal(body, &list)
			}
			if err != nil {
				t.Error(err)
				return
			}
			list = list[:len(list)-1]
			got += len(list)
			answers <- list
		}
	}()
	for list := range answers {
		for more := true; more && len(list) < 2000; {
			select {
			case next, ok := <-answers:
				list, more = append(list, next...), ok
			default:
				more = false
			}
		}
		b.upsert(t, list)
	}
	return float64(len(events)) / time.Since(began).Seconds()
}

const upsertSQL = `INSERT INTO bound AS b (sfid, systemmodstamp, firstname, lastname, email, phone, title, department, birthdate, donotcall, _hc_lastop)
SELECT a, b, c, d, e, f, g, h, i::date, j, 'SYNCED' FROM unnest($1::text[], $2::timestamp[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::bool[]) AS u (a, b, c, d, e, f, g, h, i, j)
ON CONFLICT (sfid) DO UPDATE SET systemmodstamp = excluded.systemmodstamp, firstname = excluded.firstname, lastname = excluded.lastname, email = excluded.email,
	phone = excluded.phone, title = excluded.title, department = excluded.department, birthdate = excluded.birthdate, donotcall = excluded.donotcall, _hc_lastop = 'SYNCED'
WHERE b.systemmodstamp < excluded.systemmodstamp`

func (b *bound) upsert(t *testing.T, list []message) {
	t.Helper()
	last := make(map[string]int, len(list))
	for i := range list {
		last[list[i].Data.SObject.ID] = i
	}
	var at int64
	var c1, c3, c4, c5, c6, c7, c8, c9 []string
	var c2 []time.Time
	var c10 []bool
	for i := range list {
		r := &list[i].Data.SObject
		at = list[i].Data.Event.ReplayID
		if last[r.ID] != i {
			continue
		}
		c1, c2, c3, c4, c5 = append(c1, r.ID), append(c2, r.SystemModstamp), append(c3, r.FirstName), append(c4, r.LastName), append(c5, r.Email)
		c6, c7, c8, c9, c10 = append(c6, r.Phone), append(c7, r.Title), append(c8, r.Department), append(c9, r.Birthdate), append(c10, r.DoNotCall)
	}
	batch := &pgx.Batch{}
	batch.Queue("BEGIN")
	batch.Queue(upsertSQL, c1, c2, c3, c4, c5, c6, c7, c8, c9, c10)
	batch.Queue("UPDATE at SET replay_id = $1", at)
	batch.Queue("COMMIT")
	if err := b.conn.SendBatch(t.Context(), batch).Close(); err != nil {
		t.Fatal(err)
	}
}

// drainRows is the naive way: a transaction for each event.
func drainRows(t *testing.T, events [][]byte) float64 {
	t.Helper()
	b := newBound(t)
	f := newFeed(1000)
	srv := httptest.NewServer(f)
	defer srv.Close()
	f.push(events...)
	began := time.Now()
	for got := 0; got < len(events); {
		body, _, err := poll(t.Context(), srv.URL)
		var list []message
		if err == nil {
			err = json.Unmarshal(body, &list)
		}
		if err != nil {
			t.Fatal(err)
		}
		for i := range list[:len(list)-1] {
			b.upsert(t, list[i:i+1])
		}
		got += len(list) - 1
	}
	return float64(len(events)) / time.Since(began).Seconds()
}
