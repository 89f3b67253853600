package outbox

import (
	"context"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/pgstats"
)

// How much one run looks at.
const (
	scanPages = 4 // pages of Config.Window entries in short form

	// Changes of one record. In ordered mode each is a call of its own, and
	// other records wait for the run to end.
	perRecordOrdered = 20
	perRecordMerged  = 1000

	// Bytes of entries after which a plan is large enough: a long text is in the entry
	// twice, and there may be thousands of those.
	planBytes = 16 << 20

	glanceMost = 20 // entries of a log that is read as a whole
)

func (w *Worker) perRecord() int {
	if w.cfg.Algorithm == Merged {
		return perRecordMerged
	}
	return perRecordOrdered
}

// window is where runs look. The oldest entries are looked at in each. Where
// those are of few records (thousands of changes of one), or of many that may not
// go (they back off, or their insert was refused), looking goes on behind them, and
// to spare the next run the way, the worker remembers the stretch and its records.
//
// That is a hint and no more. The stretch is read again piece by piece, a page or
// a few with each run, because transactions with lower ids may commit later, and
// what waits may go meanwhile; and all changes of a record are read by its key
// (changes.sql), so that none overtakes one that the scan has not seen.
type window struct {
	ahead  int64        // end of the stretch; 0 = none
	behind int64        // up to here it was read again
	known  map[key]bool // its records of which something goes now and then, part of every plan
	more   bool         // the log goes on behind it, unseen

	memory
}

// scan returns the records to plan for, and whether the log has more than it
// looked at first. Its cost is bounded by Config.Window, whatever the size of the
// log.
func (w *Worker) scan(ctx context.Context) (keys []key, full bool, err error) {
	s := scanner{worker: w, counts: map[key]int{}, kinds: map[string]int{}}
	w.window.begin(s.counts)
	next, err := s.page(ctx, 0)
	if err != nil {
		return nil, false, err
	}
	full, w.short = next > 0 || s.heavy, next == 0 && s.read < glanceMost
	if !w.short {
		pgstats.Correct(ctx, w.pool, w.log, w.sql.log, s.read)
	}
	w.window.more = false
	if next == 0 || s.enough() { // the usual case
		w.window = window{memory: w.window.memory}
		for next > 0 && err == nil && s.room() {
			next, err = s.page(ctx, next)
		}
		w.window.turn, w.window.filled = !s.left, next > 0
		return s.keys, full, err
	}
	if next < w.window.ahead {
		if err := s.again(ctx, next); err != nil {
			return nil, full, err
		}
		next = w.window.ahead
	} else {
		w.window.turn = !s.left
	}
	for range scanPages {
		if w.window.more = len(s.keys)-s.aside <= 2*w.cfg.Window; w.window.more {
			if next > w.window.ahead {
				w.window.pages++
			}
			w.window.ahead, w.window.known = next, s.all()
		}
		if next, err = s.page(ctx, next); err != nil {
			return nil, full, err
		}
		if next == 0 || s.enough() {
			w.window.more, w.window.filled = false, next > 0
			return s.keys, full, nil
		}
	}
	return s.keys, full, nil
}

// scanner is one scan.
type scanner struct {
	worker *Worker
	counts map[key]int
	keys   []key // in order of their oldest entry
	read   int   // entries, of no record too
	found  int   // entries that can be sent now
	bytes  int   // of all that were added
	heavy  bool  // and more than planBytes
	kinds  map[string]int

	back   bool // it reads the stretch again
	aside  int  // keys that do not count, as they wait, have failed or are of the stretch
	burden int  // bytes of those
	left   bool // some were left out, as that is too much
}

