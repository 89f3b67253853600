package pgsink

import (
	"context"
	"testing"
	"time"
)

// A position is never ahead of the rows that it stands for: if they cannot be
// written, it has not moved (fault 11).
func TestPositionsNeverLead(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	batch := Batch{
		Changes:   []Change{b.change(Event, 1, at(1), "Name", "one")},
		Marks:     []Mark{{Object: "Account", SFID: id(2), Reason: "test"}},
		Positions: []Position{{Channel: "/topic/a", TopicID: "0IF", ReplayID: 7, EventAt: at(1)}},
	}
	tx, err := b.pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE salesforce.account IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if res, err := b.sink.Apply(short, batch); err == nil {
		t.Errorf("a locked table was written: %+v", res)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.want("0", `SELECT (SELECT count(*) FROM hcbridge.position) + (SELECT count(*) FROM hcbridge.mark) + (SELECT count(*) FROM salesforce.account)`)
	b.apply(Result{Inserted: 1, Marked: 1}, batch)
	b.want("7", `SELECT replay_id FROM hcbridge.position`)
}

// What an event tells of an update on its way is durable with its position, whichever
// way the event goes, and known once.
func TestEchoes(t *testing.T) {
	t.Parallel()
	b := setup(t, writable())
	b.exec(`CREATE TABLE salesforce._trigger_log_echo (id bigint PRIMARY KEY)`)
	for n, stamp := range []time.Time{at(1), at(2), at(2)} {
		batch := Batch{
			Changes:   []Change{b.change(Event, 1, stamp, "Name", "one")},
			Positions: []Position{{Channel: "/topic/a", TopicID: "0IF", ReplayID: int64(n), EventAt: at(1)}},
			Echoes:    []int64{7, int64(7 + n)},
		}
		if _, err := b.sink.Apply(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	}
	b.want("7,8,9", `SELECT string_agg(id::text, ',' ORDER BY id) FROM salesforce._trigger_log_echo`)
	b.want("2", `SELECT replay_id FROM hcbridge.position`)
	if _, err := b.sink.Apply(t.Context(), Batch{Echoes: []int64{10}}); err != nil {
		t.Fatal(err)
	}
	b.want("4", `SELECT count(*) FROM salesforce._trigger_log_echo`)
}
