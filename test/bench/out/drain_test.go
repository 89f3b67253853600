package out

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/bench/figure"
)

// TestOutDrain measures how fast a backlog of changes reaches the sink and is
// settled, beside the least program that does so in batches of 200, which is the
// bound, and the one that sends row by row.
func TestOutDrain(t *testing.T) {
	n, runs := 1000, 1
	if measuring() {
		n, runs = 60_000, 5
	}
	b := setup(t, n)
	b.exec(`CREATE TABLE queue (id bigserial PRIMARY KEY, sfid varchar(18), f3 text)`)
	for i := range runs {
		naive := b.least(min(n, 100+n/20), 1)
		spent := b.cpu(cpu{})
		bound := b.least(n, 200)
		boundCPU := b.cpu(spent)
		stop := b.start()
		b.exec("CHECKPOINT")
		b.statements(n)
		before := b.sink.calls.Load()
		gone := b.sink.after(n)
		b.exec(fmt.Sprintf("UPDATE salesforce.contact SET f3 = md5(id::text || '%d')", i)) // one commit: all of it is there at once
		began := time.Now()
		spent = b.cpu(cpu{})
		sent := b.wait(gone, began)
		settled := b.settled(began)
		ourCPU := b.cpu(spent)
		ourCPU.worker = stop()
		ours := float64(n) / settled.Seconds()
		t.Logf("drain, load %s: %.0f rows/s in %d calls (%.0f until the last request), bound %.0f, row by row %.0f; ours/bound %.2f (target 0.5), ours/naive %.1f (target 25)",
			load(), ours, b.sink.calls.Load()-before, float64(n)/sent.Seconds(), bound, naive, ours/bound, ours/naive)
		figure.Keep(t,
			figure.Figure{Job: "drain of a backlog", What: fmt.Sprintf("%d updates; the bound: the least program, batches of 200, naive: row by row", n), Unit: "rows/s", Ours: ours, Bound: bound, Naive: naive, Goals: []figure.Goal{{Of: "bound", AtLeast: 0.5}, {Of: "naive", AtLeast: 25}}},
			figure.Figure{Job: "drain of a backlog", What: "processor, Postgres' too", Unit: "µs a row", Ours: ourCPU.sum().Seconds() * 1e6 / float64(n), Bound: boundCPU.sum().Seconds() * 1e6 / float64(n)})
		t.Logf("processor time a row, ours: %s; bound: %s; bound/ours %.2f", ourCPU.per(n), boundCPU.per(n), boundCPU.sum().Seconds()/ourCPU.sum().Seconds())
		b.statements(n)
		b.exec("TRUNCATE salesforce._trigger_log_archive")
		b.exec("VACUUM salesforce.contact, salesforce._trigger_log")
	}
}

func (b *bench) wait(gone <-chan struct{}, began time.Time) time.Duration {
	b.Helper()
	for {
		select {
		case <-b.sink.probes:
		case <-gone:
			return time.Since(began)
		case <-time.After(2 * time.Minute):
			b.Fatalf("only %d rows came", b.sink.rows.Load())
		}
	}
}

// settled waits until the log is empty.
func (b *bench) settled(began time.Time) time.Duration {
	b.Helper()
	for {
		var open bool
		if err := b.pool.QueryRow(b.Context(), "SELECT EXISTS (SELECT FROM salesforce._trigger_log)").Scan(&open); err != nil {
			b.Fatal(err)
		}
		if !open {
			return time.Since(began)
		}
		if time.Since(began) > 3*time.Minute {
			b.Fatal("the log is not emptied")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// least drains n rows by the least program that loses none: a transaction takes
// up to batch rows, sends and deletes them. It returns rows a second.
func (b *bench) least(n, batch int) float64 {
	b.Helper()
	b.exec(fmt.Sprintf("INSERT INTO queue (sfid, f3) SELECT sfid, md5(id::text) FROM salesforce.contact ORDER BY id LIMIT %d", n))
	conn, err := pgx.Connect(b.Context(), b.url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	began := time.Now()
	for taken := 0; taken < n; {
		got, err := b.leastCall(conn, batch)
		if err != nil {
			b.Fatal(err)
		}
		taken += got
	}
	rate := float64(n) / time.Since(began).Seconds()
	b.exec("VACUUM queue")
	return rate
}

func (b *bench) leastCall(conn *pgx.Conn, batch int) (n int, err error) {
	ctx := b.Context()
	tx, err := conn.Begin(ctx)
	if err != nil {
		return 0, err
	}
	rows, err := tx.Query(ctx, "SELECT id, sfid, f3 FROM queue ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED", batch)
	if err != nil {
		return 0, err
	}
	var ids []int64
	var records []update
	var id int64
	var u update
	_, err = pgx.ForEachRow(rows, []any{&id, &u.ID, &u.F3}, func() error {
		ids, records = append(ids, id), append(records, u)
		return nil
	})
	if err != nil {
		return 0, err
	}
	body, err := json.Marshal(map[string]any{"allOrNone": false, "records": records})
	if err != nil {
		return 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPatch, b.sink.url+"/services/data/v64.0/composite/sobjects", bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return 0, err
	}
	for more := true; more; { // the probe is a record as any other
		select {
		case <-b.sink.probes:
		default:
			more = false
		}
	}
	if _, err := tx.Exec(ctx, "DELETE FROM queue WHERE id = ANY ($1)", ids); err != nil {
		return 0, err
	}
	return len(ids), tx.Commit(ctx)
}
