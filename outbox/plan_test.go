package outbox

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// logOf builds a backlog from lines "action table/row sfid values [| old]".
func logOf(t testing.TB, lines ...string) backlog {
	t.Helper()
	b := backlog{open: map[key][]*entry{}, rows: map[key]string{}, asked: map[key]bool{}, lost: map[reference]int64{}}
	for n, line := range lines {
		e := &entry{id: int64(n + 1), state: stateNew}
		head, values, _ := strings.Cut(line, " : ")
		if _, err := fmt.Sscanf(strings.Replace(head, "/", " ", 1), "%s %s %d %s", &e.action, &e.key.table, &e.key.id, &e.sfid); err != nil {
			t.Fatalf("%s: %v", head, err)
		}
		if e.sfid == "-" {
			e.sfid = ""
		}
		values, old, _ := strings.Cut(values, " | ")
		var err, err2 error
		e.values, err = parseHStore(values)
		e.old, err2 = parseHStore(old)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		if state, rest, ok := strings.Cut(e.action, "/"); ok {
			e.action, e.state = state, rest
		}
		if f, ok := strings.CutPrefix(e.action, "failed-"); ok {
			e.action, e.state = f, stateFailed
		}
		if f, ok := strings.CutPrefix(e.action, "doubt-"); ok {
			e.action, e.state, e.message = f, stateFailed, CodeInDoubt
		}
		if f, ok := strings.CutPrefix(e.action, "pending-"); ok {
			e.action, e.state = f, statePending
		}
		if f, ok := strings.CutPrefix(e.action, "ignore-"); ok {
			e.action, e.state = f, stateIgnore
		}
		if e.sfid == "" {
			b.asked[e.key] = true
			b.rows[e.key] = ""
		}
		if e.state == stateNew {
			b.entries = append(b.entries, e)
		} else {
			b.open[e.key] = append(b.open[e.key], e)
		}
	}
	return b
}

func show(p plan) string {
	var lines []string
	for _, d := range p.drops {
		what := "ignored"
		if d.failure != nil {
			what = d.failure.Code
		}
		lines = append(lines, what+idsOf(d.item))
	}
	for _, c := range p.calls {
		var line strings.Builder
		line.WriteString(c.op.String() + " " + c.table.Name)
		for _, i := range c.items {
			line.WriteString(idsOf(i))
		}
		lines = append(lines, line.String())
	}
	return strings.Join(lines, "; ")
}

func idsOf(i *item) string {
	ids := make([]string, len(i.entries))
	for n, e := range i.entries {
		ids[n] = fmt.Sprint(e.id)
		if e == i.carrier && len(i.entries) > 1 {
			ids[n] += "*"
		}
	}
	return " " + strings.Join(ids, "+")
}

