package poll

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"hcbridge/pgsink"
	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// An object of which getDeleted and getUpdated know nothing is polled all the same:
// the window tells of deletes, too.
func TestNotReplicateable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ob := b.sf.Object("Contact").With()
	ob.Replicateable = false
	b.sf.Define(ob)
	b.must(b.drop("contact"))
	b.o = b.object("Contact", "LastName")
	id := b.insert("Deleted")
	b.insertMany(20)
	b.load()
	for range 2 {
		b.clock.move(7 * time.Hour) // all layers are due
		b.insert("New")
		b.clock.move(time.Minute)
		b.poll()
		b.equal()
	}
	b.must(b.sf.AsBulk("loader@example.com").Delete("Contact", id))
	b.clock.move(10 * time.Minute)
	if n := b.poll(); n != 1 || b.rows() != 22 {
		t.Errorf("found %d, %d rows, want the deleted one and 22", n, b.rows())
	}
	if n := b.asked("/deleted/") + b.asked("/updated/"); n != 0 {
		t.Errorf("asked %d times for what the org does not have", n)
	}
	b.equal()
}

// An object without IsDeleted: getDeleted alone tells of deletes. Where that is refused
// the poll finds all else.
func TestWithoutIsDeleted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	ob := b.sf.Object("Contact").With()
	ob.Fields = slices.DeleteFunc(ob.Fields, func(f *sobject.Field) bool { return f.Name == "IsDeleted" })
	b.sf.Define(ob)
	b.must(b.drop("contact"))
	b.o = b.object("Contact", "LastName")
	id := b.insert("Deleted")
	b.insertMany(3)
	b.load()
	b.clock.move(7 * time.Hour) // all layers are due
	b.must(b.sf.AsBulk("loader@example.com").Delete("Contact", id))
	b.clock.move(time.Minute)
	for _, call := range []string{"/deleted", "/updated"} {
		b.sf.Fault(org.Fault{Path: call, Verb: org.Reject, Status: 400, Body: `[{"message":"no","errorCode":"INVALID_TYPE"}]`, Times: 1})
	}
	added := b.insert("New")
	b.ask(Ask{Wanted: true, Alone: true})
	if v := b.value("contact", "lastname", added); v != "New" {
		t.Errorf("the row is %q, found by the poll whose other calls were refused", v)
	}
	b.compare()
	if n := b.rows(); n != 5 {
		t.Errorf("%d rows, want 5: absence is no delete", n)
	}
	b.clock.move(10 * time.Minute)
	b.poll()
	if v := b.value("contact", "lastname", id); v != "" {
		t.Errorf("the deleted record's row stays: %q", v)
	}
	if n := b.rows(); n != 4 {
		t.Errorf("%d rows, want 4", n)
	}
}

// Row 38: a record is deleted for good. While Salesforce remembers that, the row
// goes, even if another mark came over the one that said so; after 15 days it
// looks as if it was hidden, so the row stays and status tells of it.
func TestDeletedForGood(t *testing.T) {
	t.Parallel()
	t.Run("WithinFifteenDays", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.insert("Gone")
		b.load()
		b.clock.move(13 * 24 * time.Hour)
		b.must(b.sf.Purge("Contact", id))
		b.clock.move(10 * time.Minute)
		b.tell()
		_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
		b.must(err)
		b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Contact", SFID: id, Reason: "full"}}))
		b.hydrate()
		if n := b.rows(); n != 0 {
			t.Errorf("%d rows, want none", n)
		}
	})
	t.Run("LongerAgo", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		id := b.insert("Gone")
		b.load()
		b.must(b.sf.Purge("Contact", id))
		b.clock.move(20 * 24 * time.Hour)
		b.poll()
		b.tell()
		if due, err := b.r.FullDue(t.Context(), b.o, Pace{Stretch: 1, Deep: true}); err != nil || !due {
			t.Errorf("after 20 days everything is to be compared: %v, %v", due, err)
		}
		b.compare()
		in, err := b.sink.Invisible(t.Context(), b.o.Table)
		b.must(err)
		if in.Total != 1 || b.rows() != 1 {
			t.Errorf("%+v, %d rows; want the row to stay and to be told of", in, b.rows())
		}
	})
	t.Run("WhenTheLogWasTrimmed", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.load()
		b.clock.move(time.Hour)
		b.sf.Fault(org.Fault{Path: "/deleted", Verb: org.Reject, Status: 400, Body: `[{"message":"startDate before org replication enabled date","errorCode":"INVALID_REPLICATION_DATE"}]`, Times: 1})
		b.tell()
		_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true, Alone: true})
		b.must(err)
		if due, err := b.r.FullDue(t.Context(), b.o, Pace{Stretch: 1, Deep: true}); err != nil || !due {
			t.Errorf("everything is to be compared: %v, %v", due, err)
		}
	})
}

