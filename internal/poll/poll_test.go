package poll

import (
	"fmt"
	"testing"
	"time"

	"hcbridge/pgsink"
	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

func TestChanges(t *testing.T) {
	t.Parallel()

	t.Run("FindsWhatNoEventAnnounced", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		id := b.insert("One")
		if n := b.poll(); n != 1 {
			t.Errorf("found %d, want 1", n)
		}
		b.clock.move(time.Minute)
		b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"Title": "Two"}))
		if n := b.poll(); n != 1 {
			t.Errorf("found %d, want 1", n)
		}
		b.equal()
		if n := b.poll(); n != 0 {
			t.Errorf("found %d when nothing had changed", n)
		}
	})

	t.Run("SkipsNoneOfManyWithOneStamp", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		b.insertMany(2*pageSize + 500) // all in one second of a clock that stands
		if n := b.poll(); n != 2*pageSize+500 {
			t.Errorf("found %d, want %d", n, 2*pageSize+500)
		}
		b.equal()
	})

	t.Run("FindsLateCommits", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		b.clock.move(time.Hour)
		b.poll()
		b.sf.Trigger(func(d *sobject.Draft) error {
			d.Tx.At = b.clock.Now().Add(-14 * time.Minute) // stamped then, committed now
			return nil
		})
		b.insert("Late")
		if n := b.poll(); n != 1 {
			t.Errorf("found %d, want the late one", n)
		}
		b.equal()
	})

	t.Run("FindsDeletesAndUndeletes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.insert("Gone")
		b.load()
		b.clock.move(time.Minute)
		b.must(b.sf.AsBulk("loader@example.com").Delete("Contact", id))
		b.poll()
		if n := b.rows(); n != 0 {
			t.Errorf("%d rows after the delete", n)
		}
		b.clock.move(time.Minute)
		b.must(b.sf.AsBulk("loader@example.com").Undelete("Contact", id))
		b.poll()
		b.equal()
	})

	t.Run("ReadsTwiceInOneSecondWithoutAStream", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.o.Streamed = func() bool { return false }
		b.load()
		id := b.insert("First")
		b.poll()
		// The same second, so the same stamp: no later poll could tell.
		b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Second"}))
		b.clock.move(5 * time.Second)
		deadline := time.Now().Add(20 * time.Second)
		for {
			b.hydrate()
			diff, err := compare.Sides(t.Context(), b.pool, "salesforce", b.sf, "Contact")
			b.must(err)
			if len(diff) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("not read again: %v", diff)
			}
			time.Sleep(50 * time.Millisecond)
		}
		var marks int
		b.must(b.pool.QueryRow(t.Context(), "SELECT count(*) FROM hcbridge.mark").Scan(&marks))
		if marks != 0 {
			t.Errorf("%d marks stay for ever", marks)
		}
	})
}

func TestDeletes(t *testing.T) {
	t.Parallel()

	t.Run("FindsWhatWasPurged", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.insert("Purged")
		b.load()
		b.clock.move(time.Minute)
		b.must(b.sf.AsBulk("loader@example.com").Delete("Contact", id))
		b.must(b.sf.Purge("Contact", id))
		if n := b.poll(); n != 0 {
			t.Errorf("queryAll shows a purged record, %d times", n)
		}
		b.clock.move(10 * time.Minute)
		if n := b.ask(Ask{Wanted: true}).Deletes; n != 1 {
			t.Errorf("getDeleted shows %d, want 1", n)
		}
		if n := b.rows(); n != 0 {
			t.Errorf("%d rows after the purge", n)
		}
	})

	t.Run("AsksEveryFiveMinutesAtMost", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		for range 10 {
			b.clock.move(time.Minute)
			b.poll()
		}
		if n := b.asked("/deleted"); n == 0 || n > 2 {
			t.Errorf("asked %d times in ten minutes, want once or twice", n)
		}
	})

	t.Run("KeepsWhatIsMerelyInvisible", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		const invisible = "003000000000001AAA"
		_, err := b.pool.Exec(t.Context(), "INSERT INTO salesforce.contact (sfid, lastname) VALUES ($1, 'Hidden')", invisible)
		b.must(err)
		_, err = b.sink.Apply(t.Context(), pgsink.Batch{Marks: []pgsink.Mark{{Object: "Contact", SFID: invisible, Reason: "poll"}}})
		b.must(err)
		b.hydrate()
		if n := b.rows(); n != 1 {
			t.Errorf("%d rows, want the invisible record's to stay", n)
		}
	})
}

