package pgsink

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// patch is a change event of record n with the given fields alone.
func (b *bundle) patch(n int, stamp time.Time, pairs ...any) Change {
	b.t.Helper()
	members := map[string]any{"Id": id(n), "SystemModstamp": stamp.Format("2006-01-02T15:04:05.000-0700")}
	for i := 0; i < len(pairs); i += 2 {
		members[pairs[i].(string)] = pairs[i+1]
	}
	text, err := json.Marshal(members)
	if err != nil {
		b.t.Fatal(err)
	}
	row, err := b.table.Decode(text)
	if err != nil {
		b.t.Fatal(err)
	}
	return Change{Table: b.table, Kind: Patch, Row: row}
}

// patching is a table whose object is loaded.
func patching(t testing.TB, spec Spec) *bundle {
	t.Helper()
	b := setup(t, spec)
	b.exec(`INSERT INTO hcbridge.object (schema, object, loaded_at) VALUES ('salesforce', 'Account', now())`)
	return b
}

// row is what a patch must get right: the values it has, those it has not, the
// stamp.
func (b *bundle) row(n int) string {
	b.t.Helper()
	return b.one(`SELECT coalesce(name, '-') || ' ' || coalesce(ext__c, '-') || ' ' || to_char(systemmodstamp, 'SS') FROM salesforce.account WHERE sfid = $1`, id(n))
}

