package poll

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
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

// An event that comes while its record is read may be of after the reading, and of the
// same second: then the reading is not written over it, but repeated.
func TestReadBackOvertakenInASecond(t *testing.T) {
	t.Parallel()
	b := setup(t)
	id := b.insert("one")
	b.load()
	b.clock.move(time.Minute)
	change := func(name string) {
		b.must(b.sf.As(org.DefaultOther).Update("Contact", id, map[string]any{"LastName": name}))
	}
	change("two")
	_, err := b.sink.Apply(t.Context(), pgsink.Batch{Marks: []pgsink.Mark{{Object: "Contact", SFID: id, Reason: "test"}}})
	b.must(err)
	readings := 0
	b.r.sf = hooked{Source: b.client, answered: func() {
		if readings++; readings > 1 {
			return
		}
		change("three")
		records, err := b.client.Retrieve(t.Context(), "Contact", []string{id}, b.o.Fields)
		b.must(err)
		event, err := rows(b.o, records, pgsink.Event)
		b.must(err)
		_, err = b.sink.Apply(t.Context(), pgsink.Batch{Changes: event})
		b.must(err)
	}}
	_, _, err = b.r.Hydrate(t.Context(), b.o)
	b.must(err)
	if name, marks := b.value("contact", "lastname", id), b.marks(); name != "three" || marks != 1 {
		t.Errorf("the row shows %q, and %d marks are left; want three and one", name, marks)
	}
	b.hydrate()
	if readings != 2 || b.marks() != 0 {
		t.Errorf("%d readings, %d marks left; want two and none", readings, b.marks())
	}
	b.equal()
}

// A call without an answer keeps the other objects from being read back for no longer
// than half a minute, and fewer records are asked for after it. A login is not hurried:
// it is for all.
func TestReadBackHeld(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	if b.r.readMost != 30*time.Second {
		t.Errorf("a call may take %s", b.r.readMost)
	}
	b.r.readMost = 50 * time.Millisecond
	b.sf.RevokeTokens()
	slow := b.sf.Fault(org.Fault{Path: "/oauth2/token", Verb: org.Slow, Delay: 500 * time.Millisecond})
	held := b.sf.Fault(org.Fault{Path: "/composite", Verb: org.Hold, After: 1})
	defer held.Remove()
	for _, n := range []int{1, 5} {
		parts := make([]reading, n)
		for i := range parts {
			parts[i].marks = []pgsink.Mark{{Object: "Contact", SFID: "003000000000001AAA"}}
		}
		b.r.fetchAll(t.Context(), b.o, parts)
		if err := parts[n-1].err; !narrows(err) || !strings.Contains(err.Error(), "no answer in 50ms") {
			t.Errorf("%d parts: %v", n, err)
		}
	}
	if slow.Hits() == 0 || held.Hits() == 0 {
		t.Errorf("%d logins, %d readings", slow.Hits(), held.Hits())
	}
}

// What one answer holds is bounded.
func TestReadBackOfLargeRecords(t *testing.T) {
	t.Parallel()
	var b batches
	for _, step := range []struct{ bytes, want int }{{0, 2000}, {300, 10_000}, {4096, 3072}, {100_000, 125}, {0, 125}, {20 << 20, 1}, {1200, 10_000}} {
		b.learn("Account", b.size("Account"), step.bytes, nil)
		if got := b.size("Account"); got != step.want {
			t.Errorf("%d after records of %d bytes, want %d", got, step.bytes, step.want)
		}
	}
}

// One record that cannot be read, or answers that are too large, keep no other record
// unread: it is asked for alone in the end, put off, and told of.
func TestReadBackPinsDown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		failure error
		most    int // ids that are answered at a time, if that is what fails
	}{
		"InternalError": {failure: &salesforce.Error{Op: "retrieve Contact", Status: 500, Code: "UNKNOWN_EXCEPTION", Class: salesforce.Transient}},
		"Refusal":       {failure: &salesforce.Error{Op: "retrieve Contact", Status: 400, Code: "INVALID_QUERY_FILTER_OPERATOR", Class: salesforce.Permanent}},
		"NoRecord":      {failure: &pgsink.RecordError{Object: "Contact", Reason: "no Id"}},
		"TooBig":        {failure: &salesforce.Error{Op: "retrieve Contact", Status: 200, Code: salesforce.CodeTooBig, Class: salesforce.Permanent}, most: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.load()
			b.clock.move(time.Minute)
			b.insertMany(300)
			b.tell()
			_, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true})
			b.must(err)
			victim, asked := b.marked(), []int(nil)
			fails := func(ids []string) error {
				asked = append(asked, len(ids))
				if c.most > 0 && len(ids) > c.most || c.most == 0 && slices.Contains(ids, victim) {
					return c.failure
				}
				return nil
			}
			b.r.sf = hooked{Source: b.client, refuse: fails}
			unread := 1 - min(c.most, 1)
			var last error
			for try := 0; try < 60 && b.rows() < 300-unread; try++ {
				if _, _, err := b.r.Hydrate(t.Context(), b.o); err != nil {
					last = err
				}
			}
			if b.rows() != 300-unread || b.marks() != unread || !errors.Is(last, c.failure) {
				t.Fatalf("%d rows, %d marks after requests of %v; %v", b.rows(), b.marks(), asked, last)
			}
			if unread == 0 {
				return
			}
			if !strings.Contains(last.Error(), victim) {
				t.Errorf("%q does not say which record it is", last)
			}
			if n, _, err := b.r.Hydrate(t.Context(), b.o); n != 0 || err != nil {
				t.Errorf("%d, %v before its time has come", n, err)
			}

			// Its time comes together with others.
			again := func(want string) {
				t.Helper()
				_, err := b.pool.Exec(t.Context(), "UPDATE hcbridge.mark SET due_at = now() - interval '1 hour'")
				b.must(err)
				_, err = b.pool.Exec(t.Context(), "INSERT INTO hcbridge.mark (schema, object, sfid, reason) SELECT 'salesforce', 'Contact', sfid, 'test' FROM salesforce.contact ORDER BY sfid DESC LIMIT 100")
				b.must(err)
				delete(b.r.batch.most, "Contact")
				asked = nil
				n, _, err := b.r.Hydrate(t.Context(), b.o)
				if got := fmt.Sprint(n, asked, err != nil); got != want {
					t.Errorf("read, asked for, failed: %s, want %s", got, want)
				}
			}
			again("100 [100 1] true")
			b.r.sf = hooked{Source: b.client, refuse: func(ids []string) error { asked = append(asked, len(ids)); return nil }}
			again("101 [100 1] false")
			b.equal()
		})
	}
}

