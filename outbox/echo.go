package outbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// An event can tell that an update took effect whose answer was lost, even when the
// record does not show it any more. So whoever reads events asks [Worker.Sent] whether
// an update of the record is on its way, and if the event has its values writes the
// entry's id to <schema>._trigger_log_echo, in the transaction that the event's position
// moves in: so it is known in the next process, too. An event that is not newer than the
// request may be that of an earlier change to the same values.

// Sent is an update that is on its way, or of which nobody knows yet what became of it.
type Sent struct {
	Entry  int64          // in the trigger log
	Fields map[string]any // as sent, see [Record]
	Age    time.Duration  // since it was sent first
}

// sent are the updates on their way, by the record's id without its suffix. It is safe
// for concurrent use.
type sent struct {
	mu    sync.RWMutex
	items map[string]underway
}

type underway struct {
	item *item
	at   time.Time
}

// suffixless is an id in its form of 15 characters.
func suffixless(sfid string) string {
	if len(sfid) == 18 {
		return sfid[:15]
	}
	return sfid
}

// begin notes items that are sent at a time, or were before.
func (s *sent) begin(items []*item, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.items == nil {
		s.items = map[string]underway{}
	}
	for _, i := range items {
		id := suffixless(i.sfid)
		if u := s.items[id]; u.item == nil || u.item.carrier != i.carrier || at.Before(u.at) {
			s.items[id] = underway{i, at}
		}
	}
}

// end forgets an item.
func (s *sent) end(i *item) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.items, suffixless(i.sfid))
}

// Sent returns the update of a record that is on its way, nil if there is none. It is
// safe for concurrent use, beside Run too.
func (w *Worker) Sent(sfid string) *Sent {
	w.sent.mu.RLock()
	u := w.sent.items[suffixless(sfid)]
	w.sent.mu.RUnlock()
	if u.item == nil {
		return nil
	}
	fields, _ := fieldsOf(u.item.table, Update, u.item.values) // sent, so it has a form
	return &Sent{Entry: u.item.carrier.id, Fields: fields, Age: time.Since(u.at)}
}

// echoed returns which of some entries an event was seen of.
func (w *Worker) echoed(ctx context.Context, ids []int64) (map[int64]bool, error) {
	seen := map[int64]bool{}
	if len(ids) == 0 {
		return seen, nil
	}
	rows, err := w.pool.Query(ctx, w.sql.echoed, ids)
	if err != nil {
		return nil, fmt.Errorf("echoes: %w", err)
	}
	var id int64
	_, err = pgx.ForEachRow(rows, []any{&id}, func() error {
		seen[id] = true
		return nil
	})
	return seen, err //nolint:wrapcheck // of the same query
}
