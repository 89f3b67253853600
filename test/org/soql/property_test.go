package soql

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"hcbridge/test/org/sobject"
)

// model is an invoice as plain Go values.
type model struct {
	id     string
	name   string
	key    string  // External_Id__c; "" null
	status string  // "" null
	amount float64 // quarters, so exact; negative is null
	paid   bool
	stamp  time.Time
	gone   bool
}

// condition is a WHERE clause with its meaning.
type condition struct {
	text  string
	holds func(model) bool
}

var t0 = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)

// population creates invoices on a few stamps only, so that ties abound.
func population(t *rapid.T) (sobject.Store, []model) {
	now := t0
	org := sobject.NewOrg(sobject.NewMemory(), func() time.Time { return now })
	var all []model
	for i := range rapid.IntRange(1, 40).Draw(t, "records") {
		m := model{
			name:   rapid.SampledFrom([]string{"alpha", "Alpha", "beta", "100%", "a_c"}).Draw(t, "name"),
			status: rapid.SampledFrom([]string{"", "Draft", "Open"}).Draw(t, "status"),
			amount: float64(rapid.IntRange(-12, 40).Draw(t, "amount")) / 4,
			paid:   rapid.Bool().Draw(t, "paid"),
		}
		if m.amount < 0 {
			m.amount = -1 // all nulls are alike
		}
		if rapid.Bool().Draw(t, "keyed") {
			m.key = "K" + strconv.Itoa(i)
		}
		f := map[string]any{"Name": m.name, "Status__c": m.status, "External_Id__c": m.key, "Paid__c": m.paid}
		if m.amount >= 0 {
			f["Amount__c"] = m.amount
		}
		r := org.Commit(sobject.Origin{}, true, []sobject.Op{{Kind: sobject.Insert, Object: "Invoice__c", Fields: f}})[0]
		if r.Err != nil {
			t.Fatal(r.Err)
		}
		m.id, m.stamp = r.ID, now
		all = append(all, m)
		if rapid.IntRange(0, 3).Draw(t, "tick") == 0 {
			now = now.Add(time.Second)
		}
	}
	// Some records are changed or deleted later, which moves their stamp.
	for i := range all {
		op := sobject.Op{ID: all[i].id, Object: "Invoice__c"}
		switch rapid.IntRange(0, 5).Draw(t, "fate") {
		case 0:
			op.Kind, all[i].gone = sobject.Delete, true
		case 1:
			op.Kind, op.Fields = sobject.Update, map[string]any{"External_Id__c": nil}
			all[i].key = ""
		default:
			continue
		}
		if r := org.Commit(sobject.Origin{}, true, []sobject.Op{op})[0]; r.Err != nil {
			t.Fatal(r.Err)
		}
		all[i].stamp = now
	}
	return org.Store(), all
}

func compareOp(t *rapid.T) (string, func(int) bool) {
	op := rapid.SampledFrom([]string{"=", "!=", "<", "<=", ">", ">=", "<>"}).Draw(t, "op")
	return op, map[string]func(int) bool{
		"=": func(c int) bool { return c == 0 }, "!=": func(c int) bool { return c != 0 }, "<>": func(c int) bool { return c != 0 },
		"<": func(c int) bool { return c < 0 }, "<=": func(c int) bool { return c <= 0 },
		">": func(c int) bool { return c > 0 }, ">=": func(c int) bool { return c >= 0 },
	}[op]
}

func leaf(t *rapid.T, all []model) condition {
	some := rapid.SampledFrom(all).Draw(t, "some")
	op, ok := compareOp(t)
	switch rapid.IntRange(0, 9).Draw(t, "leaf") {
	case 0:
		return condition{fmt.Sprintf("Id %s '%s'", op, some.id), func(m model) bool { return ok(strings.Compare(m.id, some.id)) }}
	case 1:
		return condition{fmt.Sprintf("SystemModstamp %s %s", op, some.stamp.Format(time.RFC3339)), func(m model) bool { return ok(m.stamp.Compare(some.stamp)) }}
	case 2:
		half := some.stamp.Add(500 * time.Millisecond)
		return condition{fmt.Sprintf("SystemModstamp %s %s", op, half.Format(time.RFC3339Nano)), func(m model) bool { return ok(m.stamp.Compare(half)) }}
	case 3:
		return condition{fmt.Sprintf("Amount__c %s %v", op, 5.25), func(m model) bool {
			if m.amount < 0 {
				return op == "!=" || op == "<>"
			}
			return ok(cmp.Compare(m.amount, 5.25))
		}}
	case 4:
		return condition{fmt.Sprintf("name %s 'ALPHA'", op), func(m model) bool { return ok(strings.Compare(strings.ToLower(m.name), "alpha")) }}
	case 5:
		return condition{"Status__c NOT IN ('draft', null)", func(m model) bool { return m.status == "Open" }}
	case 6:
		other := rapid.SampledFrom(all).Draw(t, "other")
		return condition{fmt.Sprintf("Id IN ('%s', '%s')", some.id, other.id[:15]), func(m model) bool { return m.id == some.id || m.id == other.id }}
	case 7:
		return condition{fmt.Sprintf("External_Id__c = '%s'", strings.ToLower(some.key)), func(m model) bool { return m.key == some.key }}
	}
	if rapid.Bool().Draw(t, "place") {
		return condition{
			fmt.Sprintf("(SystemModstamp = %s AND Id %s '%s')", some.stamp.Format(time.RFC3339), op, some.id),
			func(m model) bool { return m.stamp.Equal(some.stamp) && ok(strings.Compare(m.id, some.id)) },
		}
	}
	return condition{"Paid__c = null", func(m model) bool { return !m.paid }}
}

