package pgsink

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestMarks(t *testing.T) {
	t.Parallel()

	t.Run("AreDueAfterTheirDelay", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		objects := func(want ...string) {
			t.Helper()
			due, err := b.sink.DueObjects(t.Context(), []string{"Account", "Contact", "Lead"})
			if err != nil || !slices.Equal(due, want) {
				t.Errorf("objects with due marks: %v, %v, want %v", due, err, want)
			}
		}
		objects()
		b.apply(Result{Marked: 4}, Batch{Marks: []Mark{
			{Object: "Account", SFID: id(1)[:15], Reason: "a"},
			{Object: "Account", SFID: id(1), Reason: "b"},
			{Object: "Account", SFID: id(2), Reason: "c", Delay: time.Hour},
			{Object: "Contact", SFID: id(3), Reason: "d"},
		}})
		marks, err := b.sink.DueMarks(t.Context(), b.table, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(marks) != 1 || marks[0].SFID != id(1) || marks[0].Reason != "b" || marks[0].Seq == 0 || marks[0].Object != "Account" {
			t.Errorf("due are %+v, want record 1 with reason b", marks)
		}
		objects("Account", "Contact")
		b.want("2", `SELECT count(*) FROM hcbridge.mark WHERE schema = 'salesforce' AND object = 'Account'`)
		b.want("1", `SELECT count(*) FROM hcbridge.mark WHERE schema = 'salesforce' AND object = 'Contact'`)
		if err := b.sink.Postpone(t.Context(), []Done{{"Account", id(1), marks[0].Seq}, {"Account", id(2), -1}}, time.Hour); err != nil {
			t.Fatal(err)
		}
		if marks, err = b.sink.DueMarks(t.Context(), b.table, 10); err != nil || len(marks) != 0 {
			t.Errorf("due are %+v, %v, want none", marks, err)
		}
		objects("Contact")
		b.want("1", `SELECT attempts FROM hcbridge.mark WHERE sfid = $1`, id(1))
		b.want("0", `SELECT attempts FROM hcbridge.mark WHERE sfid = $1`, id(2))
	})

	// A change of the app that has just been accepted is newer than the row's stamp tells.
	t.Run("BarReadsThatMayBeOfBefore", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		read := func(name string) Batch {
			return Batch{Changes: []Change{b.change(Read, 1, at(1), "Name", name)}, Done: []Done{{Object: "Account", SFID: id(1), Seq: b.seq(1)}}}
		}
		b.apply(Result{Inserted: 1, Marked: 1}, Batch{Changes: []Change{b.change(Event, 1, at(1), "Name", "old")}, Marks: []Mark{{Object: "Account", SFID: id(1), Reason: "poll"}}})
		before := read("old")
		b.exec(`UPDATE salesforce.account SET name = 'new', _hc_lastop = 'UPDATED'`)
		b.apply(Result{Marked: 1}, Batch{Marks: []Mark{{Object: "Account", SFID: id(1), Reason: "written", Bars: true}}})
		b.apply(Result{Stale: 1}, before)
		b.want("new", `SELECT name FROM salesforce.account`)
		after := read("new")
		b.apply(Result{Marked: 1}, Batch{Marks: []Mark{{Object: "Account", SFID: id(1), Reason: "poll"}}}) // which bars nothing
		b.apply(Result{Updated: 1}, after)
		b.want("new SYNCED", `SELECT name || ' ' || _hc_lastop FROM salesforce.account`)
		b.want("1", `SELECT count(*) FROM hcbridge.mark`)
	})

	// Marks that went when there were thousands leave statistics by which Postgres
	// would compare each new one with each record that is read.
	t.Run("AreCountedAnew", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		fill := `INSERT INTO hcbridge.mark (schema, object, sfid, reason)
			SELECT 'salesforce', 'Account', '001' || lpad(n::text, 15, '0'), 'r' FROM generate_series(1, 2000) AS n`
		b.exec("ALTER TABLE hcbridge.mark SET (autovacuum_enabled = off)")
		b.exec(fill)
		b.exec("DELETE FROM hcbridge.mark")
		b.exec("VACUUM (TRUNCATE FALSE) hcbridge.mark")
		b.exec(fill)
		b.want("0", "SELECT reltuples FROM pg_class WHERE oid = 'hcbridge.mark'::regclass")
		if marks, err := b.sink.DueMarks(t.Context(), b.table, 200); err != nil || len(marks) != 200 {
			t.Fatalf("%d marks, %v", len(marks), err)
		}
		b.want("2000", "SELECT reltuples FROM pg_class WHERE oid = 'hcbridge.mark'::regclass")
	})

	// Salesforce names a deleted record once. What holds its row up meanwhile, a
	// foreign key, an unsent change or an event, must not make that forgotten.
	t.Run("KeepThatTheRecordIsGone", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "parent"), b.change(Event, 2, at(1), "Name", "one"))
		b.exec(`CREATE TABLE child (parent varchar REFERENCES salesforce.account (sfid)); INSERT INTO child SELECT sfid FROM salesforce.account WHERE name = 'parent'`)
		seqs := func() (int64, int64) { return b.seq(1), b.seq(2) }
		b.apply(Result{Marked: 2}, Batch{Marks: []Mark{{Object: "Account", SFID: id(1), Reason: ReasonGone}, {Object: "Account", SFID: id(2), Reason: ReasonGone}}})
		parent, held := seqs()

		b.apply(Result{Parked: 1}, Batch{Changes: []Change{b.remove(1)}, Done: []Done{{"Account", id(1), parent}}})
		if got := b.reason(1); got != ReasonGone {
			t.Errorf("after the foreign key refused, the reason is %s, want gone", got)
		}
		if b.seq(1) == parent {
			t.Error("the read that was refused could answer the mark again")
		}
		b.want("true", `SELECT due_at > now() AND attempts = 1 FROM hcbridge.mark WHERE sfid = $1`, id(1))
		b.want("23503", `SELECT code FROM hcbridge.read_error WHERE sfid = $1`, id(1))

		b.entry("NEW", "UPDATE", b.rowID(2), id(2))
		b.apply(Result{Held: 1}, Batch{Changes: []Change{b.remove(2)}, Done: []Done{{"Account", id(2), held}}})
		if got := b.reason(2); got != ReasonGone {
			t.Errorf("after the delete was held, the reason is %s, want gone", got)
		}
		b.exec(`UPDATE salesforce._trigger_log SET state = 'SUCCESS'`)
		b.applyChanges(Result{Marked: 1}, b.change(Event, 2, at(1), "Name", "other"))
		if got := b.reason(2); got != ReasonGone {
			t.Errorf("after an event of the same second, the reason is %s, want gone", got)
		}

		b.exec(`DELETE FROM child`)
		parent, held = seqs()
		b.apply(Result{Deleted: 2}, Batch{Changes: []Change{b.remove(1), b.remove(2)}, Done: []Done{{"Account", id(1), parent}, {"Account", id(2), held}}})
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
		b.want("0", `SELECT count(*) FROM hcbridge.read_error`)
	})

	t.Run("SetInTheCallersTransaction", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		err := b.sink.Tx(t.Context(), func(tx pgx.Tx) error {
			if err := b.sink.Mark(t.Context(), tx, []Mark{{Object: "Account", SFID: id(1), Reason: "poll"}, {Object: "Account", SFID: "no id"}}); err != nil {
				return err
			}
			return b.sink.WriteStateTx(t.Context(), tx, "Account", func(s *State) { s.PollMark = at(1) })
		})
		if err != nil {
			t.Fatal(err)
		}
		b.want("poll", `SELECT reason FROM hcbridge.mark JOIN hcbridge.object USING (schema, object)`)
	})

	t.Run("GoOnlyWithTheirSeq", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		first := b.mark(1)
		second := b.mark(1)
		if second <= first {
			t.Fatalf("seq went from %d to %d", first, second)
		}
		// A record that is marked again and again must be written all the same.
		b.apply(Result{Inserted: 1}, Batch{Changes: []Change{b.change(Read, 1, at(1))}, Done: []Done{{"Account", id(1), first}}})
		if got := b.seq(1); got != second {
			t.Errorf("mark is %d, want %d", got, second)
		}
		b.apply(Result{Unchanged: 1}, Batch{Changes: []Change{b.change(Read, 1, at(1))}, Done: []Done{{"Account", id(1), second}}})
		if got := b.seq(1); got != 0 {
			t.Errorf("mark %d is left", got)
		}
		// Answered already, by whoever it was.
		b.apply(Result{Stale: 1}, Batch{Changes: []Change{b.change(Read, 1, at(9))}, Done: []Done{{"Account", id(1), second}}})
	})

	t.Run("OfADeletedRecordOutliveAReadUnderWay", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		seq := b.mark(1)
		b.applyChanges(Result{Unchanged: 1}, b.remove(1))
		b.apply(Result{Stale: 1}, Batch{Changes: []Change{b.change(Read, 1, at(1))}, Done: []Done{{"Account", id(1), seq}}})
		b.want("0", `SELECT count(*) FROM salesforce.account`)
		// The read that follows finds nothing.
		b.apply(Result{Unchanged: 1}, Batch{Changes: []Change{b.remove(1)}, Done: []Done{{"Account", id(1), b.seq(1)}}})
		if got := b.seq(1); got != 0 {
			t.Errorf("mark %d is left", got)
		}
	})

	t.Run("OfADeletedRecordWhileTheReadIsBeingApplied", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		ctx := withTimeout(t)
		const rounds = 60
		for i := range rounds {
			seq := b.mark(i)
			var wg sync.WaitGroup
			wg.Go(func() {
				if _, err := b.sink.Apply(ctx, Batch{Changes: []Change{b.change(Read, i, at(1))}, Done: []Done{{"Account", id(i), seq}}}); err != nil {
					t.Error(err)
				}
			})
			wg.Go(func() {
				if _, err := b.sink.Apply(ctx, Batch{Changes: []Change{b.remove(i)}}); err != nil {
					t.Error(err)
				}
			})
			wg.Wait()
		}
		b.want("0", `SELECT count(*) FROM salesforce.account`)
	})

	t.Run("MakeALocalRowSyncedOnceItIsReadBack", func(t *testing.T) {
		t.Parallel()
		b := setup(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Read, 1, at(1)))
		for _, op := range []string{"UPDATED", "INSERTED", "PENDING"} {
			b.exec(`UPDATE salesforce.account SET _hc_lastop = $1`, op)
			b.applyChanges(Result{Unchanged: 1}, b.change(Event, 1, at(1)))
			b.applyChanges(Result{Updated: 1}, b.change(Read, 1, at(1)))
			b.want("SYNCED", `SELECT _hc_lastop FROM salesforce.account`)
		}
		b.exec(`UPDATE salesforce.account SET _hc_lastop = 'FAILED', _hc_err = '{}'`)
		b.applyChanges(Result{Unchanged: 1}, b.change(Read, 1, at(1)))
		b.want("{}", `SELECT _hc_err FROM salesforce.account`)
	})
}

