package poll

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// stampedBefore has the next records stamped d before they become visible.
func (b *bundle) stampedBefore(d time.Duration) {
	b.sf.Trigger(func(draft *sobject.Draft) error {
		draft.Tx.At = b.clock.Now().Add(-d)
		return nil
	})
}

// Row 28 of the list of faults: a transaction commits after its stamp. Whoever
// goes on from the newest stamp seen never reads it.
func TestLateCommits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		by   time.Duration
		want Found
	}{
		{"MinutesAreTheFastLayers", 14 * time.Minute, Found{Fast: 1}},
		{"TwentyMinutesAreTheLateLayers", 20 * time.Minute, Found{Late: 1}},
		{"AnHourIsTheLateLayers", 59 * time.Minute, Found{Late: 1}},
		{"ADayIsTheDriftLayers", 30 * time.Hour, Found{Drift: 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.load()
			b.clock.move(72 * time.Hour)
			b.poll()
			b.stampedBefore(c.by)
			b.clock.move(20 * time.Second)
			b.insert("Late")
			var found Found
			for range 40 { // every ten minutes, as the bridge does
				b.clock.move(10 * time.Minute)
				if found = b.ask(Ask{}); found.Total() > 0 {
					break
				}
			}
			if found.Read = false; found != c.want {
				t.Errorf("found %+v, want %+v", found, c.want)
			}
			b.equal()
		})
	}

	// A transaction can run for days; getUpdated tells since when.
	t.Run("AsFarBackAsSalesforceSays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		b.clock.move(8 * 24 * time.Hour)
		b.sf.ReplicationLag(5 * 24 * time.Hour)
		b.poll()
		b.stampedBefore(100 * time.Hour)
		b.insert("Very late")
		b.clock.move(7 * time.Hour)
		if n := b.poll(); n != 1 {
			t.Errorf("found %d, want the late one", n)
		}
		b.equal()
	})
}

// Rows 30 and 31: records change while pages are read, and locators expire.
// With offsets the first skips records, with locators the second never ends.
func TestPagingThroughChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	var ids []string
	for range 5 {
		made, err := b.sf.AsBulk("loader@example.com").InsertMany("Contact", names(1000))
		b.must(err)
		ids = append(ids, made...)
		b.clock.move(time.Minute)
	}
	pages := 0
	b.r.sf = hooked{Source: b.r.sf, before: func(soql string) {
		if !strings.Contains(soql, "ORDER BY") {
			return
		}
		if pages++; pages > 1 { // between pages
			b.sf.ExpireLocators()
			for _, id := range ids[:300] {
				b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"Title": fmt.Sprint(pages)}))
			}
			ids = ids[300:]
		}
	}}
	if n := b.poll(); n < 5000 || pages < 3 {
		t.Errorf("found %d in %d pages, want all 5000 in at least 3", n, pages)
	}
	b.poll()
	b.equal()
}

// More records of one second than a page or a query can have (fault 29). A
// cursor that is a stamp alone loops in that second for ever, or leaves it.
//
// HCBRIDGE_SAME_SECOND is another number of records than 7,000. Without the
// Bulk API, because that has no pages of this kind.
func TestManyChangesInASecond(t *testing.T) {
	t.Parallel()
	n := 7000 // a page has 2,000 at the most
	if text := os.Getenv("HCBRIDGE_SAME_SECOND"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	b := setup(t)
	b.sf.Fault(org.Fault{Path: `/jobs/query`, Verb: org.Reject, Status: 403, Body: `[{"message":"not enabled","errorCode":"API_DISABLED_FOR_ORG"}]`})
	b.load()
	b.clock.move(time.Minute)
	b.insert("Before")
	b.clock.move(time.Second)
	b.insertMany(n)
	b.clock.move(time.Second)
	b.insert("After")
	b.clock.move(time.Minute)
	queries := 0
	b.r.sf = hooked{Source: b.r.sf, before: func(soql string) {
		if strings.Contains(soql, "ORDER BY") {
			if queries++; queries > n/1000+40 {
				b.t.Fatal("the poll does not leave the second")
			}
		}
	}}
	if found := b.poll(); found != n+2 || queries < n/2000+1 {
		t.Errorf("found %d by %d queries, want %d by at least %d", found, queries, n+2, n/2000+1)
	}
	b.equal()
	b.clock.move(time.Hour)
	b.poll()
	if found := b.poll(); found != 0 {
		t.Errorf("found %d of that second once more", found)
	}
	b.equal()
}

// Row 32: this machine's clock says nothing about Salesforce's. With windows
// made of it, one that is ahead loses changes.
func TestAnotherClock(t *testing.T) {
	t.Parallel()
	for _, skew := range []time.Duration{-3 * time.Hour, 3 * time.Hour} {
		t.Run(skew.String(), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.clock.move(skew)
			b.tell()
			b.load()
			for i := range 3 {
				b.clock.move(20 * time.Minute)
				b.poll()
				b.insert(fmt.Sprint(i))
				b.clock.move(20 * time.Minute)
				if n := b.poll(); n != 1 {
					t.Errorf("found %d, want 1", n)
				}
			}
			b.equal()
		})
	}
}

