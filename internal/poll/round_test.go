package poll

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/test/org"
)

// five maps five objects of the org and loads them.
func (b *bundle) five() []Object {
	b.t.Helper()
	objects := []Object{b.o}
	for _, name := range []string{"Account", "Lead", "Opportunity", "Case"} {
		o := b.object(name)
		b.must(b.r.Load(b.t.Context(), o, func(int64, int64) {}))
		objects = append(objects, o)
	}
	b.load()
	return objects
}

// round polls all objects at once, each in a goroutine as the bridge does, and
// counts them if that is due. It returns how long until the next is due.
func (b *bundle) round(objects []Object, ask Ask, count bool) time.Duration {
	b.t.Helper()
	waits := make([]time.Duration, len(objects))
	var wg sync.WaitGroup
	for i, o := range objects {
		wg.Go(func() {
			_, wait, err := b.r.Poll(b.t.Context(), o, Pace{Stretch: 1, Deep: true}, ask)
			if err != nil {
				b.t.Error(err)
			}
			waits[i] = wait
		})
		if count {
			wg.Go(func() {
				if _, err := b.client.Count(salesforce.Together(b.t.Context()), "SELECT COUNT() FROM "+o.Name); err != nil {
					b.t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	for _, w := range waits[1:] {
		if w.Truncate(time.Second) != waits[0].Truncate(time.Second) {
			b.t.Errorf("the next polls are due in %v, want all at once", waits)
			break
		}
	}
	return waits[0]
}

// An idle hour of five objects, polled every ten minutes and counted hourly,
// costs about seven calls. One poll each would be 60, and 90 with the counts.
func TestCallsOfAnIdleHour(t *testing.T) {
	t.Parallel()
	b := setup(t)
	objects := b.five()
	b.clock.move(time.Hour - time.Duration(b.clock.Now().Unix()%3600)*time.Second)
	b.tell()
	b.round(objects, Ask{Wanted: true}, true)
	hour := func() int {
		before, _ := b.sf.Usage()
		told := 0
		for end := b.clock.Now().Add(time.Hour); b.clock.Now().Before(end); {
			b.clock.move(10 * time.Minute)
			b.tell()
			told++
			b.round(objects, Ask{}, !b.clock.Now().Before(end))
		}
		after, _ := b.sf.Usage()
		return after - before - told
	}
	var calls []int
	for range 3 {
		calls = append(calls, hour())
	}
	t.Logf("API calls per idle hour of five objects: %v", calls)
	for _, n := range calls {
		if n < 6 || n > 12 { // 7 to 8, and a few more if a round is torn apart on a busy machine
			t.Errorf("%d calls in an hour, want about 7", n)
		}
	}
}

// Row 52 of the list of faults: after an outage every object has everything to
// ask. That is one read each, not one for each missed poll.
func TestAfterAnOutage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	objects := b.five()
	b.clock.move(5 * 24 * time.Hour)
	id := b.insert("Made during the outage")
	b.tell()
	before, _ := b.sf.Usage()
	b.round(objects, Ask{Wanted: true}, true)
	after, _ := b.sf.Usage()
	if n := after - before; n > 6 {
		t.Errorf("%d calls, want 2 or a few more", n)
	}
	b.hydrate()
	if v := b.value("contact", "lastname", id); v == "" {
		t.Error("the record is not found")
	}
}

// A record's parent gets another external id: neither its stamp nor an event
// tells. The column is right after the load, after reading back and after a
// sweep.
func TestParentColumns(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.must(b.drop("contact"))
	b.o = b.object("Contact", "LastName", "AccountId", "Account.External_Id__c")
	other := b.sf.AsBulk("loader@example.com")
	parent, err := other.Insert("Account", map[string]any{"Name": "Parent", "External_Id__c": "p-1"})
	b.must(err)
	child := func() string {
		id, err := other.Insert("Contact", map[string]any{"LastName": "Child", "AccountId": parent})
		b.must(err)
		return id
	}
	loaded := child()
	b.insert("Without a parent")
	b.load()
	b.clock.move(time.Minute)
	polled := child()
	b.clock.move(2 * time.Second)
	b.poll()
	column := "account_external_id__c"
	for _, c := range b.o.Table.Columns {
		if c.Field == "Account.External_Id__c" {
			column = c.Name
		}
	}
	check := func(want string) {
		t.Helper()
		for _, id := range []string{loaded, polled} {
			if v := b.value("contact", column, id); v != want {
				t.Errorf("%s has parent %q, want %q", id, v, want)
			}
		}
	}
	check("p-1")
	b.clock.move(90 * time.Minute)
	b.poll() // what could have changed and committed late has been read once more
	b.must(other.Update("Account", parent, map[string]any{"External_Id__c": "p-2"}))
	b.poll()
	check("p-1") // nobody can know
	if f := b.compare(); f.Full != 2 {
		t.Errorf("the sweep marked %d, want 2", f.Full)
	}
	check("p-2")
	if d := b.verify(b.o); len(d) != 0 {
		t.Errorf("verify reports %+v", d)
	}
}

func TestVerify(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insertMany(bulkAbove + 500) // read by Bulk API
	changed, gone := b.insert("Changed"), b.insert("Deleted here")
	b.load()
	if d := b.verify(b.o); len(d) != 0 {
		t.Fatalf("both sides are equal, but verify reports %+v", d)
	}
	exec := func(sql string, args ...any) {
		t.Helper()
		_, err := b.pool.Exec(t.Context(), sql, args...)
		b.must(err)
	}
	exec("UPDATE salesforce.contact SET title = 'Other', email = NULL WHERE sfid = $1", changed)
	exec("DELETE FROM salesforce.contact WHERE sfid = $1", gone)
	exec("INSERT INTO salesforce.contact (sfid, lastname) VALUES ('003000000000001AAA', 'Nowhere')")
	exec("INSERT INTO salesforce.contact (lastname) VALUES ('Never sent')")
	kinds := map[pgsink.DiffKind]pgsink.Difference{}
	for _, d := range b.verify(b.o) {
		if _, twice := kinds[d.Kind]; twice {
			t.Errorf("%s is reported twice: %+v", d.Kind, d)
		}
		kinds[d.Kind] = d
	}
	if len(kinds) != 4 || kinds[pgsink.DiffNoRow].SFID != gone || kinds[pgsink.DiffNoRecord].SFID != "003000000000001AAA" || kinds[pgsink.DiffUnsent].RowID == 0 {
		t.Errorf("verify reports %+v", kinds)
	}
	if d := kinds[pgsink.DiffValues]; d.SFID != changed || len(d.Fields) != 1 || d.Fields[0].Field != "Title" || *d.Fields[0].Postgres != "Other" || d.Fields[0].Salesforce != nil {
		t.Errorf("the changed row is reported as %+v", d)
	}
	var left int
	b.must(b.pool.QueryRow(t.Context(), "SELECT count(*) FROM hcbridge.seen").Scan(&left))
	if left != 0 {
		t.Errorf("%d ids are left over", left)
	}

	// What is on its way is no difference.
	b.must(b.r.mark(t.Context(), []pgsink.Mark{{Object: "Contact", SFID: changed, Reason: "poll"}, {Object: "Contact", SFID: gone, Reason: "poll"}}))
	exec("DELETE FROM salesforce.contact WHERE sfid = '003000000000001AAA' OR sfid IS NULL")
	looks := 0
	b.r.sf = hooked{Source: b.r.sf, retrieve: func() {
		if looks++; looks == 3 { // the hydrator comes late
			b.hydrate()
		}
	}}
	if d := b.verify(b.o); len(d) != 0 {
		t.Errorf("verify reports %+v", d)
	}
	if looks < 3 {
		t.Errorf("looked %d times, want until the marks are gone", looks)
	}
}

// Whoever wants everything compared, such as a reload that ends, is not served by a
// comparison that began before. One that fails leaves it due.
func TestFullWantedAnew(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insertMany(3)
	b.load()
	want := func() {
		_, err := b.pool.Exec(t.Context(), "UPDATE hcbridge.object SET full_wanted = true")
		b.must(err)
	}
	due := func(want bool, when string) {
		t.Helper()
		if got, err := b.r.FullDue(t.Context(), b.o, Pace{Stretch: 1, Deep: true}); err != nil || got != want {
			t.Errorf("%s: due %t, %v, want %t", when, got, err, want)
		}
	}
	due(false, "after the load")
	want()
	due(true, "when it is wanted")
	b.sf.Fault(org.Fault{Path: "/query", Verb: org.Reject, Status: 400, Body: `[{"message":"no","errorCode":"INVALID_FIELD"}]`, Times: 1})
	if _, err := b.r.Full(t.Context(), b.o, func(int64, int64) {}); err == nil {
		t.Fatal("the comparison did not fail")
	}
	due(true, "after one that failed")
	_, err := b.r.Full(t.Context(), b.o, func(read, _ int64) {
		if read > 0 {
			want()
		}
	})
	b.must(err)
	due(true, "when it is wanted during one")
	b.compare()
	due(false, "after another")
}

// A value that somebody changes in a row behind our back is put right, although no stamp
// tells of it, by as many calls as a comparison of stamps takes.
func TestFullRepairsValues(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insertMany(3)
	b.load()
	var id string
	b.must(b.pool.QueryRow(t.Context(), "SELECT max(sfid) FROM salesforce.contact").Scan(&id))
	calls := func() int {
		before, _ := b.sf.Usage()
		_, err := b.r.Full(t.Context(), b.o, func(int64, int64) {})
		b.must(err)
		after, _ := b.sf.Usage()
		return after - before
	}
	if n := calls(); n != 2 { // the count, and one page
		t.Errorf("%d calls", n)
	}
	right := b.value("contact", "lastname", id)
	_, err := b.pool.Exec(t.Context(), "UPDATE salesforce.contact SET lastname = 'wrong', title = 'wrong' WHERE sfid = $1", id)
	b.must(err)
	if found := b.compare(); found.Full != 1 {
		t.Errorf("%d differences, want 1", found.Full)
	}
	if got := b.value("contact", "lastname", id); got != right {
		t.Errorf("the last name is %s, want %s", got, right)
	}
	if found := b.compare(); found.Full != 0 {
		t.Errorf("%d differences afterwards", found.Full)
	}
}

// Of an object that is too wide for a page only what moves without a stamp is compared.
func TestFullOfWideObjects(t *testing.T) {
	t.Parallel()
	var wide, many []pgsink.Field
	var names []string
	for i := range 3 {
		wide = append(wide, pgsink.Field{Name: fmt.Sprintf("Long_%d__c", i), Type: "textarea", Length: 131_072})
	}
	for i := range 700 {
		many = append(many, pgsink.Field{Name: fmt.Sprintf("A_field_of_many_%d__c", i), Type: "double"})
	}
	for name, c := range map[string]struct {
		fields []pgsink.Field
		want   bool
	}{"Long": {wide, false}, "NotSoLong": {wide[:2], true}, "Many": {many, false}, "NotSoMany": {many[:400], true}} {
		table, err := pgsink.NewTable(pgsink.Spec{Schema: "salesforce", Object: "Wide__c", Fields: append(slices.Clone(c.fields), pgsink.Field{Name: "SystemModstamp", Type: "datetime"})})
		if err != nil {
			t.Fatal(err)
		}
		names = nil
		for _, f := range c.fields {
			names = append(names, f.Name)
		}
		o := Object{Name: "Wide__c", Table: table, Fields: names, Moving: []string{"Moving__c"}, Lookups: []string{"Lookup__c"}}
		if got := o.compared(); slices.Equal(got, names) != c.want || !c.want && !slices.Equal(got, []string{"Id", "SystemModstamp", "Moving__c", "Lookup__c"}) {
			t.Errorf("%s: %d fields are compared", name, len(got))
		}
	}
}