func TestState(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	ctx := t.Context()
	got, err := b.sink.ReadState(ctx, "Account")
	if err != nil || got != (State{Object: "Account"}) {
		t.Fatalf("state %+v, %v without a row", got, err)
	}
	want := State{
		Object: "Account", State: "INITIAL", Message: "m", Loaded: 1, ToLoad: 2, LoadJob: "750", LoadLocator: "l",
		LoadStarted: at(1), LoadedAt: at(2), PollMark: at(3), DeletedMark: at(4), LastPollAt: at(5), LastEventAt: at(6), LastWriteAt: at(7),
	}
	if err := b.sink.WriteState(ctx, "Account", func(s *State) { *s = want }); err != nil {
		t.Fatal(err)
	}
	if got, err = b.sink.ReadState(ctx, "Account"); err != nil || got != want {
		t.Errorf("state %+v, %v, want %+v", got, err, want)
	}
	all, err := b.sink.States(ctx)
	if err != nil || len(all) != 1 || all["Account"] != want {
		t.Errorf("states %+v, %v", all, err)
	}
	// Concurrent writers of different fields do not undo each other.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 10 {
				if err := b.sink.WriteState(context.WithoutCancel(ctx), "Account", func(s *State) { s.Loaded++ }); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if got, err = b.sink.ReadState(ctx, "Account"); err != nil || got.Loaded != 41 {
		t.Errorf("loaded %d, %v, want 41", got.Loaded, err)
	}
}

