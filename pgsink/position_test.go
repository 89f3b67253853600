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