// family is an account with a child that goes with it and one that stays.
func (b *bundle) family() (account Object, a, child string) {
	b.t.Helper()
	account = b.object("Account", "Name", "ParentId")
	b.must(b.drop("contact"))
	b.o = b.object("Contact", "LastName", "AccountId")
	account.Children = []Child{
		{Object: "Contact", Table: b.o.Table, Column: "accountid", Field: "AccountId"},
		{Object: "Account", Table: account.Table, Column: "parentid", Field: "ParentId"},
	}
	other := b.sf.AsBulk("loader@example.com")
	a, err := other.Insert("Account", map[string]any{"Name": "Parent"})
	b.must(err)
	child, err = other.Insert("Contact", map[string]any{"LastName": "Child", "AccountId": a})
	b.must(err)
	return account, a, child
}

// Row 39: a parent's delete takes children along and empties lookups; neither
// needs a stamp or an event. Without looking after the children they stay.
func TestCascade(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account, a, child := b.family()
	branch, err := b.sf.AsBulk("loader@example.com").Insert("Account", map[string]any{"Name": "Branch", "ParentId": a})
	b.must(err)
	b.load()
	b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
	b.clock.move(time.Minute)
	b.must(b.sf.AsBulk("loader@example.com").Delete("Account", a))
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: a, Reason: "deleted"}}))
	b.hydrate(account)
	if v := b.value("contact", "lastname", child); v != "" {
		t.Errorf("the child's row stays: %q", v)
	}
	if v := b.value("account", "parentid", branch); v != "null" {
		t.Errorf("the branch refers to %s, want null", v)
	}
}

// The table of the children is locked for a while: the parent goes all the same, with what
// else is to be read of its object, and they are looked after when the lock has ended.
func TestCascadeToLockedTable(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account, a, child := b.family()
	sf := b.sf.AsBulk("loader@example.com")
	other, err := sf.Insert("Account", map[string]any{"Name": "Other"})
	b.must(err)
	b.load()
	b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
	b.clock.move(time.Minute)
	b.must(sf.Delete("Account", a))
	b.must(sf.Update("Account", other, map[string]any{"Name": "Changed"}))
	app, err := b.pool.Begin(t.Context())
	b.must(err)
	defer func() { _ = app.Rollback(context.Background()) }()
	_, err = app.Exec(t.Context(), "LOCK TABLE salesforce.contact")
	b.must(err)
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: a, Reason: "deleted"}, {Object: "Account", SFID: other, Reason: "test"}}))
	due := func() {
		t.Helper()
		_, err := b.pool.Exec(t.Context(), "UPDATE hcbridge.mark SET due_at = now() - interval '1 second'")
		b.must(err)
	}
	for range 3 { // the last two look after the children alone
		_, _, err := b.r.Hydrate(t.Context(), account)
		b.must(err)
		due()
	}
	if v := b.value("account", "name", a) + b.value("account", "name", other); v != "Changed" {
		t.Errorf("behind the lock: %q, want the one changed and the other gone", v)
	}
	b.must(app.Rollback(t.Context()))
	b.hydrate(account)
	if v := b.value("contact", "lastname", child); v != "" {
		t.Errorf("the child's row stays: %q", v)
	}
}

