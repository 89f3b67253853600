package outbox

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// What a row trigger does to its own row is logged before the change that fired it,
// and is done after it.
func TestPlanOfNestedChanges(t *testing.T) {
	t.Parallel()
	gone := func(b *backlog) { delete(b.rows, key{"account", 1}) }
	for name, c := range map[string]struct {
		log             []string // of one transaction
		ordered, merged string
		change          func(*backlog)
	}{
		"an update in an insert": {
			log:     []string{"UPDATE account/1 - : industry=>t | industry=>NULL", "INSERT account/1 - : name=>a, industry=>NULL"},
			ordered: "insert account 2{name=a}; update account 1{industry=t}", merged: "insert account 2*+1{industry=t name=a}",
		},
		"two levels in an insert, and a change after it": {
			log: []string{
				"UPDATE account/1 - : name=>c | name=>b", "UPDATE account/1 - : name=>b | name=>a", "INSERT account/1 - : name=>a, industry=>NULL",
				"UPDATE account/1 - : name=>e | name=>d", "UPDATE account/1 - : name=>d | name=>c",
			},
			ordered: "insert account 3{name=a}; update account 2{name=b}; update account 1{name=c}; update account 5{name=d}; update account 4{name=e}",
			merged:  "insert account 3*+2+1+5+4{name=e}",
		},
		"an update in an update": {
			log:     []string{"UPDATE account/1 001 : name=>123 | name=>0", "UPDATE account/1 001 : name=>1-23 | name=>x"},
			ordered: "update account 1{name=123}; update account 2{name=1-23}", merged: "update account 1+2*{name=1-23}",
		},
		"a value that is normalised": {
			log:     []string{"UPDATE account/1 001 : name=>123 | name=>1-23", "UPDATE account/1 001 : name=>1-23 | name=>x"},
			ordered: "update account 2{name=1-23}; update account 1{name=123}", merged: "update account 2+1*{name=123}",
		},
		"two levels": {
			log:     []string{"UPDATE account/1 001 : name=>d | name=>c", "UPDATE account/1 001 : name=>c | name=>b", "UPDATE account/1 001 : name=>b | name=>a"},
			ordered: "update account 3{name=b}; update account 2{name=c}; update account 1{name=d}", merged: "update account 3+2+1*{name=d}",
		},
		"a null that is filled in, and one that is made": {
			log:     []string{"UPDATE account/1 001 : name=>x, industry=>NULL | name=>NULL, industry=>i", "UPDATE account/1 001 : name=>NULL, industry=>i | name=>a, industry=>h"},
			ordered: "update account 2{industry=i name=NULL}; update account 1{industry=NULL name=x}", merged: "update account 2+1*{industry=NULL name=x}",
		},
		"there and back": {
			log:     []string{"UPDATE account/1 001 : name=>b | name=>a", "UPDATE account/1 001 : name=>a | name=>b"},
			ordered: "update account 1{name=b}; update account 2{name=a}", merged: "update account 1+2*{name=a}",
		},
		"in a circle": {
			log:     []string{"UPDATE account/1 001 : name=>b | name=>a", "UPDATE account/1 001 : name=>c | name=>b", "UPDATE account/1 001 : name=>a | name=>c"},
			ordered: "update account 1{name=b}; update account 2{name=c}; update account 3{name=a}", merged: "update account 1+2+3*{name=a}",
		},
		"round to where it began, by triggers": {
			log:     []string{"UPDATE account/1 001 : name=>e | name=>c", "UPDATE account/1 001 : name=>c | name=>b", "UPDATE account/1 001 : name=>b | name=>e"},
			ordered: "update account 1{name=e}; update account 3{name=b}; update account 2{name=c}", merged: "update account 1+3+2*{name=c}",
		},
		"with one in between that is not in the log": {
			log:     []string{"UPDATE account/1 001 : name=>c | name=>b", "UPDATE account/1 001 : name=>b | name=>a", "UPDATE account/1 001 : name=>f | name=>e", "UPDATE account/1 001 : name=>e | name=>d"},
			ordered: "update account 2{name=b}; update account 1{name=c}; update account 4{name=e}; update account 3{name=f}", merged: "update account 2+1+4+3*{name=f}",
		},
		"captures by hand": {
			log:     []string{"UPDATE account/1 001 : name=>b | name=>a", "UPDATE account/1 001 : name=>a"},
			ordered: "update account 1{name=b}; update account 2{name=a}", merged: "update account 1+2*{name=a}",
		},
		"another transaction": {
			log:     []string{"UPDATE account/1 001 : name=>c | name=>b", "UPDATE account/1 001 : name=>b | name=>a"},
			ordered: "update account 1{name=c}; update account 2{name=b}", merged: "update account 1+2*{name=b}",
			change: func(b *backlog) { b.entries[1].txid++ },
		},
		"a refused one": {
			log:     []string{"UPDATE account/1 001 : name=>c | name=>b", "failed-UPDATE account/1 001 : name=>b | name=>a"},
			ordered: "update account 1{name=c} rests 2", merged: "update account 2+1*{name=c} rests 2",
		},
		"a row that deletes itself": {
			log:     []string{"DELETE account/1 001 :  | name=>b", "UPDATE account/1 001 : name=>b | name=>a"},
			ordered: "update account 2{name=b}; delete account 1{}", merged: "delete account 2+1*{}",
		},
		"a row that is made again": {
			log:     []string{"DELETE account/1 001 :  | name=>b", "INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b | name=>a"},
			ordered: "delete account 1{}; insert account 2{name=a}; update account 3{name=b}", merged: "delete account 1{}; insert account 2*+3{name=b}",
		},
		"a row that deletes itself as it is made": {
			log:     []string{"ignore-DELETE account/1 - :  | name=>a", "INSERT account/1 - : name=>a"},
			ordered: "ignored 2", merged: "ignored 2", change: gone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[bool]string{false: c.ordered, true: c.merged} {
				b := logOf(t, c.log...)
				inOne(b)
				if c.change != nil {
					c.change(&b)
				}
				if got := showValues(testPlanner(mode, testTables()).plan(b)); got != want {
					t.Errorf("merged %v:\n got %s\nwant %s", mode, got, want)
				}
			}
		})
	}
}