// page reads entries after an id and returns the last one's, 0 at the end of
// the log. What waits for a person is passed over.
func (s *scanner) page(ctx context.Context, after int64) (last int64, err error) {
	limit := s.worker.cfg.Window
	rows, err := s.worker.pool.Query(ctx, s.worker.sql.window, after, limit)
	if err != nil {
		return 0, err //nolint:wrapcheck // wrapped by load
	}
	var table *string
	var id *int64
	var from, upTo int64
	n, all, bytes := 0, 0, 0
	_, err = pgx.ForEachRow(rows, []any{&from, &upTo, &table, &id, &n, &bytes}, func() error {
		last, all = max(last, upTo), all+n
		if table != nil && id != nil && !s.heavy && !s.worker.guard.stops(*table, from) && s.add(key{*table, *id}, n, upTo, bytes) {
			s.kinds[*table] += n
			s.bytes += bytes
			s.heavy = s.found > 0 && s.bytes > planBytes
		}
		return nil
	})
	s.read += all
	if all < limit {
		last = 0
	}
	return last, err //nolint:wrapcheck // wrapped by load
}

// add takes in n entries of a record, the last of them upTo, and reports whether
// they count. Those of records that wait or have failed before go along, as far as
// there is something to try: else they would take the place of what is new.
func (s *scanner) add(k key, n int, upTo int64, bytes int) bool {
	w := s.worker
	if t := w.tables[k.table]; t == nil || !t.ReadWrite {
		return false
	}
	before, stuck := s.counts[k], w.window.meet(k)
	_, failed := w.retries[k]
	aside := s.back || stuck != nil || failed || w.runsOn(k) != nil
	if aside && before == 0 {
		old := stuck != nil && upTo <= stuck.upTo
		if old && stuck.round == w.window.round && !w.overdue(k, stuck) {
			return false
		}
		if s.burden > planBytes && (old || s.back) {
			s.left = true
			return false
		}
		s.aside++
	}
	s.counts[k] += n
	if before == 0 {
		s.keys = append(s.keys, k)
	}
	if aside {
		s.burden += bytes
		return false
	}
	s.found += max(0, min(n, perRecordOrdered-before))
	return true
}

// room reports whether more would go at the same time, of what is found, and not be
// too large: as many full calls as may be under way, so that one is claimed and
// written down while others travel, or a job.
func (s *scanner) room() bool {
	w := s.worker
	most := w.pace.now * w.cfg.BatchSize
	if w.cfg.Bulk != nil && s.alike() {
		most = max(most, bulkMost)
	}
	return !s.heavy && len(s.keys) < most
}

// alike reports whether nearly all changes are of one table, as after a load.
func (s *scanner) alike() bool {
	most, all := 0, 0
	for _, n := range s.kinds {
		most, all = max(most, n), all+n
	}
	return most*10 >= all*9
}

// enough reports whether there is a good plan's worth of changes.
func (s *scanner) enough() bool { return s.heavy || s.found >= s.worker.cfg.Window/2 }

// again reads the next pages of the known stretch, behind the head of the log,
// and brings in the records of all of it of which something goes now and then, or
// may go now: what waits must be seen by what depends on it.
func (s *scanner) again(ctx context.Context, head int64) error {
	v := &s.worker.window
	if v.behind < head || v.behind >= v.ahead {
		v.behind = head
	}
	s.back = true
	for range v.share() {
		last, err := s.page(ctx, v.behind)
		if err != nil {
			return err
		}
		if last == 0 {
			last = v.ahead
		}
		if s.left { // they are part of this page, or of the head
			break
		}
		v.behind = last
		v.paged++
		if v.turn = v.behind >= v.ahead; v.turn {
			break
		}
	}
	s.back = false
	for k := range v.known {
		s.bring(k)
	}
	n := 0
	for k := range s.worker.retries {
		if st := v.stuck[k]; n < s.worker.cfg.BatchSize && st != nil && st.from <= v.ahead && s.worker.overdue(k, st) && s.bring(k) {
			n++
			s.aside++
		}
	}
	return nil
}

// bring takes in a record wherever its entries stand, and reports whether it was not
// there before.
func (s *scanner) bring(k key) bool {
	if s.counts[k] > 0 {
		return false
	}
	s.counts[k], s.keys = 1, append(s.keys, k)
	return true
}

func (s *scanner) all() map[key]bool {
	set := make(map[key]bool, len(s.keys))
	for _, k := range s.keys {
		set[k] = true
	}
	return set
}
