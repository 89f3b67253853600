package pgsink

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/read_state.sql
var readStateSQL string

//go:embed sql/write_state.sql
var writeStateSQL string

// State is what the bridge remembers of an object. Zero times and empty texts
// are null in the database.
type State struct {
	Object      string
	State       string    // INITIAL, DATA_SYNCED …
	Message     string    // for people
	Loaded      int64     // records loaded by the current or last load
	ToLoad      int64     // records it expects
	LoadJob     string    // Bulk job of a load under way
	LoadLocator string    // page of its result that is being loaded; empty is the first
	LoadDone    int64     // records of that page that are loaded
	LoadStarted time.Time // Salesforce's clock
	LoadedAt    time.Time // end of the last complete load
	PollMark    time.Time // when the last poll of each depth began, Salesforce's clock
	LateMark    time.Time
	DriftMark   time.Time
	FullMark    time.Time
	FullWanted  bool      // everything is to be compared, beginning after this was set, whatever FullMark says
	CoveredMark time.Time // latestDateCovered of getUpdated
	DeletedMark time.Time // and of getDeleted
	LastPollAt  time.Time
	LastEventAt time.Time
	LastWriteAt time.Time
}

// ReadState returns an object's state, with only Object set if there is none.
func (s *Sink) ReadState(ctx context.Context, object string) (State, error) {
	st, err := readState(ctx, s.pool, readStateSQL+` AND object = $2`, s.schema, object)
	if err != nil {
		return State{}, fmt.Errorf("pgsink: state of %s: %w", object, err)
	}
	return st, nil
}

// States returns the states of all objects that have one, by object.
func (s *Sink) States(ctx context.Context) (map[string]State, error) {
	rows, err := s.pool.Query(ctx, readStateSQL, s.schema)
	if err != nil {
		return nil, fmt.Errorf("pgsink: states: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanState)
	if err != nil {
		return nil, fmt.Errorf("pgsink: states: %w", err)
	}
	all := make(map[string]State, len(list))
	for _, st := range list {
		all[st.Object] = st
	}
	return all, nil
}

// WriteState changes an object's state in a transaction of its own. change
// sees the stored state and edits it; concurrent changes of other fields are
// not lost.
func (s *Sink) WriteState(ctx context.Context, object string, change func(*State)) error {
	return s.Tx(ctx, func(tx pgx.Tx) error { return s.WriteStateTx(ctx, tx, object, change) })
}

// WriteStateTx does the same in the caller's transaction, for a state that must
// move together with marks or rows.
func (s *Sink) WriteStateTx(ctx context.Context, tx pgx.Tx, object string, change func(*State)) error {
	_, err := tx.Exec(ctx, `INSERT INTO hcbridge.object (schema, object) VALUES ($1, $2) ON CONFLICT DO NOTHING`, s.schema, object)
	if err != nil {
		return fmt.Errorf("pgsink: state of %s: %w", object, err)
	}
	st, err := readState(ctx, tx, readStateSQL+` AND object = $2 FOR UPDATE`, s.schema, object)
	if err != nil {
		return fmt.Errorf("pgsink: state of %s: %w", object, err)
	}
	change(&st)
	_, err = tx.Exec(ctx, writeStateSQL, s.schema, object, st.State, st.Message, st.Loaded, st.ToLoad,
		st.LoadJob, st.LoadLocator, st.LoadDone, toNull(st.LoadStarted), toNull(st.LoadedAt), toNull(st.PollMark),
		toNull(st.LateMark), toNull(st.DriftMark), toNull(st.FullMark), toNull(st.CoveredMark), toNull(st.DeletedMark),
		toNull(st.LastPollAt), toNull(st.LastEventAt), toNull(st.LastWriteAt), st.FullWanted)
	if err != nil {
		return fmt.Errorf("pgsink: state of %s: %w", object, err)
	}
	return nil
}

// querier is what the pool and a transaction share.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func readState(ctx context.Context, db querier, sql, schema, object string) (State, error) {
	rows, err := db.Query(ctx, sql, schema, object)
	if err != nil {
		return State{}, err
	}
	st, err := pgx.CollectExactlyOneRow(rows, scanState)
	if errors.Is(err, pgx.ErrNoRows) {
		return State{Object: object}, nil
	}
	return st, err
}

func scanState(row pgx.CollectableRow) (State, error) {
	var st State
	to := [...]*time.Time{
		&st.LoadStarted, &st.LoadedAt, &st.PollMark, &st.LateMark, &st.DriftMark, &st.FullMark,
		&st.CoveredMark, &st.DeletedMark, &st.LastPollAt, &st.LastEventAt, &st.LastWriteAt,
	}
	var times [len(to)]*time.Time
	targets := []any{&st.Object, &st.State, &st.Message, &st.Loaded, &st.ToLoad, &st.LoadJob, &st.LoadLocator, &st.LoadDone}
	for i := range times {
		targets = append(targets, &times[i])
	}
	err := row.Scan(append(targets, &st.FullWanted)...)
	for i := range to {
		*to[i] = fromNull(times[i])
	}
	return st, err
}
