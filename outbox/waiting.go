package outbox

import (
	"context"
	"fmt"
	"strings"
)

// A change that names a record whose insert was refused waits until that is made. Its
// entry stays NEW, and says once what it waits for.

// parent is a refused one, and the entry that was.
type parent struct {
	reference
	entry int64
}

func (p parent) String() string {
	return fmt.Sprintf("%s: waits for the record with %s %q, whose insert was refused, see entry %d",
		CodeParent, strings.TrimPrefix(p.field, "."), p.value, p.entry)
}

func (e *entry) behind() bool { return strings.HasPrefix(e.message, CodeParent) }

// tellWaiting notes at entries that nothing was said of what they wait for.
func (w *Worker) tellWaiting(ctx context.Context, items []*item) error {
	var ids []int64
	var messages []string
	objects := map[string]int{}
	for _, i := range items {
		before := len(ids)
		for _, e := range i.entries {
			if e.state != stateNew || e.message != "" && !e.behind() || e.message == i.behind.String() {
				continue
			}
			e.message = i.behind.String()
			ids, messages = append(ids, e.id), append(messages, e.message)
		}
		if len(ids) > before {
			objects[i.table.Object]++
		}
	}
	if len(ids) == 0 {
		return nil
	}
	if _, err := w.pool.Exec(ctx, w.sql.behind, ids, messages); err != nil {
		return err //nolint:wrapcheck // wrapped by drain
	}
	for object, n := range objects {
		w.log.Info().Str("event", "parent_refused").Str("object", object).Int("rows", n).
			Msg("changes wait for records that they name, whose insert was refused; sf_message of their entries tells which")
	}
	return nil
}
