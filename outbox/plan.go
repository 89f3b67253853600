package outbox

import (
	"cmp"
	"slices"
)

// planner turns a backlog into calls. It is pure: no database, no clock.
type planner struct {
	tables   map[string]*Table
	merged   bool
	batch    int
	attempts func(key) int     // failed attempts so far of a record that may be better off in a smaller call
	waits    func(key) bool    // the record's back-off is not over
	late     func(key) *late   // a request of the record that may still take effect; nil = none
	crowds   func(*Table) bool // its calls are slow, and leave one place to others, see aside.go
	silent   func() bool       // Salesforce does not answer, so that what cannot be repeated waits; nil = it does

	bulk     func(*item) bool // may go by a job; nil = there are none
	bulkFrom int              // items of a job at least
}

// plan is what to do about a backlog. Entries in neither list wait.
type plan struct {
	calls []*call
	drops []drop
	stuck map[key][]*item // of records of which nothing may go
	wait  []*item         // those behind a refused parent
}

// drop is an entry, or several of one record, that will not be sent.
type drop struct {
	item    *item
	failure *Failure // nil = IGNORED
	idle    bool     // IGNORE, as the row was gone before anything of it was sent
}

// call is a request to be: items of one table and operation, none of which
// depends on another.
type call struct {
	table *Table
	op    Op
	items []*item
	level int  // after all calls of lower ones
	bulk  bool // a job
}

// item is what is sent for one record: one entry, or several folded into one.
type item struct {
	key     key
	table   *Table
	op      Op
	entries []*entry           // in the order in which they happened
	carrier *entry             // becomes SUCCESS, the others MERGED
	values  map[string]*string // newest of each column
	old     map[string]*string // oldest of each column
	sfid    string             // "" until the insert before it is settled

	hard    []*item // must be done first
	soft    []*item // go first if they go in this run
	waiting bool
	behind  parent // a refused one that it waits for
	twin    *item  // another row's, goes before and has the same external id; see twin.go
	level   int
	visit   int // 0 not yet, 1 on the stack, 2 done

	status  status
	gone    bool     // the row did not exist when the result was written
	rowless bool     // the row did not exist when it was planned
	rekeyed int64    // the entry by which the row got the key
	rests   []rest   // of refused updates before it, once it is accepted
	rejoins bool     // if it is refused, it goes once more with these
	jobKey  string   // tells its record apart in the results of a job
	extra   *leftOut // columns of values that are not sent, where a job keeps no values
	tried   int      // failed attempts before this one
	spent   bool     // this is its last attempt, if Salesforce answers it with an internal error once more
	twice   bool     // its last attempt was refused as a duplicate, too
}

// status is what became of an item in this run.
type status int

const (
	waits  status = iota // not sent, or put back
	done                 // in Salesforce
	failed               // refused
)

// holds reports whether the item keeps those that depend on it from being sent:
// it was put back, or it is a record that still does not exist.
func (i *item) holds() bool {
	return i.status == waits || i.status == failed && i.op.creates()
}

func (p planner) plan(b backlog) plan {
	var out plan
	var items []*item
	silent := p.silent != nil && p.silent()
	byRecord := map[key][]*entry{}
	var order []key
	for _, e := range b.entries {
		if byRecord[e.key] == nil {
			order = append(order, e.key)
		}
		byRecord[e.key] = append(byRecord[e.key], e)
	}
	for _, k := range order {
		made, drops := p.record(p.tables[k.table], byRecord[k], b)
		p.behindLate(made, k)
		crowded := b.busy[k.table] || p.crowds != nil && p.crowds(p.tables[k.table])
		if b.busy[k.table] {
			drops = nil // it may have a row
		}
		for _, i := range made {
			i.waiting = i.waiting || crowded || silent && i.op == Insert
		}
		items = append(items, made...)
		out.drops = append(out.drops, drops...)
	}
	own := slices.Clone(items)
	if slices.ContainsFunc(own, func(i *item) bool { return !i.waiting && i.depends() }) {
		for _, t := range b.stuck {
			again := *t
			items = append(items, &again)
		}
	}
	slices.SortFunc(items, func(x, y *item) int { return cmp.Compare(x.position(), y.position()) })
	p.depend(items, b.lost)
	for _, i := range items {
		// A record may be mentioned by changes that are not read yet.
		i.waiting = i.waiting || i.op == Delete && (b.cut > 0 && i.position() > b.cut || b.mentions(i)) || b.blind > 0 && i.position() > b.blind && i.depends()
	}
	out.drops = append(out.drops, twins(items, b.cut)...)
	p.behindFlight(items, b.flight)
	for _, i := range items {
		if i.visit == 0 {
			i.place()
		}
	}
	out.calls = p.batches(items)
	out.stuck = stuckOf(own)
	for _, i := range own {
		if i.behind.entry != 0 {
			out.wait = append(out.wait, i)
		}
	}
	return out
}

