package poll

import (
	"errors"
	"slices"
	"testing"
	"time"

	"hcbridge/test/org"
)

// Many marked records are read back by few calls, however many requests it takes,
// and what fails of a call spoils nothing else of it.
func TestReadBackPacks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	b.clock.move(time.Minute)
	b.insertMany(6_500)
	b.tell()
	_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
	b.must(err)
	calls := func() int { c := b.sf.Calls(); return c["composite"] + c["collections_retrieve"] }
	step := func(name string, want, wantCalls int) {
		t.Helper()
		before := calls()
		n, _, err := b.r.Hydrate(t.Context(), b.o)
		if n != want || err != nil || calls()-before != wantCalls {
			t.Errorf("%s: %d records by %d calls, %v; want %d by %d", name, n, calls()-before, err, want, wantCalls)
		}
	}
	step("while it is not known how large they are", 2000, 1)

	victim := b.marked()
	b.r.sf = hooked{Source: b.client, refuse: func(ids []string) error {
		if slices.Contains(ids, victim) {
			return errors.New("no")
		}
		return nil
	}}
	if n, _, err := b.r.Hydrate(t.Context(), b.o); n != 2500 || err == nil {
		t.Errorf("%d records, %v; want those of the other requests", n, err)
	}
	if left := b.marks(); left != 2000 {
		t.Errorf("%d marks are left, want those of the request that failed", left)
	}
	b.r.sf = b.client
	step("what was left", 2000, 1)
	step("nothing", 0, 0)
	b.equal()

	_, err = b.pool.Exec(t.Context(), "INSERT INTO hcbridge.mark (schema, object, sfid, reason) SELECT 'salesforce', 'Contact', sfid, 'test' FROM salesforce.contact")
	b.must(err)
	// The call as a whole fails now.
	b.sf.Fault(org.Fault{Path: `/composite$`, Verb: org.Reject, Times: 1})
	if n, _, err := b.r.Hydrate(t.Context(), b.o); n != 0 || err == nil {
		t.Errorf("%d records, %v, of a call that failed", n, err)
	}
	step("half as many after that", 2000, 1)
	step("twice as many after this", 4000, 1)
	b.hydrate()
	b.equal()
}

// What one answer holds is bounded.
func TestReadBackOfLargeRecords(t *testing.T) {
	t.Parallel()
	var b batches
	for _, step := range []struct{ bytes, want int }{{0, 2000}, {300, 10_000}, {4096, 3072}, {100_000, 2000}, {0, 2000}, {1200, 10_000}} {
		b.learn("Account", b.size("Account"), step.bytes, nil)
		if got := b.size("Account"); got != step.want {
			t.Errorf("%d after records of %d bytes, want %d", got, step.bytes, step.want)
		}
	}
}

func (b *bundle) marked() (sfid string) {
	b.t.Helper()
	b.must(b.pool.QueryRow(b.t.Context(), "SELECT sfid FROM hcbridge.mark ORDER BY due_at, sfid LIMIT 1").Scan(&sfid))
	return sfid
}

func (b *bundle) marks() (n int) {
	b.t.Helper()
	b.must(b.pool.QueryRow(b.t.Context(), "SELECT count(*) FROM hcbridge.mark").Scan(&n))
	return n
}
