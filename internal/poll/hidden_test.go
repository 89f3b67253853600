package poll

import (
	"maps"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// Row 37: a record that is no longer shared is not deleted. Taking absence for
// a delete removes its row.
func TestHidden(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("Hidden")
	b.insertMany(20)
	b.load()
	b.sf.HideRecord("Contact", id)
	for range 3 {
		b.clock.move(2 * time.Hour)
		b.poll()
		b.compare()
		if n := b.rows(); n != 21 {
			t.Fatalf("%d rows, want the hidden record's to stay", n)
		}
	}
	in, err := b.sink.Invisible(t.Context(), b.o.Table)
	b.must(err)
	if in != (pgsink.Invisible{Total: 1, Confirmed: 1}) {
		t.Errorf("status shows %+v, want one invisible record", in)
	}
	if d := b.verify(b.o); len(d) != 1 || d[0].Kind != pgsink.DiffNoRecord || d[0].SFID != id {
		t.Errorf("verify reports %+v", d)
	}
	b.sf.ShowRecord("Contact", id)
	b.compare()
	if in, err = b.sink.Invisible(t.Context(), b.o.Table); err != nil || in.Total != 0 {
		t.Errorf("%+v, %v after the record is visible again", in, err)
	}
	b.equal()
}

// A record is no longer shared, changes, and is shared again when no poll looks as far
// back as its stamp, which has no event. It is asked for now and then.
func TestSharedAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("One")
	gone := b.insert("Away")
	b.load()
	b.sf.HideRecord("Contact", id)
	b.sf.HideRecord("Contact", gone)
	b.clock.move(time.Minute)
	b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
	b.compare()
	for range 12 {
		b.clock.move(6 * time.Hour)
		b.poll()
	}
	in, err := b.sink.Invisible(t.Context(), b.o.Table)
	b.must(err)
	if in.Total != 2 || in.Confirmed != 2 {
		t.Errorf("%+v, want two rows, for hours", in)
	}
	b.sf.ShowRecord("Contact", id)
	b.clock.move(6 * time.Hour)
	b.poll()
	if got := b.value("contact", "lastname", id); got != "Two" {
		t.Errorf("the row shows %q, of a record that is shared again", got)
	}
	if in, err = b.sink.Invisible(t.Context(), b.o.Table); err != nil || in.Total != 1 {
		t.Errorf("%+v, %v; want the other row only", in, err)
	}
}

// A record changes twice in the second of its stamp, and is hidden while a poll
// looks at that second and while the mark of the later change is answered. When
// it is visible again, its stamp is that of its row, and nothing but the note that
// it was invisible tells a poll to read it.
func TestHiddenInTheSecondOfItsStamp(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("One")
	b.load()
	b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
	b.sf.HideRecord("Contact", id)
	b.clock.move(time.Minute)
	b.poll()
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Contact", SFID: id, Reason: "equal"}})) // as the event, late
	b.hydrate()
	if got := b.value("contact", "lastname", id); got != "One" {
		t.Fatalf("the row shows %q, of a record that is hidden", got)
	}
	b.clock.move(time.Minute)
	b.poll()
	b.sf.ShowRecord("Contact", id)
	b.poll()
	b.equal()
	in, err := b.sink.Invisible(t.Context(), b.o.Table)
	b.must(err)
	if in.Total != 0 {
		t.Errorf("%+v after the record is visible again", in)
	}
}

// A record changes twice in the second of its stamp, without an event, and is hidden
// whenever a poll looks at that second. Its row looks right ever after; that the polls
// did not see it is what has it read when it is visible again.
func TestHiddenWhileItSettles(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("One")
	b.insertMany(3)
	b.load()
	b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
	b.sf.HideRecord("Contact", id)
	b.clock.move(7 * time.Hour)
	b.poll()
	if got := b.value("contact", "lastname", id); got != "One" {
		t.Fatalf("the row shows %q, of a record that is hidden", got)
	}
	b.sf.ShowRecord("Contact", id)
	b.clock.move(7 * time.Hour)
	b.poll()
	b.equal()
}

