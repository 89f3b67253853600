package poll

import (
	"testing"
	"time"

	"hcbridge/pgsink"
	"hcbridge/test/org"
)

// Row 41: accounts are merged. The loser's row goes, its children follow the
// winner, and the winner is read.
func TestMerge(t *testing.T) {
	t.Parallel()
	b := setup(t)
	account, loser, child := b.family()
	winner, err := b.sf.AsBulk("loader@example.com").Insert("Account", map[string]any{"Name": "Winner"})
	b.must(err)
	b.load()
	b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
	b.clock.move(time.Minute)
	local := b.value("account", "id", loser)
	b.must(b.sf.AsBulk("loader@example.com").Merge("Account", winner, loser))
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: loser, Reason: "deleted"}}))
	b.hydrate(account)
	if v := b.value("account", "name", loser); v != "" {
		t.Errorf("the loser's row stays: %q", v)
	}
	if v := b.value("contact", "accountid", child); v != winner {
		t.Errorf("the child refers to %s, want the winner %s", v, winner)
	}
	r, _ := b.sf.Get("Account", winner)
	if v, want := b.value("account", "systemmodstamp", winner), r.Stamp.UTC().Format("2006-01-02 15:04:05"); v != want {
		t.Errorf("the winner's row has stamp %s, want %s: it was not read", v, want)
	}
	// The loser can be taken back, though not its children.
	b.clock.move(time.Minute)
	b.must(b.sf.AsBulk("loader@example.com").Undelete("Account", loser))
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Account", SFID: loser, Reason: "poll"}}))
	b.hydrate(account)
	if got := b.value("account", "id", loser); got != local {
		t.Errorf("the loser's row is %q after it came back, was %q", got, local)
	}
}

// A loser that was taken back before anybody heard of the merge: the comparison of
// everything finds that its children have moved.
func TestMergedAndTakenBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, loser, child := b.family()
	people := b.sf.AsBulk("loader@example.com")
	winner, err := people.Insert("Account", map[string]any{"Name": "Winner"})
	b.must(err)
	b.load()
	b.clock.move(time.Minute)
	b.poll() // reads what was loaded in its second
	b.must(people.Merge("Account", winner, loser))
	b.must(people.Undelete("Account", loser))
	b.clock.move(time.Minute)
	b.poll()
	if v := b.value("contact", "accountid", child); v != loser {
		t.Fatalf("the child refers to %s before anything is compared", v)
	}
	if f := b.compare(); f.Full != 1 {
		t.Errorf("the comparison marked %d, want the child", f.Full)
	}
	if v := b.value("contact", "accountid", child); v != winner {
		t.Errorf("the child refers to %s, want the winner %s", v, winner)
	}
}

// Two records that were merged into each other, one after the other, name each
// other: reading them back comes to an end.
func TestMergedIntoEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	one, two := b.insert("One"), b.insert("Two")
	b.load()
	other := b.sf.As(org.DefaultOther)
	b.must(other.Merge("Contact", two, one))
	b.must(other.Undelete("Contact", one))
	b.must(other.Merge("Contact", one, two))
	b.must(other.Delete("Contact", one))
	b.clock.move(time.Minute)
	b.poll() // until no mark is due
	b.equal()
}
