package pgsink

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/loaded.sql
var loadedSQL string

//go:embed sql/load_known.sql
var loadKnownSQL string

//go:embed sql/load_unsent.sql
var loadUnsentSQL string

// LoadPosition says how far the load of an object has come.
type LoadPosition struct {
	Job     string // query job
	Locator string // page of its result
	Done    int64  // records of that page that are loaded
	Loaded  int64  // records of the job that are loaded
}

// LoadChunk writes a chunk of a load and moves the load's state to where reached
// says, in one transaction, so that a load goes on after a crash where it
// stopped. reached is called when the records are written and reports false if
// the state must stay: chunks may be written side by side, and only the caller
// knows whether the ones before this are durable.
//
// Records that the table does not know are copied into it. All others are
// merged: a record is written where it is newer than its row. With equal stamps
// and other values it is written if the load began a minute or more after that
// stamp (object state LoadStarted), and else marked. A record that is marked
// and has no row is left to its mark: it may have been deleted since the load
// began. Rows with unsent changes are held, and refused records parked, as in
// Apply. Records with IsDeleted are passed over. Rows that the load does not
// mention are not touched, so deletes since the load began must be looked for
// afterwards.
//
// On error nothing is known to be written, and the chunk can be loaded again.
func (s *Sink) LoadChunk(ctx context.Context, c *Chunk, reached func() (LoadPosition, bool)) error {
	var res Result
	err := s.Tx(ctx, func(tx pgx.Tx) (err error) {
		if res, err = s.loadRecords(ctx, tx, c); err != nil {
			return err
		}
		if at, ok := reached(); ok {
			_, err := tx.Exec(ctx, loadedSQL, s.schema, c.Table.Object, at.Loaded, at.Job, at.Locator, at.Done)
			if err != nil {
				return fmt.Errorf("state: %w", err)
			}
		}
		s.log.Debug().Str("event", "chunk_loaded").Str("object", c.Table.Object).Int64("rows", c.Rows).
			Int("inserted", res.Inserted).Int("updated", res.Updated).Int("held", res.Held).Int("parked", res.Parked).
			Msg("a chunk of the load is written")
		return nil
	})
	if err == nil {
		_, err = s.parkSwallowed(ctx, res)
	}
	if err != nil {
		return fmt.Errorf("pgsink: load %d records of %s: %w", c.Rows, c.Table.Object, err)
	}
	return nil
}

func (s *Sink) loadRecords(ctx context.Context, tx pgx.Tx, c *Chunk) (Result, error) {
	if len(c.ids) == 0 {
		return Result{}, nil
	}
	// A deferred constraint would speak up at the commit, when nobody can tell
	// which record it means.
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return Result{}, err
	}
	known, err := s.known(ctx, tx, c)
	if err != nil {
		return Result{}, fmt.Errorf("look up: %w", err)
	}
	unsent, err := s.unsent(ctx, tx, c.Table)
	if err != nil {
		return Result{}, err
	}
	var direct, merged []int
	for i, id := range c.ids {
		hasRow, isKnown := known[id]
		switch {
		case isKnown && !hasRow: // its mark has it read
		case isKnown || unsent || len(c.tuple(i)) == 0:
			merged = append(merged, i)
		default:
			direct = append(direct, i)
		}
	}
	res := Result{}
	if len(direct) > 0 {
		done, err := s.copyDirect(ctx, tx, c, direct)
		if err != nil {
			return Result{}, fmt.Errorf("copy: %w", err)
		}
		if done {
			res.Inserted = len(direct)
		} else {
			merged = append(merged, direct...)
			slices.Sort(merged)
		}
	}
	if len(merged) == 0 {
		return res, nil
	}
	found, err := s.mergeRecords(ctx, tx, c, merged)
	res.Add(found)
	return res, err
}