func TestLoad(t *testing.T) {
	t.Parallel()

	t.Run("ReadsFewByREST", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.insertMany(300)
		b.load()
		b.equal()
		if n := b.calls("/jobs/query"); n != 0 {
			t.Errorf("%d calls of the Bulk API for 300 records", n)
		}
	})

	t.Run("ResumesWhereItBrokeOff", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.r.loadPage = 1000
		b.insertMany(smallLoad + 1500)
		b.sf.Fault(org.Fault{Path: `/results\?.*locator=`, Verb: org.Reject, Status: 503, Body: `[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]`, After: 1, Times: 1})
		err := b.r.Load(t.Context(), b.o, func(int64, int64) {})
		if err == nil {
			t.Fatal("the load did not break off")
		}
		state, err := b.sink.ReadState(t.Context(), "Contact")
		b.must(err)
		if state.LoadJob == "" || state.Loaded != 2000 || b.rows() != 2000 {
			t.Errorf("job %q, %d loaded, %d rows; want two pages of 1000 to be durable", state.LoadJob, state.Loaded, b.rows())
		}
		b.load()
		b.equal()
		if n := b.calls("/results"); n != 5 { // pages 1, 2, 3 refused, 3, 4
			t.Errorf("%d pages were asked for, want 5", n)
		}
	})

	// A chunk may be written after the load was begun anew, and its job is that of before.
	t.Run("BeginsAnewWithAJobOfItsOwn", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.insertMany(smallLoad + 10)
		b.must(b.sink.WriteState(t.Context(), "Contact", func(s *pgsink.State) { s.LoadJob, s.LoadLocator, s.LoadDone = "750000000000001AAA", "L", 7 }))
		b.sf.Fault(org.Fault{Method: "POST", Path: `/jobs/query`, Verb: org.Reject, Status: 503, Body: `[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]`, Times: 1})
		if err := b.r.Load(t.Context(), b.o, func(int64, int64) {}); err == nil {
			t.Fatal("the load did not break off")
		}
		b.load()
		b.equal()
		if n := b.calls("750000000000001AAA"); n != 0 {
			t.Errorf("%d calls for the job of before", n)
		}
	})

	// An event brings what is newer while the load is under way, in a later second
	// or in the same.
	for name, by := range map[string]time.Duration{"LeavesNewerRowsAlone": time.Minute, "LeavesNewerRowsOfASecondAlone": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.insert("Old")
			newer, err := b.o.Table.Decode([]byte(fmt.Sprintf(`{"Id":%q,"SystemModstamp":%q,"IsDeleted":false,"FirstName":null,"LastName":"Newer","Title":null,"Email":null,"External_Id__c":null}`,
				id, b.clock.Now().Add(by).Format(time.RFC3339))))
			b.must(err)
			_, err = b.sink.Apply(t.Context(), pgsink.Batch{Changes: []pgsink.Change{{Table: b.o.Table, Kind: pgsink.Event, Row: newer}}})
			b.must(err)
			b.load()
			var name string
			b.must(b.pool.QueryRow(t.Context(), "SELECT lastname FROM salesforce.contact WHERE sfid = $1", id).Scan(&name))
			if name != "Newer" {
				t.Errorf("the load put %q over a newer value", name)
			}
		})
	}

	t.Run("FallsBackToRESTWithoutBulk", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.insertMany(smallLoad + 10)
		b.sf.Fault(org.Fault{Path: `/jobs/query`, Verb: org.Reject, Status: 403, Body: `[{"message":"not enabled","errorCode":"API_DISABLED_FOR_ORG"}]`})
		b.load()
		b.equal()
	})
}

func TestInListTakesIdsOnly(t *testing.T) {
	t.Parallel()
	got := inList([]string{"003000000000001AAA", "x' OR Name != '", "003000000000002"})
	if want := "'003000000000001AAA','003000000000002'"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