func TestPatch(t *testing.T) {
	t.Parallel()

	t.Run("WritesItsFieldsAndNotTheStamp", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "one", "Ext__c", "x"), b.change(Event, 2, at(1), "Name", "two", "Ext__c", "y"))
		b.applyChanges(Result{Updated: 2}, b.patch(1, at(5), "Name", "uno"), b.patch(2, at(5), "Ext__c", nil))
		if one, two := b.row(1), b.row(2); one != "uno x 01" || two != "two - 01" {
			t.Errorf("rows %q and %q", one, two)
		}
		b.applyChanges(Result{Unchanged: 1}, b.patch(1, at(6), "Name", "uno"))
		b.applyChanges(Result{Updated: 1}, b.patch(1, at(6), "Name", "eins"))
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
	})

	t.Run("OlderIsIgnoredAndTheSameSecondIsRead", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(5), "Name", "one"))
		b.applyChanges(Result{Stale: 1}, b.patch(1, at(4), "Name", "old"))
		b.applyChanges(Result{Unchanged: 1}, b.patch(1, at(5), "Name", "one"))
		b.applyChanges(Result{Marked: 1}, b.patch(1, at(5), "Name", "other"))
		if got, reason := b.row(1), b.reason(1); got != "one - 05" || reason != ReasonEqual {
			t.Errorf("row %q, mark %q", got, reason)
		}
	})

	t.Run("OfAnUnknownRecordLeavesAMark", func(t *testing.T) {
		t.Parallel()
		b := patching(t, keyed())
		b.exec(`INSERT INTO salesforce.account (name, ext__c) VALUES ('local', 'k')`)
		b.applyChanges(Result{Marked: 1}, b.patch(1, at(5), "Name", "uno", "Ext__c", "k"))
		b.want("local", `SELECT name FROM salesforce.account WHERE sfid IS NULL`)
	})

	t.Run("DuringALoadLeavesAMark", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "one"))
		b.exec(`UPDATE hcbridge.object SET loaded_at = NULL`)
		b.applyChanges(Result{Marked: 1}, b.patch(1, at(5), "Name", "uno"))
		b.exec(`UPDATE hcbridge.object SET loaded_at = now()`)
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 2, at(1), "Name", "two"))
		b.exec(`UPDATE hcbridge.object SET loaded_at = NULL`)
		b.applyChanges(Result{Marked: 1, Deleted: 1}, b.patch(1, at(5), "Name", "uno"), b.remove(2)) // a delete does not wait
	})

	// Chunks of a job's result that hold an older version may come later.
	t.Run("DuringAPollByBulkLeavesAMark", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		job := func(started, polled time.Time) {
			err := b.sink.WriteState(t.Context(), "Account", func(s *State) { s.LoadJob, s.LoadStarted, s.PollMark = "750", started, polled })
			if err != nil {
				t.Fatal(err)
			}
		}
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "one"))
		job(at(30), at(10))
		b.applyChanges(Result{Marked: 1}, b.patch(1, at(35), "Name", "newest"))
		b.load(1, line(1, "of the job", at(20)))
		if got, reason := b.row(1), b.reason(1); got != "of the job - 20" || reason != ReasonEqual {
			t.Errorf("row %q, mark %q", got, reason)
		}
		b.apply(Result{Updated: 1}, Batch{Changes: []Change{b.change(Read, 1, at(35), "Name", "newest")}, Done: []Done{{Object: "Account", SFID: id(1), Seq: b.seq(1)}}})
		b.load(1, line(1, "of the job", at(20)))
		if got := b.row(1); got != "newest - 35" {
			t.Errorf("after the read: %q", got)
		}
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
		job(at(30), at(40)) // it broke off, and no poll goes on with it
		b.applyChanges(Result{Updated: 1}, b.patch(1, at(45), "Name", "later"))
	})

	t.Run("IsHeldWhileTheAppsChangeIsUnsent", func(t *testing.T) {
		t.Parallel()
		b := patching(t, writable())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "one"))
		b.entry("NEW", "UPDATE", b.rowID(1), id(1))
		b.applyChanges(Result{Held: 1}, b.patch(1, at(5), "Name", "uno"))
		if got := b.name(1); got != "one" {
			t.Errorf("the app's change is overwritten by %q", got)
		}
	})

	t.Run("FoldInTheirOrder", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 1},
			b.change(Event, 1, at(1), "Name", "a"), b.patch(1, at(1), "Name", "b"), b.patch(1, at(3), "Ext__c", "x"))
		if got := b.row(1); got != "b x 01" {
			t.Errorf("create and patches: %q", got)
		}
		b.applyChanges(Result{Updated: 1}, b.patch(1, at(4), "Name", "c", "Ext__c", "y"), b.patch(1, at(4), "Name", "d"))
		if got := b.row(1); got != "d y 01" {
			t.Errorf("two patches: %q", got)
		}
		b.applyChanges(Result{Marked: 1}, b.patch(1, at(6), "Name", "e"), b.patch(1, at(5), "Name", "f"))
		b.applyChanges(Result{Deleted: 1}, b.patch(1, at(7), "Name", "g"), b.remove(1))
		b.applyChanges(Result{Marked: 1}, b.remove(1), b.patch(1, at(8), "Name", "h"))
		b.applyChanges(Result{}, Change{Table: b.table, Kind: Patch, Row: b.patch(1, at(9)).Row}) // nothing that is mapped
	})

	t.Run("BesideEventsAndDeletes", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "one"), b.change(Event, 2, at(1), "Name", "two"))
		b.applyChanges(Result{Inserted: 1, Updated: 1, Deleted: 1}, b.patch(1, at(2), "Name", "uno"), b.remove(2), b.change(Event, 3, at(2), "Name", "three"))
		b.applyChanges(Result{Updated: 1, Deleted: 1}, b.patch(1, at(3), "Name", "eins"), b.remove(3))
	})

	// A row's stamp does not tell that a patch is newer than a read under way.
	t.Run("IsNotTurnedBackByAReadOfBefore", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.applyChanges(Result{Inserted: 1}, b.change(Event, 1, at(1), "Name", "one"))
		seq := b.mark(1)
		b.applyChanges(Result{Updated: 1}, b.patch(1, at(5), "Name", "uno"))
		b.apply(Result{Stale: 1}, Batch{Changes: []Change{b.change(Read, 1, at(1), "Name", "one")}, Done: []Done{{Object: "Account", SFID: id(1), Seq: seq}}})
		if got := b.name(1); got != "uno" {
			t.Errorf("name %q", got)
		}
		b.apply(Result{Updated: 1}, Batch{Changes: []Change{b.change(Read, 1, at(5), "Name", "uno")}, Done: []Done{{Object: "Account", SFID: id(1), Seq: b.seq(1)}}})
		if got := b.row(1); got != "uno - 05" {
			t.Errorf("after the read: %q", got)
		}
		b.want("0", `SELECT count(*) FROM hcbridge.mark`)
	})

	t.Run("ThatIsRefusedIsParkedAlone", func(t *testing.T) {
		t.Parallel()
		b := patching(t, account())
		b.exec(`ALTER TABLE salesforce.account ADD CHECK (name <> 'bad')`)
		b.applyChanges(Result{Inserted: 2}, b.change(Event, 1, at(1), "Name", "one"), b.change(Event, 2, at(1), "Name", "two"))
		b.applyChanges(Result{Parked: 1, Updated: 1}, b.patch(1, at(5), "Name", "bad"), b.patch(2, at(5), "Name", "dos"))
	})
}