// stuckOf picks the items of records of which none may go.
func stuckOf(items []*item) map[key][]*item {
	stuck := map[key][]*item{}
	for _, i := range items {
		if i.status != failed {
			stuck[i.key] = append(stuck[i.key], i)
		}
	}
	for _, i := range items {
		if !i.waiting {
			delete(stuck, i.key)
		}
	}
	return stuck
}

// depends reports whether the item may have to wait for changes of other records.
func (i *item) depends() bool {
	_, before := i.table.ownReference(i.old)
	_, now := i.table.ownReference(i.values)
	return i.op == Delete || before || now || len(i.parentRefs(i.values)) > 0
}

// behindLate holds back what a request that runs on would undo, but not its own
// repetition.
func (p planner) behindLate(items []*item, k key) {
	if p.late == nil {
		return
	}
	l := p.late(k)
	for _, i := range items {
		i.waiting = i.waiting || l != nil && l.undoes(i) && !all(i.entries, (*entry).inDoubt)
	}
}

// position is where an item stands in the log: by its oldest NEW entry, since
// FAILED ones that are sent again had their turn.
func (i *item) position() int64 {
	for _, e := range i.entries {
		if e.state == stateNew {
			return e.place()
		}
	}
	return i.carrier.place()
}

// place puts an item one level below the deepest it depends on. Where
// dependencies run in a circle, the edge that closes it is dropped.
func (i *item) place() {
	i.visit = 1
	for n, deps := range [][]*item{i.hard, i.soft} {
		for _, d := range deps {
			if d.visit == 0 {
				d.place()
			}
			if d.visit == 1 {
				continue
			}
			if d.waiting {
				i.waiting = i.waiting || n == 0
				continue
			}
			i.level = max(i.level, d.level+1)
		}
	}
	i.visit = 2
}

// batches groups what may go by level, table and operation. A record that
// failed with its whole call goes in smaller ones, down to a call of its own:
// so one that breaks every call it is in does not take others with it. Those go after
// what has not failed, so that nothing waits for the calls they break.
func (p planner) batches(items []*item) []*call {
	type group struct {
		level, size int
		table       string
		op          Op
	}
	groups := map[group][]*item{}
	var order []group
	for _, i := range items {
		if i.waiting {
			continue
		}
		g := group{i.level, p.size(i.key), i.table.Name, i.op}
		if groups[g] == nil {
			order = append(order, g)
		}
		groups[g] = append(groups[g], i)
	}
	slices.SortStableFunc(order, func(x, y group) int {
		return cmp.Or(cmp.Compare(x.level, y.level), cmp.Compare(y.size, x.size))
	})
	var calls []*call
	for _, g := range order {
		jobs, rest := p.jobs(groups[g])
		for _, j := range jobs {
			j.level = g.level
		}
		calls = append(calls, jobs...)
		if len(rest) > g.size {
			rest = byParent(rest)
		}
		for chunk := range slices.Chunk(rest, g.size) {
			calls = append(calls, &call{table: chunk[0].table, op: g.op, items: chunk, level: g.level})
		}
	}
	return calls
}

// byParent puts records of one parent next to each other, in the order of the
// first of each: Salesforce locks the parent while it writes them, so in two calls
// they would get into each other's way.
func byParent(items []*item) []*item {
	first := map[string]int{}
	rank := make(map[*item]int, len(items))
	for n, i := range items {
		rank[i] = n
		parent := i.parent()
		if parent == "" {
			continue
		}
		if at, known := first[parent]; known {
			rank[i] = at
		} else {
			first[parent] = n
		}
	}
	slices.SortStableFunc(items, func(x, y *item) int { return cmp.Compare(rank[x], rank[y]) })
	return items
}

// parent is the first record that the item refers to, now or before; "" without
// one.
func (i *item) parent() string {
	for _, c := range i.table.Columns {
		if !c.reference() && c.Relationship == "" {
			continue
		}
		for _, v := range []*string{i.values[c.Name], i.old[c.Name]} {
			if set(v) {
				return c.Name + " " + *v
			}
		}
	}
	return ""
}

// size is the largest call a record may be part of.
func (p planner) size(k key) int {
	return max(1, p.batch>>min(3*p.attempts(k), 30))
}