// Row 34: the value of a formula changes and no stamp does. No poll can see it.
func TestFormulas(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var rate atomic.Int64
	ob := b.sf.Object("Contact").With(&sobject.Field{
		Name: "Rate__c", Label: "Rate", Type: "string", Length: 40, Nillable: true, Calculated: true, Custom: true,
		Formula: func(func(string) any) any { return fmt.Sprint(rate.Load()) },
	})
	b.sf.Define(ob)
	b.must(b.drop("contact"))
	b.o = b.object("Contact", "LastName", "Rate__c")
	id := b.insert("One")
	b.insertMany(50)
	b.load()
	b.clock.move(time.Minute)
	b.poll() // reads what was loaded in its second
	b.clock.move(90 * time.Minute)
	b.poll() // and what could have changed within it, and committed late
	rate.Store(7)
	b.clock.move(25 * time.Hour)
	if n := b.poll(); n != 0 {
		t.Errorf("a poll found %d", n)
	}
	b.tell()
	if due, err := b.r.FullDue(t.Context(), b.o, Pace{Stretch: 1, Deep: true}); err != nil || !due {
		t.Errorf("a sweep is due after a day: %v, %v", due, err)
	}
	if f := b.compare(); f.Full != 51 {
		t.Errorf("the sweep marked %d, want 51", f.Full)
	}
	if v := b.value("contact", "rate__c", id); v != "7" {
		t.Errorf("the row says %q, want 7", v)
	}
	if f := b.compare(); f.Full != 0 {
		t.Errorf("another sweep marked %d when nothing had moved", f.Full)
	}
}

// Row 35: a record gets a new stamp and no new value. It is read back once, not
// at every poll.
func TestTouched(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("Same")
	b.load()
	b.clock.move(time.Minute)
	b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Same"}))
	if n := b.poll(); n != 1 {
		t.Errorf("found %d, want the touched one", n)
	}
	if n := b.poll(); n != 0 {
		t.Errorf("found %d again", n)
	}
	b.equal()
}

// Row 42: a bulk load that no event tells of is read by Bulk API, not record by
// record, goes on where it stopped, and does not overwrite what is newer.
func TestManyChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.r.loadPage = 5000
	b.load()
	b.clock.move(time.Minute)
	gone := b.insert("Deleted in the window")
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Contact", SFID: gone, Reason: "poll"}}))
	b.hydrate()
	b.must(b.sf.AsBulk("loader@example.com").Delete("Contact", gone))
	b.insertMany(bulkAbove + 3000)
	b.clock.move(2 * time.Second)
	var told []int64
	b.o.Bulk = func(read, _ int64) { told = append(told, read) }
	// The second page of the second job fails once.
	b.sf.Fault(org.Fault{Path: `/results\?.*locator=`, Verb: org.Reject, Status: 503, Body: `[{"message":"busy","errorCode":"SERVER_UNAVAILABLE"}]`, After: 3, Times: 1})
	b.tell()
	before := b.clock.Now()
	if _, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true}); err == nil {
		t.Fatal("the poll did not break off")
	}
	if n := b.rows(); n < 5000 {
		t.Errorf("%d rows are durable after the first page", n)
	}
	b.clock.move(time.Hour)
	late := b.insert("Changed between the job and its resumption")
	b.tell()
	if _, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true}); err != nil {
		t.Fatal(err)
	}
	if s, err := b.sink.ReadState(t.Context(), "Contact"); err != nil || s.PollMark.After(before.Add(time.Second)) || s.LoadJob != "" {
		t.Errorf("mark %s and job %q, want the mark at the beginning of the job, %s; %v", s.PollMark, s.LoadJob, before, err)
	}
	b.hydrate()
	b.poll()
	if v := b.value("contact", "lastname", late); v == "" {
		t.Error("a change between the job's beginning and its resumption is lost")
	}
	b.equal()
	if n := b.calls("/jobs/query/"); n == 0 {
		t.Error("the Bulk API was not used")
	}
	if n := b.asked("/composite/sobjects/Contact"); n > 8 {
		t.Errorf("%d readings back beside the Bulk API", n)
	}
	if len(told) < 3 {
		t.Errorf("progress was told %v", told)
	}
}

