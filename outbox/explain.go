package outbox

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// explain leaves out the records that equal nothing which was sent and have no row,
// but are of other entries all the same: those that the archive names, whatever has
// become of the row, and those under the external ids of upserts that are not
// answered. An insert is parked for what remains, so it is asked for only then.
func (w *Worker) explain(ctx context.Context, t *Table, found []Candidate, oldest time.Duration) ([]Candidate, error) {
	var strange, rest []Candidate
	for _, c := range found {
		if len(c.Equal) == 0 && !c.Deleted {
			strange = append(strange, c)
		} else {
			rest = append(rest, c)
		}
	}
	strange, err := w.unnamed(ctx, strange, w.sql.handled, t.Name, (oldest + time.Hour).Seconds())
	if err != nil || len(strange) == 0 {
		return rest, err
	}
	keyed, err := w.openUpserts(ctx, t, oldest)
	if err != nil {
		return nil, err
	}
	if len(keyed) > 0 {
		theirs, err := w.find(ctx, t.Object, t.ExternalID, keyed)
		if err != nil && failureOf(err).Class != Permanent {
			return nil, err
		}
		strange = slices.DeleteFunc(strange, func(c Candidate) bool {
			return slices.ContainsFunc(theirs, func(o Candidate) bool { return o.SFID == c.SFID })
		})
	}
	return append(rest, strange...), nil
}

// openUpserts lists the upserts to a table that may have taken effect and have no
// answer, by their external ids.
func (w *Worker) openUpserts(ctx context.Context, t *Table, oldest time.Duration) (list []Attempt, err error) {
	column := t.external()
	if column == nil {
		return nil, nil
	}
	var ids []int64
	note := func(k key) {
		if k.table == t.Name {
			ids = append(ids, k.id)
		}
	}
	for _, d := range w.doubts {
		note(d.item.key)
	}
	for k := range w.retries {
		note(k)
	}
	w.latesMu.Lock()
	for k := range w.lates {
		note(k)
	}
	w.latesMu.Unlock()
	rows, err := w.pool.Query(ctx, w.sql.unanswered, t.Name, ids)
	if err != nil {
		return nil, err //nolint:wrapcheck // wrapped by lookFor
	}
	var values *string
	_, err = pgx.ForEachRow(rows, []any{&values}, func() error {
		v := (&entry{}).read(values, nil)[column.Name]
		if !set(v) {
			return nil
		}
		fields, err := fieldsOf(t, Upsert, map[string]*string{column.Name: v})
		if err == nil {
			list = append(list, Attempt{Fields: fields, Age: oldest})
		}
		return nil
	})
	return list, err //nolint:wrapcheck // wrapped by lookFor
}
