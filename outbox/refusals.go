package outbox

import (
	"maps"
	"slices"
	"time"
)

// refusalsEvery is how often the log tells of an object's refused changes, at most.
const refusalsEvery = time.Minute

// refusals are the changes of an object that Salesforce has refused and of which the
// log has not told yet, but one by one on its lowest level.
type refusals struct {
	entries int
	code    string    // of the last
	told    time.Time // when the log told of some before
}

// refuse counts a refused change.
func (w *Worker) refuse(object, code string) {
	r := w.refusals[object]
	if r == nil {
		r = &refusals{}
		w.refusals[object] = r
	}
	r.entries, r.code = r.entries+1, code
}

// tellRefused tells of the refused changes of each object, the first ones at once.
func (w *Worker) tellRefused(now time.Time) {
	for _, object := range slices.Sorted(maps.Keys(w.refusals)) {
		r := w.refusals[object]
		if r.entries == 0 || now.Sub(r.told) < refusalsEvery {
			continue
		}
		w.log.Warn().Str("event", "writes_refused").Str("object", object).Int("rows", r.entries).Str("error", r.code).
			Msg("Salesforce refuses changes; `hcbridge errors` tells which and why")
		r.entries, r.told = 0, now
	}
}