func TestStamps(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	b.applyChanges(Result{Inserted: 1}, b.change(Read, 1, at(1)))
	b.exec(`INSERT INTO salesforce.account (sfid) VALUES ($1)`, id(2))
	got, err := b.sink.Stamps(t.Context(), b.table, []string{id(1)[:15], id(2), id(3), "bad"})
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || !got[id(1)].Equal(at(1)) || !got[id(2)].IsZero() {
		t.Errorf("stamps %v", got)
	}
}

// Of a record that the bridge deleted nothing is read, unless anything else of it is
// heard: however that is marked, it is read then.
func TestRemovedIsReadAgain(t *testing.T) {
	t.Parallel()
	for name, heard := range map[string]func(b *bundle, removed func()){
		"an event of it is held": func(b *bundle, removed func()) {
			b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "old"))
			b.edit(1, "NEW", "ours")
			removed()
			b.applyChanges(Result{Held: 1}, b.change(Event, 1, at(2), "Name", "new"))
		},
		"it is refused": func(b *bundle, removed func()) {
			removed()
			b.applyChanges(Result{Parked: 1}, b.change(Event, 1, at(2), "Name", strings.Repeat("x", 1000)))
		},
		"it is seen again": func(b *bundle, removed func()) {
			removed()
			b.exec(`INSERT INTO hcbridge.invisible (schema, object, sfid, since, until) VALUES ('salesforce', 'Account', $1, now(), now())`, id(1))
			if err := b.sink.Reappeared(b.t.Context(), "Account", []string{id(1)}); err != nil {
				b.t.Fatal(err)
			}
		},
		"it is asked for": func(b *bundle, removed func()) {
			removed()
			b.apply(Result{Marked: 1}, Batch{Marks: []Mark{{Object: "Account", SFID: id(1), Reason: "undeleted"}}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, writable())
			heard(b, func() {
				b.apply(Result{Marked: 1}, Batch{Marks: []Mark{{Object: "Account", SFID: id(1), Reason: ReasonRemoved}}})
			})
			if got := b.reason(1); got != ReasonGone {
				t.Errorf("reason %q, want %q", got, ReasonGone)
			}
		})
	}
}
