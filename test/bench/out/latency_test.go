package out

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/bench/figure"
)

// TestOutLatency measures from an update of one row being sent to the database
// to the request that carries it being on the wire, on an idle bridge and beside
// 16 writers. The bound is the same for a trigger that notifies plainly: from the
// update to the notification's arrival.
func TestOutLatency(t *testing.T) {
	n, writers, runs := 10, 4, 1
	if measuring() {
		n, writers, runs = 400, 16, 3
	}
	b := setup(t, 20_000)
	b.exec(`CREATE TABLE plain (id int PRIMARY KEY, f3 text); INSERT INTO plain VALUES (1);
		CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_notify('bound', NEW.f3); RETURN NULL; END $$;
		CREATE TRIGGER tell AFTER UPDATE ON plain FOR EACH ROW EXECUTE FUNCTION tell()`)
	for range runs {
		bound := b.notifyBound(n)
		stop := b.start()
		idle := b.probe(n, 40*time.Millisecond)
		loaded, tps := b.beside(writers, func() []time.Duration { return b.probe(n, 50*time.Millisecond) })
		stop()
		keep := func(what string, ours, bound time.Duration, goal figure.Goal) {
			figure.Keep(t, figure.Figure{Job: "commit to request", What: what, Unit: "ms", Ours: figure.MS(ours), Bound: figure.MS(bound), Goals: []figure.Goal{goal}})
		}
		keep("idle, p50; the bound: to a plain notification", percentile(idle, 50), percentile(bound, 50), figure.Goal{Of: "bound", AtMost: 3})
		keep("idle, p99", percentile(idle, 99), percentile(bound, 99), figure.Goal{AtMost: 10})
		keep(fmt.Sprintf("beside %d writers, p99", writers), percentile(loaded, 99), 0, figure.Goal{AtMost: 50})
		t.Logf("%-36s %10s %10s", "update sent to request, load "+load(), "p50", "p99")
		t.Logf("%-36s %10s %10s", "bound: to a plain notification", percentile(bound, 50), percentile(bound, 99))
		t.Logf("%-36s %10s %10s  p50 is %.2f times the bound (target 3), p99 below 10ms", "ours, idle", percentile(idle, 50), percentile(idle, 99),
			float64(percentile(idle, 50))/float64(percentile(bound, 50)))
		t.Logf("%-36s %10s %10s  p99 below 50ms; %.0f tx/s beside", fmt.Sprintf("ours, %d writers", writers), percentile(loaded, 50), percentile(loaded, 99), tps)
	}
}

// probe updates the probe's row n times, and returns how long each took to the
// sink. One is sent when the one before has arrived, at most one a pause.
func (b *bench) probe(n int, pause time.Duration) []time.Duration {
	b.Helper()
	samples := make([]time.Duration, 0, n)
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		value := fmt.Sprint(time.Now().UnixNano())
		began := time.Now()
		if _, err := b.pool.Exec(b.Context(), "UPDATE salesforce.contact SET f3 = $1 WHERE sfid = $2", value, probeID); err != nil {
			b.Fatal(err)
		}
		for got := ""; got != value; {
			select {
			case a := <-b.sink.probes:
				if got = a.value; got == value {
					samples = append(samples, a.at.Sub(began))
				}
			case <-time.After(20 * time.Second):
				b.Fatalf("probe %d does not arrive", i)
			}
		}
	}
	return samples
}

// beside calls fn while writers update other rows, one a transaction, as fast as
// they can. It returns the transactions a second.
func (b *bench) beside(writers int, fn func() []time.Duration) (samples []time.Duration, tps float64) {
	b.Helper()
	ctx, cancel := context.WithCancel(b.Context())
	var done atomic.Int64
	var wg sync.WaitGroup
	began := time.Now()
	for w := range writers {
		wg.Go(func() {
			for i := w; ctx.Err() == nil; i += writers {
				if _, err := b.pool.Exec(b.Context(), "UPDATE salesforce.contact SET f1 = $1 WHERE id = $2", fmt.Sprint(i), 2+i*7919%19_000); err != nil {
					b.Error(err)
					return
				}
				done.Add(1)
			}
		})
	}
	samples = fn()
	cancel()
	wg.Wait()
	return samples, float64(done.Load()) / time.Since(began).Seconds()
}

// notifyBound is what a plain NOTIFY takes.
func (b *bench) notifyBound(n int) []time.Duration {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), b.url)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(b.Context(), "LISTEN bound"); err != nil {
		b.Fatal(err)
	}
	arrived := make(chan time.Time)
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() {
		for {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				return
			}
			arrived <- time.Now()
		}
	})
	samples := make([]time.Duration, 0, n)
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		<-tick.C
		began := time.Now()
		if _, err := b.pool.Exec(b.Context(), "UPDATE plain SET f3 = $1 WHERE id = 1", fmt.Sprint(i)); err != nil {
			b.Fatal(err)
		}
		samples = append(samples, (<-arrived).Sub(began))
	}
	return samples
}