// The Bulk API may be refused; then the same is found by REST.
func TestManyChangesWithoutBulk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	b.clock.move(time.Minute)
	b.insertMany(bulkAbove + 100)
	b.sf.Fault(org.Fault{Path: `/jobs/query`, Verb: org.Reject, Status: 403, Body: `[{"message":"not enabled","errorCode":"API_DISABLED_FOR_ORG"}]`})
	if n := b.poll(); n != bulkAbove+100 {
		t.Errorf("found %d", n)
	}
	b.equal()
}

// A reading back that Salesforce finds too much is tried with half as many
// records, until it goes through.
func TestReadBackAdapts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	b.clock.move(time.Minute)
	b.insertMany(1600)
	b.tell()
	_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
	b.must(err)
	b.sf.Fault(org.Fault{Path: `/composite/sobjects/Contact`, Verb: org.Reject, Status: 400, Body: `[{"message":"Your query request was running for too long.","errorCode":"QUERY_TIMEOUT"}]`, Times: 2})
	var sizes []int
	for range 10 {
		n, _, err := b.r.Hydrate(t.Context(), b.o)
		if salesforce.ClassOf(err) == salesforce.Permanent {
			t.Fatal(err)
		}
		sizes = append(sizes, n)
	}
	if sizes[2] != 400 || sizes[3] != 800 {
		t.Errorf("read %v, want half as many after each refusal, and then twice as many", sizes)
	}
	b.equal()
}

// A change in the very second in which the record was read bears the stamp of
// its row. The first poll after that second reads the record once more, later
// ones do not.
func TestTwoChangesInASecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("One")
	b.load()
	b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
	b.clock.move(time.Minute)
	if n := b.poll(); n != 0 {
		t.Errorf("found %d, but it looked the same", n)
	}
	b.equal()
	reads := 0
	b.r.sf = hooked{Source: b.r.sf, retrieve: func() { reads++ }}
	b.clock.move(time.Minute)
	if b.poll(); reads != 0 {
		t.Errorf("%d readings back of what is settled", reads)
	}
}

// So does a change that becomes visible only when the record has been read once
// more, as its transaction commits late.
func TestLateChangeInASecond(t *testing.T) {
	t.Parallel()
	for late, by := range map[time.Duration]time.Duration{10 * time.Second: time.Minute, 19 * time.Minute: 90 * time.Minute} {
		t.Run(late.String(), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			id := b.insert("One")
			b.clock.move(3 * time.Second)
			b.load()
			for left := late - 3*time.Second; left > 0; left -= 5 * time.Second {
				b.clock.move(min(left, 5*time.Second))
				b.poll()
			}
			b.stampedBefore(late)
			b.must(b.sf.AsBulk("loader@example.com").Update("Contact", id, map[string]any{"LastName": "Two"}))
			for passed := time.Duration(0); passed < by; passed += 10 * time.Second {
				b.clock.move(10 * time.Second)
				b.poll()
			}
			b.equal()
		})
	}
}

// A request of a poll that fails does not end the others: while requests are kept back, one of
// them may be the only one in ten minutes that finds out whether Salesforce takes them again.
func TestPollEndsNoOtherRequest(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	held := b.sf.Fault(org.Fault{Path: "/query", Verb: org.Hold})
	refused := b.sf.Fault(org.Fault{Path: "/deleted", Verb: org.Reject, Status: 403, Body: `[{"message":"no","errorCode":"REQUEST_LIMIT_EXCEEDED"}]`})
	over := make(chan error, 1)
	go func() {
		_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true, Alone: true})
		over <- err
	}()
	b.must(held.Wait(t.Context(), 1))
	b.must(refused.Wait(t.Context(), 1))
	select {
	case err := <-over:
		t.Fatalf("the poll is over, with a request unanswered: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
	held.Release()
	if err := <-over; salesforce.CodeOf(err) != salesforce.CodeRequestLimit {
		t.Errorf("failed with %v", err)
	}
}