// A record is deleted, taken back and changed, and then hidden. Salesforce does not
// show it and has called it deleted; that its row is of after the deletion is what
// keeps the row, whatever comes first.
func TestHiddenAfterItCameBack(t *testing.T) {
	t.Parallel()
	for _, first := range []string{"TheMark", "TheRow", "TheReading"} {
		t.Run(first, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.insert("One")
			b.load()
			deleted := b.clock.Now()
			b.must(b.sf.Delete("Contact", id))
			b.clock.move(time.Hour)
			b.must(b.sf.Undelete("Contact", id))
			b.must(b.sf.Update("Contact", id, map[string]any{"LastName": "Two"}))
			records, err := b.client.Retrieve(t.Context(), "Contact", []string{id}, b.o.Fields)
			b.must(err)
			event, err := rows(b.o, records, pgsink.Event)
			b.must(err)
			mark := func() {
				b.must(b.r.mark(t.Context(), []pgsink.Mark{b.o.gone(id, salesforce.Time{Time: deleted})}))
			}
			row := func() {
				_, err := b.sink.Apply(t.Context(), pgsink.Batch{Changes: event})
				b.must(err)
			}
			switch first {
			case "TheMark":
				mark()
				row()
			case "TheRow":
				row()
				mark()
			case "TheReading":
				mark()
				b.r.sf = hooked{Source: b.client, answered: row}
			}
			b.sf.HideRecord("Contact", id)
			b.hydrate()
			if n := b.rows(); n != 1 {
				t.Fatalf("%d rows; want that of the record, which lives", n)
			}
			b.sf.ShowRecord("Contact", id)
			b.clock.move(time.Hour)
			b.poll()
			b.equal()
		})
	}
}

// Tasks and events of long ago are shown by queryAll alone. Their rows stay, and
// change with them, and they are not read over and over.
func TestArchived(t *testing.T) {
	t.Parallel()
	for name, fields := range map[string][]string{"Plain": {"LastName"}, "WithParentsField": {"LastName", "Account.External_Id__c"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.must(b.drop("contact"))
			b.o = b.object("Contact", fields...)
			id := b.insert("One")
			b.insertMany(3)
			b.load()
			b.clock.move(time.Hour)
			b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
			b.clock.move(24 * time.Hour)
			b.sf.ArchiveRecord("Contact", id)
			for range 2 {
				if f := b.compare(); f.Full != 1 {
					t.Errorf("the comparison marked %d, want the archived record's row", f.Full)
				}
				if n := b.marks(); n != 0 {
					t.Errorf("%d marks are left", n)
				}
			}
			if got := b.value("contact", "lastname", id); got != "Two" {
				t.Errorf("the row shows %q", got)
			}
			in, err := b.sink.Invisible(t.Context(), b.o.Table)
			b.must(err)
			if in.Total != 0 {
				t.Errorf("%+v", in)
			}
		})
	}
}

// Somebody has put ids into rows that can be no record's, or has changed the case of one.
// Those rows stay and are reported, and keep no other record from being read.
func TestStrangeIDs(t *testing.T) {
	t.Parallel()
	for _, fields := range [][]string{{"LastName"}, {"LastName", "Account.Name"}} { // by retrieve, and by query
		t.Run(fields[len(fields)-1], func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.must(b.drop("contact"))
			b.o = b.object("Contact", fields...)
			id := b.insert("One")
			b.load()
			strange := []string{"abc", "003000000000001AAB", strings.ToLower(id)}
			for _, s := range strange {
				_, err := b.pool.Exec(t.Context(), "INSERT INTO salesforce.contact (sfid, lastname) VALUES ($1, 'Strange')", s)
				b.must(err)
			}
			_, err := b.pool.Exec(t.Context(), "UPDATE salesforce.contact SET lastname = 'Other' WHERE sfid = $1", id)
			b.must(err)
			kinds := map[string]pgsink.DiffKind{}
			for _, d := range b.verify(b.o) {
				kinds[d.SFID] = d.Kind
			}
			want := map[string]pgsink.DiffKind{id: pgsink.DiffValues}
			for _, s := range strange {
				want[s] = pgsink.DiffNoRecord
			}
			if !maps.Equal(kinds, want) {
				t.Errorf("verify reports %v, want %v", kinds, want)
			}

			b.compare()
			b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Contact", SFID: strange[1], Reason: pgsink.ReasonGone}}))
			b.hydrate()
			if got := b.value("contact", "lastname", id); got != "One" || b.rows() != 4 {
				t.Errorf("the row of the record shows %q, and there are %d rows, want 4", got, b.rows())
			}
		})
	}
}