// However changes are spread over batches, and whenever records are read in
// between, a row that nothing waits for is what Salesforce holds.
func TestPatchesAddUp(t *testing.T) {
	t.Parallel()
	b := patching(t, account())
	n := 0
	rapid.Check(t, func(t *rapid.T) {
		n++
		type version struct {
			name, ext string
			stamp     int
		}
		now := version{"0", "0", 1}
		b.applyChanges(Result{Inserted: 1}, b.change(Event, n, at(now.stamp), "Name", now.name, "Ext__c", fmt.Sprint(n, now.ext)))
		var read *Change // taken, and not applied yet
		var seq int64
		var waiting []Change
		apply := func(batch Batch) {
			if _, err := b.sink.Apply(b.t.Context(), batch); err != nil {
				t.Fatal(err)
			}
		}
		take := func() Change {
			c := b.change(Read, n, at(now.stamp), "Name", now.name, "Ext__c", fmt.Sprint(n, now.ext))
			c.Row.Known = b.one(`SELECT systemmodstamp = $2 FROM salesforce.account WHERE sfid = $1`, id(n), at(now.stamp)) == "true"
			return c
		}
		for i := range rapid.IntRange(1, 12).Draw(t, "steps") {
			switch rapid.SampledFrom([]string{"change", "change", "apply", "take", "give"}).Draw(t, "step") {
			case "change":
				now.stamp += rapid.IntRange(0, 2).Draw(t, "seconds")
				var pairs []any
				if rapid.Bool().Draw(t, "name") {
					now.name = fmt.Sprint(i)
					pairs = append(pairs, "Name", now.name)
				} else {
					now.ext = fmt.Sprint(i)
					pairs = append(pairs, "Ext__c", fmt.Sprint(n, now.ext))
				}
				waiting = append(waiting, b.patch(n, at(now.stamp), pairs...))
			case "apply":
				apply(Batch{Changes: waiting})
				waiting = nil
			case "take":
				if read == nil {
					apply(Batch{Marks: []Mark{{Object: "Account", SFID: id(n), Reason: "test"}}})
					c := take()
					read, seq = &c, b.seq(n)
				}
			case "give":
				if read != nil {
					apply(Batch{Changes: []Change{*read}, Done: []Done{{Object: "Account", SFID: id(n), Seq: seq}}})
					read = nil
				}
			}
		}
		apply(Batch{Changes: waiting})
		if b.seq(n) != 0 {
			apply(Batch{Changes: []Change{take()}, Done: []Done{{Object: "Account", SFID: id(n), Seq: b.seq(n)}}})
		}
		if got, want := b.one(`SELECT name || ' ' || ext__c FROM salesforce.account WHERE sfid = $1`, id(n)), fmt.Sprint(now.name, " ", n, now.ext); got != want {
			t.Fatalf("row %q, Salesforce %q", got, want)
		}
	})
}