// So it is where the parent has no row: the app has deleted it, or it never came.
func TestCascadeWithoutRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account, a, child := b.family()
	b.load()
	b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
	_, err := b.pool.Exec(t.Context(), "DELETE FROM salesforce.account WHERE sfid = $1", a)
	b.must(err)
	b.clock.move(time.Hour) // nothing else has it read
	b.must(b.sf.AsBulk("loader@example.com").Delete("Account", a))
	b.clock.move(time.Minute)
	b.tell()
	_, _, err = b.r.Poll(t.Context(), account, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
	b.must(err)
	b.hydrate(account)
	if v := b.value("contact", "lastname", child); v != "" {
		t.Errorf("the child's row stays: %q", v)
	}
}

// A parent that is taken out of the recycle bin gets back the lookups that its deletion
// emptied, but for one that was given another parent meanwhile, whether the deletion
// came to the rows before or not. Nothing but the parent tells of it.
func TestRestored(t *testing.T) {
	t.Parallel()
	for name, late := range map[string]bool{"AfterItsRowWentAway": false, "BeforeItsDeletionWasRead": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			account, a, child := b.family()
			sf := b.sf.AsBulk("loader@example.com")
			var branches []string
			for range 3 {
				id, err := sf.Insert("Account", map[string]any{"Name": "Branch", "ParentId": a})
				b.must(err)
				branches = append(branches, id)
			}
			b.load()
			b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
			b.clock.move(time.Minute)
			b.must(sf.Delete("Account", a))
			gone := []pgsink.Mark{{Object: "Account", SFID: a, Reason: pgsink.ReasonGone}}
			b.must(b.r.mark(t.Context(), gone))
			if !late {
				b.hydrate(account)
				if v := b.value("account", "parentid", branches[0]); v != "null" {
					t.Errorf("the branch refers to %s, want null", v)
				}
			}
			b.clock.move(time.Minute)
			b.must(sf.Update("Account", branches[2], map[string]any{"ParentId": branches[1]}))
			b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: branches[2], Reason: "changed"}}))
			b.must(sf.Undelete("Account", a))
			b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: a, Reason: "undeleted"}, {Object: "Contact", SFID: child, Reason: "undeleted"}}))
			b.hydrate(account)
			for n, want := range []string{a, a, branches[1]} {
				if v := b.value("account", "parentid", branches[n]); v != want {
					t.Errorf("branch %d refers to %s, want %s", n, v, want)
				}
			}
			b.equal()
			diff, err := compare.Sides(t.Context(), b.pool, "salesforce", b.sf, "Account")
			b.must(err)
			if len(diff) > 0 {
				t.Errorf("not equal: %s", diff)
			}
		})
	}
}

// Of a record that the bridge itself deleted nothing is read, but its children are
// looked after. Where anything else is known of it, it is read all the same: somebody
// may have brought it back.
func TestRemoved(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account, a, child := b.family()
	b.load()
	b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
	b.clock.move(time.Minute)
	b.must(b.sf.AsBulk("loader@example.com").Delete("Account", a))
	_, err := b.pool.Exec(t.Context(), "DELETE FROM salesforce.account WHERE sfid = $1", a)
	b.must(err)
	removed := []pgsink.Mark{{Object: "Account", SFID: a, Reason: pgsink.ReasonRemoved}}
	hydrate := func(wantCalls int) {
		t.Helper()
		before := b.sf.Calls()
		n, _, err := b.r.Hydrate(t.Context(), account)
		b.must(err)
		calls := 0
		for kind, all := range b.sf.Calls() {
			calls += all - before[kind]
		}
		if n != 1 || calls != wantCalls {
			t.Errorf("%d marks taken up by %d calls, want 1 by %d", n, calls, wantCalls)
		}
	}
	b.must(b.r.mark(t.Context(), removed))
	hydrate(0)
	if left := b.marks(); left != 1 {
		t.Errorf("%d marks are left, want the child's", left)
	}
	b.hydrate(account)
	if v := b.value("contact", "lastname", child); v != "" {
		t.Errorf("the child's row stays: %q", v)
	}

	b.must(b.sf.AsBulk("loader@example.com").Undelete("Account", a))
	back := []pgsink.Mark{{Object: "Account", SFID: a, Reason: "undeleted"}}
	for _, order := range [][][]pgsink.Mark{{removed, back}, {back, removed}} {
		for _, marks := range order {
			b.must(b.r.mark(t.Context(), marks))
		}
		hydrate(2) // and who refers to it, in one call
		if v := b.value("account", "name", a); v != "Parent" {
			t.Errorf("the row that came back is %q", v)
		}
		_, err := b.pool.Exec(t.Context(), "DELETE FROM salesforce.account WHERE sfid = $1", a)
		b.must(err)
	}
}