// known looks up the records of a chunk: true for those that have a row, false
// for those that have only a mark.
func (s *Sink) known(ctx context.Context, tx pgx.Tx, c *Chunk) (map[string]bool, error) {
	sql := strings.NewReplacer("{table}", c.Table.ident(), "{name}", literal(c.Table.ident())).Replace(loadKnownSQL)
	// Not prepared: a plan that was made for the empty table would not do.
	rows, err := tx.Query(ctx, sql, pgx.QueryExecModeExec, s.schema, c.Table.Object, c.ids, slices.Min(c.ids), slices.Max(c.ids))
	if err != nil {
		return nil, err
	}
	known := make(map[string]bool)
	var id string
	var hasRow bool
	_, err = pgx.ForEachRow(rows, []any{&id, &hasRow}, func() error {
		known[id] = known[id] || hasRow
		return nil
	})
	return known, err
}

// unsent reports whether the app's own changes forbid to copy.
func (s *Sink) unsent(ctx context.Context, tx pgx.Tx, t *Table) (unsent bool, err error) {
	if !t.ReadWrite {
		return false, nil
	}
	sql := strings.NewReplacer("{table}", t.ident(), "{log}", quote(t.Schema, "_trigger_log"), "{table_name}", literal(t.Name)).Replace(loadUnsentSQL)
	if err := tx.QueryRow(ctx, sql, t.external >= 0).Scan(&unsent); err != nil {
		return false, fmt.Errorf("unsent changes: %w", err)
	}
	return unsent, nil
}

// errNotCopied undoes a copy after all.
var errNotCopied = errors.New("not all records were copied, or not safely")

// copyDirect copies records into the table. It reports false, and has copied
// nothing, if Postgres refuses one of them or somebody was faster; which one,
// and why, is for the merge to find out.
func (s *Sink) copyDirect(ctx context.Context, tx pgx.Tx, c *Chunk, records []int) (bool, error) {
	var copied int64
	err := pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) error {
		tag, err := sub.Conn().PgConn().CopyFrom(ctx, c.reader(records), c.Table.copySQL(c.csv))
		if err != nil {
			return err
		}
		copied = tag.RowsAffected()
		// An app's delete that came after the first look may have let a record in.
		unsent, err := s.unsent(ctx, sub, c.Table)
		if err == nil && (unsent || copied != int64(len(records))) {
			err = errNotCopied
		}
		return err
	})
	if _, refused := dataError(err); refused || isConflict(err) || errors.Is(err, errNotCopied) {
		return false, nil
	}
	return err == nil, err
}

// reader is a COPY of records of the chunk, which all have tuples.
func (c *Chunk) reader(records []int) io.Reader {
	header := append([]byte("PGCOPY\n\xff\r\n\x00"), make([]byte, 8)...) // no flags, no extension
	parts := []io.Reader{bytes.NewReader(header)}
	for len(records) > 0 {
		n := 1
		for n < len(records) && records[n] == records[0]+n {
			n++
		}
		first, last := c.tuple(records[0]), c.ends[records[n-1]]
		start := c.ends[records[0]] - len(first)
		parts = append(parts, bytes.NewReader(c.tuples[start:last]))
		records = records[n:]
	}
	return io.MultiReader(append(parts, bytes.NewReader([]byte{0xff, 0xff}))...)
}

// copySQL names the columns of a chunk's tuples.
func (t *Table) copySQL(csv *CSV) string {
	var names []string
	for _, i := range csv.columns {
		switch {
		case i == fieldID:
			names = append(names, quote(colSFID))
		case i >= 0:
			names = append(names, quote(t.Columns[i].Name))
		}
	}
	return fmt.Sprintf("COPY %s (%s, %s) FROM STDIN (FORMAT binary)", t.ident(), strings.Join(names, ", "), quote(colLastOp))
}

// FinishLoad notes that an object is loaded, with how many records. It also tells Postgres that the
// table has grown, so that plans made when it was empty are not kept until
// autovacuum comes by; that is a courtesy, and what goes wrong is passed over.
func (s *Sink) FinishLoad(ctx context.Context, t *Table, loaded int64) error {
	err := s.WriteState(ctx, t.Object, func(st *State) {
		st.LoadedAt, st.Loaded = time.Now(), loaded
		st.LoadJob, st.LoadLocator, st.LoadDone = "", "", 0
	})
	if err != nil {
		return err
	}
	if err := s.Tx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "ANALYZE "+t.ident())
		return err
	}); err != nil {
		s.log.Debug().Str("event", "analyze_skipped").Str("object", t.Object).Err(err).Msg("statistics are left to autovacuum")
	}
	return nil
}
