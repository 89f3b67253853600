package outbox

import (
	"strings"
	"time"
)

// tracesMost is how many traces are kept, in windows: about a kilobyte each.
const tracesMost = 20

// memory is what a worker remembers of records of which nothing may go: changes of a
// record whose insert was refused, children of a refused parent, what is behind
// these, what backs off. They are passed over, and tried again once in a round
// through the stretch; meanwhile their traces hold back what depends on them.
//
// Records that nothing can depend on are remembered only as long as they are met, so
// there may be any number of them. Where there are too many of the others, only what
// depends on nothing goes behind them.
type memory struct {
	stuck  map[key]*stuckRecord
	looked map[key]int // records of the last plan; nil = all
	traces int
	scans  int   // so far
	round  int   // through the stretch
	turn   bool  // this scan ends one
	filled bool  // the last scan ended because it had enough, not because the log did
	pages  int   // of the stretch, as far as known
	paged  int   // of which were read again in this round
	blind  int64 // from here on traces may be missing; 0 = none are
	lately int64 // the same, as far as this round tells
}

// stuckRecord is a record of which nothing could go.
type stuckRecord struct {
	at         time.Time // of the plan
	round, met int       // the round of that, and the last scan that met an entry
	from, upTo int64     // its entries in the plan
	cut        int64     // see backlog.cut
	traces     []*item
}

// begin says that a scan begins, and where the records are that it takes in.
func (m *memory) begin(counts map[key]int) {
	m.scans++
	m.looked, m.turn, m.filled = counts, false, false
}

// meet returns what is known of a stuck record that a scan meets, nil without it.
func (m *memory) meet(k key) *stuckRecord {
	st := m.stuck[k]
	if st != nil {
		st.met = m.scans
	}
	return st
}

// againEvery is how long after a look for nothing the stretch is read again, at least.
const againEvery = 100 * time.Millisecond

// share is how many pages of the stretch to read again at once. Where something in it
// waits a round should take about a second, as it may go meanwhile.
func (m *memory) share() int {
	if len(m.stuck) == 0 {
		return 1
	}
	return min(scanPages, 1+m.pages/10)
}

// pause is how long after a look for nothing that is done, if a round takes so long.
func (m *memory) pause(round time.Duration) time.Duration {
	if len(m.stuck) == 0 {
		return againEvery
	}
	return max(againEvery, round/time.Duration(2+m.pages))
}

// saw reports whether a record would have been seen by the last scan if it had
// entries.
func (w *window) saw(k key) bool { return w.stuck[k] == nil && (w.ahead == 0 || w.looked[k] > 0) }

// overdue reports whether a back-off is over that made the record wait.
func (w *Worker) overdue(k key, st *stuckRecord) bool {
	r, failed := w.retries[k]
	return failed && st.at.Before(r.due) && !w.planner.waits(k)
}

// recall adds what is known of records that are not read.
func (m *memory) recall(b *backlog) {
	for k, st := range m.stuck {
		if m.looked[k] > 0 {
			continue
		}
		b.stuck = append(b.stuck, st.traces...)
		b.cut = earlier(b.cut, st.cut)
	}
	b.blind = earlier(m.blind, m.lately)
}

// earlier is the lower of two ids, where 0 is none.
func earlier(a, b int64) int64 {
	if a == 0 || b > 0 && b < a {
		return b
	}
	return a
}

// learn remembers of which records nothing may go.
func (w *Worker) learn(b backlog, p plan) {
	v := &w.window
	if v.looked == nil {
		return
	}
	byRecord := map[key][]*entry{}
	for _, e := range b.entries {
		byRecord[e.key] = append(byRecord[e.key], e)
	}
	named, fresh := w.planner.namedFields(), 0
	if v.stuck == nil {
		v.stuck = map[key]*stuckRecord{}
	}
	for k := range v.looked {
		before := v.stuck[k]
		if before != nil {
			v.traces -= len(before.traces)
			delete(v.stuck, k)
		}
		entries, items := byRecord[k], p.stuck[k]
		if len(entries) == 0 || len(items) > 0 {
			delete(v.known, k)
		}
		if len(entries) == 0 || len(items) == 0 {
			continue
		}
		st := &stuckRecord{at: w.planned, round: v.round, met: v.scans, from: entries[0].id, upTo: entries[len(entries)-1].id}
		if b.more[k] && w.tables[k.table].refers() {
			st.cut = st.upTo
		}
		for _, i := range items {
			if t := i.trace(named); t != nil && v.traces < tracesMost*w.cfg.Window {
				st.traces = append(st.traces, t)
				v.traces++
			} else if t != nil {
				v.lately = earlier(v.lately, st.from)
			}
		}
		v.stuck[k] = st
		if before == nil {
			fresh++
		}
	}
	if v.filled && fresh > 0 && len(p.calls)+len(p.drops) == 0 {
		v.more = true // now the scan passes over them
	}
	w.expire()
}

// expire ends a round, and forgets records that it has not found any more.
func (w *Worker) expire() {
	v := &w.window
	v.traces = 0
	for k, st := range v.stuck {
		_, failed := w.retries[k]
		unmet := st.met < v.scans && !failed && (v.ahead == 0 || len(st.traces) == 0 && st.cut == 0)
		if unmet || v.turn && !failed && st.round < v.round {
			delete(v.stuck, k)
			continue
		}
		v.traces += len(st.traces)
	}
	if v.turn {
		v.round++
		v.behind = 0
		v.pages, v.paged = v.paged, 0
		v.blind, v.lately = v.lately, 0
	}
}

// trace is what others that depend on the item need of it, nil if nothing can.
func (i *item) trace(named map[string]bool) *item {
	e := &entry{id: i.position(), key: i.key, state: stateNew}
	t := &item{
		key: i.key, table: i.table, op: i.op, entries: []*entry{e}, carrier: e, sfid: i.sfid, waiting: true,
		values: map[string]*string{}, old: map[string]*string{},
	}
	own := i.table.external()
	for n := range i.table.Columns {
		c := &i.table.Columns[n]
		names := c == own || i.op.creates() && named[strings.ToLower(c.Field)]
		if !names && !c.reference() && c.Relationship == "" {
			continue
		}
		v, changed := i.values[c.Name]
		if changed {
			t.values[c.Name] = nil // it is taken out, if nothing is brought in
		}
		keep(t.values, c.Name, v)
		if changed || c == own || i.op == Delete {
			keep(t.old, c.Name, i.old[c.Name])
		}
	}
	_, before := t.table.ownReference(t.old)
	_, now := t.table.ownReference(t.values)
	if before || now || len(t.mentioned()) > 0 || len(t.mentionedRefs()) > 0 || t.op.creates() && len(t.externals(named, t.values)) > 0 {
		return t
	}
	return nil
}
