package poll

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
)

// Row 50: an org that answers ids of 15 characters is read as any other. Taking them as
// they are finds no row of theirs: everything differs, and what is deleted stays.
func TestShortIDs(t *testing.T) {
	t.Parallel()
	people := "loader@example.com"

	t.Run("ChangesAndDeletes", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.ShortIDs(true)
		stays, binned, purged := b.insert("Stays"), b.insert("Binned"), b.insert("Purged")
		b.load()
		b.clock.move(time.Minute)
		if n := b.poll(); n != 0 {
			t.Errorf("found %d when nothing had changed", n)
		}
		b.clock.move(10 * time.Minute)
		b.must(b.sf.AsBulk(people).Update("Contact", stays, map[string]any{"LastName": "Changed"}))
		b.must(b.sf.AsBulk(people).Delete("Contact", binned))
		b.must(b.sf.AsBulk(people).Delete("Contact", purged))
		b.must(b.sf.Purge("Contact", purged))
		fresh := b.insert("Fresh")
		b.clock.move(time.Minute)
		found := b.ask(Ask{Wanted: true})
		if found.Fast != 3 || found.Deletes != 2 {
			t.Errorf("found %+v, want a change, a new record and two deletes, one of which two calls show", found)
		}
		for id, want := range map[string]string{stays: "Changed", fresh: "Fresh", binned: "", purged: ""} {
			if got := b.value("contact", "lastname", id); got != want {
				t.Errorf("the row of %s shows %q, want %q", id, got, want)
			}
		}
		b.equal()
		b.clock.move(7 * time.Hour) // getUpdated is asked, too
		if n := b.poll(); n != 0 {
			t.Errorf("found %d when nothing had changed", n)
		}
		b.equal()
	})

	t.Run("AMerge", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.sf.ShortIDs(true)
		account, loser, child := b.family()
		winner, err := b.sf.AsBulk(people).Insert("Account", map[string]any{"Name": "Winner"})
		b.must(err)
		b.load()
		b.must(b.r.Load(t.Context(), account, func(int64, int64) {}))
		b.clock.move(time.Minute)
		b.must(b.sf.AsBulk(people).Merge("Account", winner, loser))
		b.tell()
		_, _, err = b.r.Poll(t.Context(), account, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
		b.must(err)
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
	})

	t.Run("ByBulkAPI", func(t *testing.T) {
		t.Parallel()
		var got []string
		err := eachStamp(strings.NewReader("\"Id\",\"SystemModstamp\",\"IsDeleted\"\n\"003D000000QOMqF\",\"2026-01-02T03:04:05.000Z\",\"true\"\n"), func(seen []stamp) error {
			for _, s := range seen {
				got = append(got, fmt.Sprint(s.ID, s.IsDeleted))
			}
			return nil
		})
		if want := salesforce.ID18("003D000000QOMqF") + "true"; err != nil || len(got) != 1 || got[0] != want {
			t.Errorf("got %q, %v; want %s", got, err, want)
		}
	})

	t.Run("OfTheUser", func(t *testing.T) {
		t.Parallel()
		me := salesforce.ID18("005D0000001QOMq")
		if foreign([]byte(`{"CreatedById":"005D0000001QOMq"}`), me) || !foreign([]byte(`{"CreatedById":"005D0000001QOMr"}`), me) {
			t.Error("who made a record is not told by an id of 15 characters")
		}
	})
}