// An insert that comes from the archive has a higher id than updates that were made
// after it.
func TestPlanOfInsertFromTheArchive(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log             []string
		ordered, merged string
	}{
		"an update since": {
			log:     []string{"failed-UPDATE account/1 - : name=>b | name=>a", "INSERT account/1 - : name=>a, industry=>i"},
			ordered: "insert account 2{industry=i name=a}; update account 1{name=b}", merged: "insert account 2*+1{industry=i name=b}",
		},
		"an update of this run": {
			log:     []string{"UPDATE account/1 - : name=>b | name=>a", "UPDATE account/1 - : name=>c | name=>b", "INSERT account/1 - : name=>a"},
			ordered: "insert account 3{name=a}; update account 1{name=b}; update account 2{name=c}", merged: "insert account 3*+1+2{name=c}",
		},
		"the row captured anew has it": {
			log:     []string{"failed-UPDATE account/1 - : name=>b | name=>a", "INSERT account/1 - : name=>b"},
			ordered: "insert account 1+2*{name=b}", merged: "insert account 1+2*{name=b}",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[bool]string{false: c.ordered, true: c.merged} {
				if got := showValues(testPlanner(mode, testTables()).plan(logOf(t, c.log...))); got != want {
					t.Errorf("merged %v:\n got %s\nwant %s", mode, got, want)
				}
			}
		})
	}
}

// inOne makes all entries of one transaction.
func inOne(b backlog) {
	for _, e := range b.entries {
		e.txid = 7
	}
	for _, list := range b.open {
		for _, e := range list {
			e.txid = 7
		}
	}
}

// showValues is show with what is sent; of an insert without its nulls.
func showValues(p plan) string {
	var lines []string
	for _, d := range p.drops {
		lines = append(lines, show(plan{drops: []drop{d}}))
	}
	for _, c := range p.calls {
		for _, i := range c.items {
			var pairs []string
			for column, v := range i.values {
				switch {
				case v != nil:
					pairs = append(pairs, column+"="+*v)
				case !i.op.creates():
					pairs = append(pairs, column+"=NULL")
				}
			}
			slices.Sort(pairs)
			line := []string{fmt.Sprintf("%s %s%s{%s}", c.op, c.table.Name, idsOf(i), strings.Join(pairs, " "))}
			for _, left := range i.rests {
				line = append(line, fmt.Sprintf("rests %d", left.entry.id))
			}
			lines = append(lines, strings.Join(line, " "))
		}
	}
	return strings.Join(lines, "; ")
}

// Whatever triggers do to the row that fired them, at any depth, its changes are put
// into the order in which they were made, if no value comes twice.
func TestArrangeProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var logged, made []*entry
		row, next := map[string]*string{}, 0
		statement := func(action string) *entry {
			e := &entry{action: action, txid: 7, values: map[string]*string{}, old: map[string]*string{}}
			columns := []string{"name", "industry", "founded__c"}
			if action == actionUpdate {
				columns = slices.DeleteFunc(columns, func(string) bool { return rapid.Bool().Draw(t, "same") })
			}
			for _, c := range columns {
				next++
				now := fmt.Sprint(next)
				e.values[c], e.old[c] = &now, row[c]
				row[c] = &now
			}
			if action == actionInsert {
				e.old = nil
			}
			made = append(made, e)
			return e
		}
		var run func(action string, depth int)
		run = func(action string, depth int) {
			e := statement(action)
			for range rapid.IntRange(0, 2).Draw(t, "triggered") {
				if depth < 3 {
					run(actionUpdate, depth+1)
				}
			}
			logged = append(logged, e)
			e.id = int64(len(logged))
		}
		if rapid.Bool().Draw(t, "insert") {
			run(actionInsert, 0)
		} else {
			statement(actionInsert) // in an earlier transaction
			made = nil
		}
		for range rapid.IntRange(0, 4).Draw(t, "statements") {
			run(actionUpdate, 0)
		}
		arrange(logged)
		got := map[string]*string{}
		for n, e := range logged {
			if e.place() != int64(n+1) {
				t.Fatalf("entry %d is the %dth and has the place %d", e.id, n+1, e.place())
			}
			for c, was := range e.old {
				if v, there := got[c]; there && !equal(v, was) {
					t.Fatalf("entry %d was made of another row", e.id)
				}
			}
			got = overlay(got, e.values)
		}
		if want := overlay(nil, row); len(made) > 0 && !samePairs(got, onlyOf(want, got)) {
			t.Fatalf("it ends as %v, want %v", got, want)
		}
	})
}

func onlyOf(row, columns map[string]*string) map[string]*string {
	out := map[string]*string{}
	for c := range columns {
		out[c] = row[c]
	}
	return out
}
