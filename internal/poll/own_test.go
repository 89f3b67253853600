package poll

import (
	"testing"
)

// What this user has made or changed is read back like everything else: the org's
// automation may have made something else of it (fault 61).
func TestOwnRecordsAreReadBack(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	id := b.insert("One")
	record, ok := b.sf.Get("Contact", id)
	if !ok {
		t.Fatal("the record is not there")
	}
	b.o.Me, _ = record.Get(b.sf.Object("Contact"), "CreatedById").(string)
	if !isID(b.o.Me) {
		t.Fatalf("made by %q", b.o.Me)
	}
	b.poll()
	if got := b.value("contact", "lastname", id); got != "One" {
		t.Errorf("the row has %q", got)
	}
	b.equal()
}

// A poll whose marks could not be set has found nothing: the next one looks at the
// same time again (invariant 2 of the bridge).
func TestPollMarkWaitsForItsMarks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.load()
	b.insert("One")
	before, err := b.sink.ReadState(t.Context(), b.o.Name)
	b.must(err)
	_, err = b.pool.Exec(t.Context(), `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '53100'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON hcbridge.mark FOR EACH ROW EXECUTE FUNCTION refuse()`)
	b.must(err)
	b.tell()
	if _, _, err := b.r.Poll(t.Context(), b.o, Pace{Stretch: 1, Deep: true}, Ask{Wanted: true}); err == nil {
		t.Error("a poll that could set no mark succeeded")
	}
	after, err := b.sink.ReadState(t.Context(), b.o.Name)
	b.must(err)
	if !after.PollMark.Equal(before.PollMark) || !after.LateMark.Equal(before.LateMark) {
		t.Errorf("the marks of the past moved from %v to %v", before, after)
	}
	_, err = b.pool.Exec(t.Context(), `DROP TRIGGER refuse ON hcbridge.mark`)
	b.must(err)
	if n := b.poll(); n != 1 {
		t.Errorf("found %d, want 1", n)
	}
	b.equal()
}