func tree(t *rapid.T, all []model, depth int) condition {
	if depth == 0 {
		return leaf(t, all)
	}
	switch rapid.IntRange(0, 3).Draw(t, "node") {
	case 0:
		a, b := tree(t, all, depth-1), tree(t, all, depth-1)
		return condition{"(" + a.text + " AND " + b.text + ")", func(m model) bool { return a.holds(m) && b.holds(m) }}
	case 1:
		a, b := tree(t, all, depth-1), tree(t, all, depth-1)
		return condition{"(" + a.text + " OR " + b.text + ")", func(m model) bool { return a.holds(m) || b.holds(m) }}
	case 2:
		a := tree(t, all, depth-1)
		return condition{"NOT " + a.text, func(m model) bool { return !a.holds(m) }}
	}
	return leaf(t, all)
}

// Whatever the access path, a query finds what a naive scan of plain values
// finds, in the order asked for.
func TestQueryAgainstNaiveScan(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		store, all := population(t)
		where := tree(t, all, rapid.IntRange(0, 3).Draw(t, "depth"))
		text := "SELECT Id FROM Invoice__c WHERE " + where.text
		byID := func(a, b model) int { return strings.Compare(a.id, b.id) }
		order := byID
		switch rapid.IntRange(0, 4).Draw(t, "order") {
		case 0:
			text += " ORDER BY SystemModstamp, Id"
			order = func(a, b model) int { return cmp.Or(a.stamp.Compare(b.stamp), byID(a, b)) }
		case 1:
			text += " ORDER BY Id DESC"
			order = func(a, b model) int { return byID(b, a) }
		case 2:
			text += " ORDER BY Amount__c DESC NULLS LAST"
			order = func(a, b model) int { return cmp.Or(cmp.Compare(b.amount, a.amount), byID(a, b)) }
		case 3:
			text += " ORDER BY Id"
		}
		queryAll := rapid.Bool().Draw(t, "all")
		var want []string
		slices.SortFunc(all, order)
		for _, m := range all {
			if where.holds(m) && (!m.gone || queryAll) {
				want = append(want, m.id)
			}
		}
		if limit := rapid.IntRange(0, 30).Draw(t, "limit"); limit > 0 {
			offset := rapid.IntRange(0, 3).Draw(t, "offset")
			text += fmt.Sprintf(" LIMIT %d OFFSET %d", limit, offset)
			want = want[min(offset, len(want)):]
			want = want[:min(limit, len(want))]
		}
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := Run(store, q, Opts{All: queryAll})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, r.Record().ID)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s\n got %v\nwant %v\nof %+v", text, got, want, all)
		}
	})
}

// Keyset pages add up to the whole, each record once, while ties span pages.
func TestKeysetPaging(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		store, all := population(t)
		size := rapid.IntRange(1, 7).Draw(t, "size")
		stamp, id := t0.Add(-time.Hour), sobject.EmptyID
		var got []string
		for {
			at := stamp.Format(time.RFC3339)
			q, err := Parse(fmt.Sprintf("SELECT Id, SystemModstamp FROM Invoice__c WHERE (SystemModstamp > %s OR (SystemModstamp = %s AND Id > '%s')) AND SystemModstamp <= 2030-01-01T00:00:00Z ORDER BY SystemModstamp, Id LIMIT %d", at, at, id, size))
			if err != nil {
				t.Fatal(err)
			}
			rows, _, err := Run(store, q, Opts{All: true})
			if err != nil {
				t.Fatal(err)
			}
			if len(rows) == 0 {
				break
			}
			for _, r := range rows {
				got = append(got, r.Record().ID)
				stamp, id = r.Record().Stamp, r.Record().ID
			}
		}
		slices.SortFunc(all, func(a, b model) int { return cmp.Or(a.stamp.Compare(b.stamp), strings.Compare(a.id, b.id)) })
		var want []string
		for _, m := range all {
			want = append(want, m.id)
		}
		if !slices.Equal(got, want) {
			t.Fatalf("pages of %d: got %v, want %v", size, got, want)
		}
	})
}

// LIKE agrees with a matcher that tries everything.
func TestLike(t *testing.T) {
	t.Parallel()
	var naive func(p, s []rune) bool
	naive = func(p, s []rune) bool {
		switch {
		case len(p) == 0:
			return len(s) == 0
		case p[0] == '%':
			return naive(p[1:], s) || (len(s) > 0 && naive(p, s[1:]))
		case len(s) == 0:
			return false
		case p[0] == '_':
			return naive(p[1:], s[1:])
		}
		return p[0] == s[0] && naive(p[1:], s[1:])
	}
	rapid.Check(t, func(t *rapid.T) {
		p := rapid.StringMatching(`[ab%_é]{0,8}`).Draw(t, "pattern")
		s := rapid.StringMatching(`[abé]{0,10}`).Draw(t, "text")
		if got, want := like(compileLike(p), strings.ToUpper(s)), naive([]rune(p), []rune(s)); got != want {
			t.Fatalf("%q LIKE %q is %v", s, p, got)
		}
	})
}