func testPlanner(mergedMode bool, tables []Table) planner {
	byName := map[string]*Table{}
	for i := range tables {
		byName[tables[i].Name] = &tables[i]
	}
	return planner{tables: byName, merged: mergedMode, batch: 200, attempts: func(key) int { return 0 }, waits: func(key) bool { return false }}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	gone := func(keys ...key) func(*backlog) {
		return func(b *backlog) {
			for _, k := range keys {
				delete(b.rows, k)
			}
		}
	}
	known := func(k key, sfid string) func(*backlog) { return func(b *backlog) { b.rows[k] = sfid } }
	for name, c := range map[string]struct {
		log             []string
		ordered, merged string
		change          func(*backlog)
		upsert          bool
	}{
		"like changes of many records are one call": {
			log:     []string{"INSERT account/1 - : name=>a", "INSERT contact/1 - : lastname=>b", "INSERT account/2 - : name=>c", "UPDATE account/3 001 : name=>d"},
			ordered: "insert account 1 3; insert contact 2; update account 4", merged: "insert account 1 3; insert contact 2; update account 4",
		},
		"changes of one record stay in order, or are folded": {
			log:     []string{"UPDATE account/1 001 : name=>a", "UPDATE account/1 001 : industry=>b", "UPDATE account/1 001 : name=>c"},
			ordered: "update account 1; update account 2; update account 3", merged: "update account 1+2+3*",
		},
		"an update before the insert was sent": {
			log:     []string{"INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "insert account 1; update account 2", merged: "insert account 1*+2",
		},
		"insert and delete before anything was sent": {
			log:     []string{"INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b", "ignore-DELETE account/1 -"},
			ordered: "ignored 1+2*", merged: "ignored 1+2*", change: gone(key{"account", 1}),
		},
		"a row without a trace of its delete is sent": {
			log:     []string{"INSERT account/1 - : name=>a"},
			ordered: "insert account 1", merged: "insert account 1", change: gone(key{"account", 1}),
		},
		"an update then a delete": {
			log:     []string{"UPDATE account/1 001 : name=>a", "DELETE account/1 001 :  | name=>a"},
			ordered: "update account 1; delete account 2", merged: "delete account 1+2*",
		},
		"a row id that is used again": {
			log:     []string{"DELETE account/1 001", "INSERT account/1 - : name=>a"},
			ordered: "delete account 1; insert account 2", merged: "delete account 1; insert account 2",
		},
		"a parent goes before its child, wherever it stands": {
			log:     []string{"INSERT contact/1 - : account__external_id__c=>x", "INSERT contact/2 - : lastname=>y", "INSERT account/1 - : external_id__c=>x"},
			ordered: "insert contact 2; insert account 3; insert contact 1", merged: "insert contact 2; insert account 3; insert contact 1",
		},
		"an update that names a new parent": {
			log:     []string{"UPDATE contact/1 003 : account__external_id__c=>x", "INSERT account/1 - : external_id__c=>x"},
			ordered: "insert account 2; update contact 1", merged: "insert account 2; update contact 1",
		},
		"a child of a refused parent waits": {
			log:     []string{"INSERT contact/1 - : account__external_id__c=>x", "INSERT contact/2 - : lastname=>y"},
			ordered: "insert contact 2", merged: "insert contact 2",
			change: func(b *backlog) { b.lost[refTo("Account", "External_Id__c", "x")] = 7 },
		},
		"inserts with the external id are upserts": {
			log:     []string{"INSERT account/1 - : external_id__c=>x", "INSERT account/2 - : external_id__c=>NULL"},
			ordered: "upsert account 1; insert account 2", merged: "upsert account 1; insert account 2", upsert: true,
		},
		"one external id in two hands": {
			log:     []string{"DELETE account/1 001 :  | external_id__c=>x", "INSERT account/2 - : external_id__c=>x"},
			ordered: "delete account 1; upsert account 2", merged: "delete account 1; upsert account 2", upsert: true,
		},
		"a delete goes after the change that moved a child away": {
			log: []string{
				"UPDATE contact/1 003 : accountid=>002 | accountid=>001", "UPDATE contact/2 004 : lastname=>x | accountid=>001",
				"DELETE account/1 001", "DELETE account/2 009",
			},
			ordered: "update contact 1 2; delete account 4; delete account 3", merged: "update contact 1 2; delete account 4; delete account 3",
		},
		"lines go in before the order closes": {
			log:     []string{"INSERT contact/1 - : accountid=>001", "UPDATE account/1 001 : industry=>closed", "INSERT contact/2 - : accountid=>001"},
			ordered: "insert contact 1; update account 2; insert contact 3", merged: "insert contact 1 3; update account 2",
		},
		"after a refused insert": {
			log:     []string{"failed-INSERT account/1 - : name=>a, industry=>i", "UPDATE account/1 - : name=>b", "INSERT account/2 - : name=>c"},
			ordered: "insert account 3", merged: "insert account 1*+2 3",
		},
		"after a refused update": {
			log:     []string{"failed-UPDATE account/1 001 : name=>a", "UPDATE account/1 001 : industry=>b"},
			ordered: "update account 2", merged: "update account 1+2*",
		},
		"after an insert in doubt": {
			log:     []string{"doubt-INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "", merged: "",
		},
		"after an insert in doubt whose row has got an id": {
			log:     []string{"doubt-INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "update account 2", merged: "update account 2", change: known(key{"account", 1}, "001"),
		},
		"an insert captured anew takes over everything": {
			log:     []string{"failed-INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b", "INSERT account/1 - : name=>c", "UPDATE account/1 - : name=>d"},
			ordered: "insert account 1+2+3*; update account 4", merged: "insert account 1+2+3*+4",
		},
		"an insert captured anew ends a doubt": {
			log:     []string{"doubt-INSERT account/1 - : name=>a", "INSERT account/1 - : name=>c"},
			ordered: "insert account 1+2*", merged: "insert account 1+2*",
		},
		"an insert of a row that is in Salesforce is an update": {
			log:     []string{"INSERT account/1 - : name=>a"},
			ordered: "update account 1", merged: "update account 1", change: known(key{"account", 1}, "001"),
		},
		"while an entry is in flight": {
			log:     []string{"pending-UPDATE account/1 001 : name=>a", "UPDATE account/1 001 : name=>b", "UPDATE account/2 002 : name=>b"},
			ordered: "update account 3", merged: "update account 3",
		},
		"an update of a row that Salesforce does not know": {
			log:     []string{"UPDATE account/1 - : name=>a"},
			ordered: "NO_SFID 1", merged: "NO_SFID 1",
		},
		"an insert that was captured anew, after its update": {
			log:     []string{"UPDATE account/1 - : name=>a", "INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "insert account 1+2*; update account 3", merged: "insert account 1+2*+3",
		},
		"a delete of what held changes may mention": {
			log:     []string{"DELETE account/1 001", "DELETE contact/1 003", "DELETE account/2 002"},
			ordered: "delete account 1; delete contact 2", merged: "delete account 1; delete contact 2",
			change: func(b *backlog) { b.hidden = map[string]int64{"account": 2} },
		},
		"a delete of what held changes may mention, whatever it is": {
			log:     []string{"DELETE account/1 001", "DELETE contact/1 003", "UPDATE account/2 002 : name=>a"},
			ordered: "update account 3", merged: "update account 3",
			change: func(b *backlog) {
				b.hidden = map[string]int64{"": 0, "account": 7}
				b.hidden[""] = 1
				b.entries[0].id, b.entries[1].id = 4, 5
			},
		},
		"an insert in doubt that a user made NEW": {
			log:     []string{"INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "IN_DOUBT 1", merged: "IN_DOUBT 1", change: func(b *backlog) { b.entries[0].message = CodeInDoubt },
		},
		"parents in a circle": {
			log:     []string{"INSERT account/1 - : external_id__c=>x, account__external_id__c=>y", "INSERT account/2 - : external_id__c=>y, account__external_id__c=>x"},
			ordered: "insert account 2; insert account 1", merged: "insert account 2; insert account 1",
		},
		"a refused insert that cannot be read": {
			log:     []string{"failed-INSERT account/1 - : name=>a", "UPDATE account/1 - : name=>b"},
			ordered: "", merged: "", change: func(b *backlog) { b.open[key{"account", 1}][0].broken = errors.New("hstore") },
		},
		"an upsert in doubt is repeated as it was": {
			log:     []string{"INSERT account/1 - : external_id__c=>x", "UPDATE account/1 - : external_id__c=>y", "UPDATE account/1 - : name=>a"},
			ordered: "upsert account 1; update account 2; update account 3", merged: "upsert account 1; update account 2+3*",
			upsert: true, change: func(b *backlog) { b.entries[0].message = CodeInDoubt },
		},
		"an action nobody knows": {
			log:     []string{"UPSERT account/1 - : name=>a"},
			ordered: "INVALID_VALUE 1", merged: "INVALID_VALUE 1",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for mode, want := range map[bool]string{false: c.ordered, true: c.merged} {
				tables := testTables()
				tables[0].Columns = append(tables[0].Columns, tables[1].Columns[2]) // an account may name its parent
				if c.upsert {
					tables[0].ExternalID = "External_Id__c"
				}
				b := logOf(t, c.log...)
				if c.change != nil {
					c.change(&b)
				}
				if got := show(testPlanner(mode, tables).plan(b)); got != want {
					t.Errorf("merged %v:\n got %s\nwant %s", mode, got, want)
				}
			}
		})
	}
}

func TestPlanHoldsUpAndSplits(t *testing.T) {
	t.Parallel()
	b := logOf(t, "UPDATE account/1 001 : name=>a", "UPDATE account/1 001 : name=>b", "UPDATE account/2 002 : name=>a", "UPDATE account/3 003 : name=>a")
	p := testPlanner(false, testTables())
	p.waits = func(k key) bool { return k.id == 1 }
	if got, want := show(p.plan(b)), "update account 3 4"; got != want {
		t.Errorf("back-off: got %s, want %s", got, want)
	}
	p.waits = func(key) bool { return false }
	p.attempts = func(k key) int { return int(k.id) }
	if got, want := show(p.plan(b)), "update account 1; update account 3; update account 4; update account 2"; got != want {
		t.Errorf("attempts: got %s, want %s", got, want)
	}
	for attempts, want := range map[int]int{0: 200, 1: 25, 2: 3, 3: 1, 1000: 1} {
		p.attempts = func(key) int { return attempts }
		if got := p.size(key{}); got != want {
			t.Errorf("%d attempts: size %d, want %d", attempts, got, want)
		}
	}
}

// Whatever users do in whatever order, the calls of a plan, one after another,
// bring Salesforce to the state of the tables; every entry is in one call, no
// record twice in a call, and a record's changes come in order.
func TestPlanProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		tables := testTables()
		if rapid.Bool().Draw(t, "upsert") {
			tables[0].ExternalID = "External_Id__c"
		}
		p := testPlanner(rapid.Bool().Draw(t, "merged"), tables)
		p.batch = rapid.IntRange(1, 4).Draw(t, "batch")
		m := newModel(t)
		for range rapid.IntRange(1, 40).Draw(t, "changes") {
			m.change(t)
		}
		m.look()
		plan := p.plan(m.backlog)
		m.check(t, plan, p.batch)
	})
}

// model is a database and what it logged, with a third of the rows known to
// Salesforce from the start.
type model struct {
	backlog backlog
	rows    map[key]map[string]*string
	sfids   map[key]string
	remote  map[string]map[string]*string
	extID   int
}

func newModel(t *rapid.T) *model {
	m := &model{
		backlog: backlog{open: map[key][]*entry{}, rows: map[key]string{}, asked: map[key]bool{}},
		rows:    map[key]map[string]*string{}, sfids: map[key]string{}, remote: map[string]map[string]*string{},
	}
	for id := range int64(rapid.IntRange(0, 3).Draw(t, "known")) {
		k := key{"account", 100 + id}
		sfid := fmt.Sprintf("001x%d", id)
		m.rows[k], m.sfids[k], m.remote[sfid] = map[string]*string{}, sfid, map[string]*string{}
	}
	return m
}

func (m *model) change(t *rapid.T) {
	value := rapid.StringMatching("[a-c]").Draw(t, "value")
	k := key{rapid.SampledFrom([]string{"account", "contact"}).Draw(t, "table"), int64(rapid.IntRange(1, 4).Draw(t, "row"))}
	if k.table == "account" && rapid.Bool().Draw(t, "known") {
		k.id += 99
	}
	row, exists := m.rows[k]
	e := &entry{id: int64(len(m.backlog.entries) + 1), key: k, state: stateNew, sfid: m.sfids[k]}
	column := map[string]string{"account": "name", "contact": "lastname"}[k.table]
	switch action := rapid.SampledFrom([]string{actionInsert, actionUpdate, actionUpdate, actionDelete}).Draw(t, "action"); {
	case !exists && k.id < 100 && action == actionInsert && m.backlog.open[k] == nil:
		row = map[string]*string{column: &value}
		if k.table == "account" {
			m.extID++
			ext := fmt.Sprint("x", m.extID)
			row["external_id__c"] = &ext
		} else if parent := m.parent(t); parent != nil {
			row["account__external_id__c"] = parent
		}
		e.action, e.values, e.sfid = action, overlay(nil, row), ""
		m.rows[k] = row
	case exists && action == actionUpdate:
		e.action, e.values, e.old = action, map[string]*string{column: &value}, overlay(nil, row)
		row[column] = &value
	case exists && action == actionDelete:
		e.action, e.old = action, overlay(nil, row)
		delete(m.rows, k)
		if e.sfid == "" {
			e.state = stateIgnore
			m.backlog.open[k] = append(m.backlog.open[k], e)
			return
		}
	default:
		return
	}
	m.backlog.entries = append(m.backlog.entries, e)
}

// parent is an account's external id that is in the tables now.
func (m *model) parent(t *rapid.T) *string {
	var ids []*string
	for id := range int64(5) {
		if row := m.rows[key{"account", id}]; row != nil && row["external_id__c"] != nil {
			ids = append(ids, row["external_id__c"])
		}
	}
	if len(ids) == 0 || !rapid.Bool().Draw(t, "child") {
		return nil
	}
	return rapid.SampledFrom(ids).Draw(t, "parent")
}

// look fills in what the worker reads beside the log.
func (m *model) look() {
	for _, e := range m.backlog.entries {
		if e.sfid != "" {
			continue
		}
		m.backlog.asked[e.key] = true
		if m.rows[e.key] != nil {
			m.backlog.rows[e.key] = m.sfids[e.key]
		}
	}
}

func (m *model) check(t *rapid.T, p plan, batch int) {
	seen := map[int64]string{}
	last := map[key]int64{}
	made := map[string]bool{}
	note := func(i *item, where string) {
		for _, e := range i.entries {
			if seen[e.id] != "" {
				t.Fatalf("entry %d is in %s and in %s", e.id, seen[e.id], where)
			}
			seen[e.id] = where
			if e.id < last[i.key] {
				t.Fatalf("record %v: %d after %d", i.key, e.id, last[i.key])
			}
			last[i.key] = e.id
		}
	}
	for _, d := range p.drops {
		if d.failure != nil {
			t.Fatalf("dropped%s: %v", idsOf(d.item), d.failure)
		}
		note(d.item, "drops")
	}
	for n, c := range p.calls {
		if len(c.items) > batch {
			t.Fatalf("%d items in a call", len(c.items))
		}
		records := map[key]bool{}
		for _, i := range c.items {
			if records[i.key] || i.op != c.op || i.table != c.table {
				t.Fatalf("call %d: %v does not belong", n, i.key)
			}
			records[i.key] = true
			note(i, fmt.Sprint("call ", n))
			if ref := i.values["account__external_id__c"]; i.op != Delete && set(ref) && !made[*ref] {
				for _, other := range m.backlog.entries {
					if other.action == actionInsert && set(other.values["external_id__c"]) && *other.values["external_id__c"] == *ref && seen[other.id] != "drops" {
						t.Fatalf("child%s before its parent %d", idsOf(i), other.id)
					}
				}
			}
			m.apply(t, i)
		}
		for _, i := range c.items {
			if ext := i.values["external_id__c"]; i.op.creates() && set(ext) {
				made[*ext] = true
			}
		}
	}
	for _, e := range m.backlog.entries {
		if seen[e.id] == "" {
			t.Fatalf("entry %d is nowhere: %s", e.id, show(p))
		}
	}
	for k, row := range m.rows {
		if got := m.remote[m.sfids[k]]; !samePairs(got, row) && len(row) > 0 && m.touched(k) {
			t.Fatalf("record %v is %v in Salesforce, %v here: %s", k, got, row, show(p))
		}
	}
	live := 0
	for range m.rows {
		live++
	}
	if len(m.remote) != live {
		t.Fatalf("%d records in Salesforce, %d here: %s", len(m.remote), live, show(p))
	}
}

func (m *model) touched(k key) bool {
	for _, e := range m.backlog.entries {
		if e.key == k {
			return true
		}
	}
	return false
}

func (m *model) apply(t *rapid.T, i *item) {
	sfid := m.sfids[i.key]
	if i.op.creates() {
		sfid = fmt.Sprint(i.key)
		m.sfids[i.key], m.remote[sfid] = sfid, map[string]*string{}
	}
	if m.remote[sfid] == nil {
		t.Fatalf("%s of a record that is not there:%s", i.op, idsOf(i))
	}
	if i.op == Delete {
		delete(m.remote, sfid)
		return
	}
	m.remote[sfid] = overlay(m.remote[sfid], i.values)
}
