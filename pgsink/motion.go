package pgsink

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

// Key names the record of a difference, or its row if it has no record.
func (d Difference) Key() string {
	if d.SFID != "" {
		return d.SFID
	}
	return strconv.FormatInt(d.RowID, 10)
}

// keys are the ids that some differences name.
func keys(differences []Difference) (sfids []string, rows []int64) {
	sfids, rows = []string{}, []int64{}
	for _, d := range differences {
		if d.SFID != "" {
			sfids = append(sfids, d.SFID)
		}
		if d.RowID != 0 {
			rows = append(rows, d.RowID)
		}
	}
	return sfids, rows
}

// Existing tells by key which of some differences still have a row; a row
// without a Salesforce id counts only as long as it has none.
func (s *Sink) Existing(ctx context.Context, t *Table, differences []Difference) (map[string]bool, error) {
	sfids, ids := keys(differences)
	set, err := s.askSet(ctx, fmt.Sprintf(`SELECT coalesce(sfid, id::text) FROM %s
		WHERE sfid = ANY ($1::text[]) OR sfid IS NULL AND id = ANY ($2::bigint[])`, t.ident()), sfids, ids)
	if err != nil {
		return nil, fmt.Errorf("pgsink: rows of %s: %w", t.Object, err)
	}
	return set, nil
}

// InMotion tells by key for which of some differences something is under way: a
// mark to be read back, or a log entry of the app to be sent.
func (s *Sink) InMotion(ctx context.Context, t *Table, differences []Difference) (map[string]bool, error) {
	sfids, ids := keys(differences)
	rows, err := s.pool.Query(ctx, `SELECT sfid::text FROM hcbridge.mark WHERE schema = $1 AND object = $2 AND sfid = ANY ($3::text[])`, s.schema, t.Object, sfids)
	if err != nil {
		return nil, fmt.Errorf("pgsink: marks of %s: %w", t.Object, err)
	}
	moving, err := collectSet(rows, "marks of "+t.Object)
	if err != nil {
		return nil, err
	}
	log := quote(s.schema, "_trigger_log")
	var logged bool
	if err := s.pool.QueryRow(ctx, `SELECT to_regclass($1) IS NOT NULL`, log).Scan(&logged); err != nil || !logged {
		return moving, err
	}
	rows, err = s.pool.Query(ctx, fmt.Sprintf(`SELECT coalesce(sfid::text, ''), coalesce(record_id, 0)::bigint FROM %s
		WHERE table_name = $1 AND state IN ('NEW', 'PENDING') AND (sfid = ANY ($2::text[]) OR record_id = ANY ($3::bigint[]))`, log), t.Name, sfids, ids)
	if err != nil {
		return nil, fmt.Errorf("pgsink: log entries of %s: %w", t.Object, err)
	}
	byRow := map[int64]bool{}
	var sfid string
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&sfid, &id}, func() error { moving[sfid], byRow[id] = true, true; return nil }); err != nil {
		return nil, fmt.Errorf("pgsink: log entries of %s: %w", t.Object, err)
	}
	for _, d := range differences {
		if d.RowID != 0 && byRow[d.RowID] {
			moving[d.Key()] = true
		}
	}
	return moving, nil
}

// Referring returns the ids of the rows of t whose column holds one of ids.
func (s *Sink) Referring(ctx context.Context, t *Table, column string, ids []string) ([]string, error) {
	list, err := s.askIDs(ctx, fmt.Sprintf(`SELECT sfid::text FROM %s WHERE %s = ANY ($1::text[]) AND sfid IS NOT NULL`, t.ident(), quote(column)), ids)
	if err != nil {
		return nil, fmt.Errorf("pgsink: children in %s: %w", t.Object, err)
	}
	return list, nil
}

func collectSet(rows pgx.Rows, what string) (map[string]bool, error) {
	set := map[string]bool{}
	var key string
	if _, err := pgx.ForEachRow(rows, []any{&key}, func() error { set[key] = true; return nil }); err != nil {
		return nil, fmt.Errorf("pgsink: %s: %w", what, err)
	}
	return set, nil
}