// What is the fault of none of the records asked for halves nothing.
func TestReadBackNarrows(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&salesforce.Error{Status: 200, Code: salesforce.CodeTooBig, Class: salesforce.Permanent}, true},
		{&salesforce.Error{Status: 500, Code: "UNKNOWN_EXCEPTION", Class: salesforce.Transient}, true},
		{&salesforce.Error{Status: 400, Code: "QUERY_TIMEOUT", Class: salesforce.Transient}, true},
		{&salesforce.Error{Status: 400, Code: "MALFORMED_QUERY", Class: salesforce.Permanent}, true},
		{&salesforce.Error{Status: 400, Code: salesforce.CodeInvalidField, Class: salesforce.Permanent}, false},
		{&salesforce.Error{Status: 400, Code: salesforce.CodeInvalidType, Class: salesforce.Permanent}, false},
		{&salesforce.Error{Status: 404, Code: salesforce.CodeNotFound, Class: salesforce.Permanent}, false},
		{&salesforce.Error{Status: 403, Code: "API_DISABLED_FOR_ORG", Class: salesforce.Permanent}, false},
		{&salesforce.Error{Status: 403, Code: salesforce.CodeRequestLimit, Class: salesforce.Limit}, false},
		{&salesforce.Error{Status: 401, Code: salesforce.CodeInvalidSession, Class: salesforce.Auth}, false},
		{&salesforce.Error{Status: 503, Code: "SERVER_UNAVAILABLE", Class: salesforce.Transient}, false},
		{&salesforce.Error{Class: salesforce.Permanent, Err: errors.New("another instance")}, false},
		{&salesforce.Error{Class: salesforce.Transient, Err: io.ErrUnexpectedEOF}, false},
		{errors.New("no database"), false},
	} {
		var b batches
		b.learn("Account", 2000, 0, fmt.Errorf("read back: %w", c.err))
		if got := b.size("Account") == 1000; got != c.want || !got && b.size("Account") != 2000 {
			t.Errorf("%v: %d at a time", c.err, b.size("Account"))
		}
	}
}

// A row that an app refers to in an open transaction stays until that ends; the others
// that are read back with it do not wait.
func TestHydrateLeavesOutWhatAnAppRefersTo(t *testing.T) {
	t.Parallel()
	b := setup(t)
	held, other, changed := b.insert("Held"), b.insert("Other"), b.insert("Changed")
	b.load()
	_, err := b.pool.Exec(t.Context(), "CREATE TABLE orders (contact_id int REFERENCES salesforce.contact (id))")
	b.must(err)
	app, err := b.pool.Begin(t.Context())
	b.must(err)
	_, err = app.Exec(t.Context(), "INSERT INTO orders SELECT id FROM salesforce.contact WHERE sfid = $1", held)
	b.must(err)
	b.clock.move(time.Minute)
	sf := b.sf.AsBulk("loader@example.com")
	b.must(sf.Delete("Contact", held))
	b.must(sf.Delete("Contact", other))
	b.must(sf.Update("Contact", changed, map[string]any{"LastName": "New"}))
	b.clock.move(time.Minute)
	b.poll()
	if n, v := b.rows(), b.value("contact", "lastname", changed); n != 2 || v != "New" {
		t.Errorf("%d rows, and the one that changed says %s", n, v)
	}
	if m := b.marked(); m != held {
		t.Errorf("%s is marked, want the one that stays", m)
	}
	b.must(app.Rollback(t.Context()))
	_, err = b.pool.Exec(t.Context(), "UPDATE hcbridge.mark SET due_at = now()")
	b.must(err)
	b.hydrate()
	if n := b.rows(); n != 1 || b.marks() != 0 {
		t.Errorf("%d rows and %d marks at last", n, b.marks())
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