// A record comes back, and its children with it (fault 40): one row each, with
// the values of now and the local id of before, however the polls fall between
// delete and undelete.
func TestUndelete(t *testing.T) {
	t.Parallel()
	for _, seen := range []bool{true, false} {
		t.Run(fmt.Sprintf("DeleteSeen=%t", seen), func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			account, a, child := b.family()
			b.load()
			b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
			other := b.sf.AsBulk("loader@example.com")
			wantParent, wantChild := b.value("account", "id", a), b.value("contact", "id", child)
			for round := range 2 { // what came back can go again
				look := func() {
					b.clock.move(time.Minute)
					b.tell()
					for _, o := range []Object{account, b.o} {
						_, _, err := b.r.Poll(t.Context(), o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
						b.must(err)
					}
					b.hydrate(account)
				}
				b.clock.move(time.Minute)
				b.must(other.Delete("Account", a))
				if seen {
					look()
					if p, c := b.value("account", "sfid", a), b.value("contact", "sfid", child); p != "" || c != "" {
						t.Errorf("round %d: after the delete there are rows %q and %q", round, p, c)
					}
				}
				b.must(other.Undelete("Account", a))
				name := fmt.Sprintf("Back %d", round)
				b.must(other.Update("Account", a, map[string]any{"Name": name}))
				look()
				if got := b.value("account", "name", a); got != name {
					t.Errorf("round %d: the row's name is %q, want %q", round, got, name)
				}
				if got := b.value("contact", "sfid", child); got != child {
					t.Errorf("round %d: the child has not come back", round)
				}
				if p, c := b.value("account", "id", a), b.value("contact", "id", child); p != wantParent || c != wantChild {
					t.Errorf("round %d: the local ids are %s and %s, were %s and %s", round, p, c, wantParent, wantChild)
				}
				b.equal()
			}
			var left int
			b.must(b.pool.QueryRow(t.Context(), "SELECT count(*) FROM hcbridge.mark").Scan(&left))
			if left != 0 {
				t.Errorf("%d marks are left", left)
			}
		})
	}
}

// An event can be older than the load and its record deleted for good before
// it, so that nothing would ever tell of that.
func TestPurgedBeforeTheLoad(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("Gone")
	b.must(b.sf.AsBulk("loader@example.com").Purge("Contact", id))
	b.clock.move(time.Hour)
	b.load()
	row, err := b.o.Table.Decode(fmt.Appendf(nil, `{"Id":%q,"SystemModstamp":%q,"IsDeleted":false,"FirstName":null,"LastName":"Gone","Title":null,"Email":null,"External_Id__c":null}`,
		id, b.clock.Now().Add(-time.Hour).Format("2006-01-02T15:04:05.000Z")))
	b.must(err)
	apply := func() {
		_, err := b.sink.Apply(t.Context(), pgsink.Batch{Changes: []pgsink.Change{{Table: b.o.Table, Kind: pgsink.Event, Row: row}}})
		b.must(err)
	}
	apply()
	b.poll()
	b.equal()
	apply()
	b.hydrate()
	b.equal()
}
