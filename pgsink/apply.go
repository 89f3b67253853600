package pgsink

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/pgstats"
)

//go:embed sql/lock_marks.sql
var lockMarksSQL string

//go:embed sql/answer_marks.sql
var answerMarksSQL string

//go:embed sql/echo.sql
var echoSQL string

//go:embed sql/clear.sql
var clearSQL string

const (
	// maxAttempts is how often a transaction is run that lost a deadlock or
	// waited too long for a mark; the caller may well try again later.
	maxAttempts = 4
	// firstWait is the wait before the second attempt; it doubles.
	firstWait = 20 * time.Millisecond
	// manyRows are so many that a plan which reads the table for each takes seconds.
	manyRows = 200
	// rollbackTimeout bounds the clean-up of a failed transaction.
	rollbackTimeout = 5 * time.Second
)

// Apply writes a batch: marks and positions are durable together and never
// before their rows. It is one transaction, but for events of one table of which
// some are not newer than their rows: the others are then durable first.
//
// An error means that nothing is known to be written; after a lost connection
// the commit may still have happened. Applying the same batch again is always
// right. Records that Postgres refuses are no error: they go to
// hcbridge.read_error and the others are written. Nor are those that need what
// somebody else has locked, a row, a key or the whole table: they are held. Unless
// [Sink.Durable] is set, a crash of Postgres may take back the Applies of its last
// moment, positions and all.
func (s *Sink) Apply(ctx context.Context, b Batch) (Result, error) {
	p, err := s.fold(b)
	if err != nil {
		return Result{}, err
	}
	if len(p.groups)+len(p.done)+len(p.marks)+len(p.positions)+len(p.echoes) == 0 {
		return Result{}, nil
	}
	for _, g := range p.groups {
		// Of so many each is looked up in a table that an app may just have filled. The
		// plan of before goes through all of it for each.
		if len(g.items) >= manyRows {
			pgstats.Correct(ctx, s.pool, s.log, g.table.ident(), len(g.items))
		}
	}
	run, quick, looking, wait := s.pipelined, p.onlyEvents(), false, firstWait
	for attempt := 1; ; attempt++ {
		if quick {
			run = s.quickly
		}
		res, err := run(ctx, p)
		if err == nil {
			return s.parkSwallowed(ctx, res)
		}
		if quick && isServer(err) && !errors.Is(err, ErrFenced) {
			run, quick = s.pipelined, false // which passes over locked rows
			continue
		}
		if _, refused := dataError(err); !looking && (refused || waitedInVain(err)) {
			run, looking = s.isolated, true // for the record
			if refused {
				continue
			}
		}
		if !isConflict(err) || attempt >= maxAttempts {
			return Result{}, fmt.Errorf("pgsink: apply %d changes: %w", len(b.Changes), err)
		}
		s.log.Debug().Str("event", "apply_retry").Int("attempt", attempt).Err(err).Msg("the transaction is run again")
		if err := sleep(ctx, wait); err != nil {
			return Result{}, err
		}
		wait *= 2
	}
}

// sleep waits or ends with the context.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// step is one statement of a transaction. read takes its rows, if it has any.
type step struct {
	sql  string
	args []any
	read func(pgx.Rows) error
	wrap func(error) error
}

// before are the steps that come ahead of the rows: all that is known of marks by then.
// Whoever waits for a mark has nothing yet for which its holder could wait.
func (s *Sink) before(p *plan, settings string) []step {
	steps := []step{s.settings(settings)}
	if len(p.groups)+len(p.done) > 0 {
		objects, sfids, barred := p.locks()
		steps = append(steps, step{sql: lockMarksSQL, args: []any{s.schema, objects, sfids, barred}})
	}
	first, _ := p.marksInOrder()
	if args := s.markArgs(first); args != nil {
		steps = append(steps, step{sql: markSQL, args: args})
	}
	return steps
}

// marksInOrder are the marks that are set before the rows, and those of records whose
// marks this transaction answers: they are there, and locked, and set again when it has
// been seen whether the answer counts.
func (p *plan) marksInOrder() (before, after []Mark) {
	type key struct{ object, sfid string }
	answered := make(map[key]bool, len(p.done))
	for _, d := range p.done {
		if id, ok := canonID(d.SFID); ok {
			answered[key{d.Object, id}] = true
		}
	}
	for _, m := range p.marks {
		if id, _ := canonID(m.SFID); answered[key{m.Object, id}] {
			after = append(after, m)
		} else {
			before = append(before, m)
		}
	}
	return before, after
}

// locks are the records of which the marks are locked, and which of them are barred.
func (p *plan) locks() (objects, sfids []string, barred []bool) {
	add := func(object, sfid string, bars bool) {
		if id, ok := canonID(sfid); ok {
			objects, sfids, barred = append(objects, object), append(sfids, id), append(barred, bars)
		}
	}
	for _, g := range p.groups {
		for _, it := range g.items {
			add(g.table.Object, it.row.SFID, it.bars())
		}
	}
	for _, d := range p.done {
		add(d.Object, d.SFID, false)
	}
	for _, m := range p.marks {
		add(m.Object, m.SFID, false)
	}
	return objects, sfids, barred
}

// after are the steps that follow the rows.
func (s *Sink) after(p *plan) []step {
	var steps []step
	if len(p.done) > 0 {
		objects, sfids, seqs := doneArrays(p.done)
		steps = append(steps, step{sql: answerMarksSQL, args: []any{s.schema, objects, sfids, seqs}})
	}
	if _, last := p.marksInOrder(); len(last) > 0 {
		steps = append(steps, step{sql: markSQL, args: s.markArgs(last)})
	}
	for _, g := range p.groups {
		if ids := g.deletions(); len(ids) > 0 {
			steps = append(steps, step{sql: visibleSQL, args: []any{s.schema, g.table.Object, ids}})
		}
	}
	if len(p.echoes) > 0 {
		steps = append(steps, step{sql: fmt.Sprintf(echoSQL, quote(s.schema, "_trigger_log_echo")), args: []any{p.echoes}})
	}
	if len(p.positions) > 0 {
		steps = append(steps, step{sql: positionSQL, args: s.positionArgs(p.positions)})
	}
	return steps
}

// pipelined runs the whole transaction in one round trip.
func (s *Sink) pipelined(ctx context.Context, p *plan) (Result, error) {
	res := Result{Marked: len(p.marks)}
	steps := append([]step{{sql: "BEGIN"}}, s.before(p, promptSQL)...)
	for _, g := range p.groups {
		sql, args := g.statement()
		steps = append(steps, step{sql: sql, args: args, read: func(rows pgx.Rows) error { return res.read(g.table, rows) }})
	}
	steps = append(append(steps, s.after(p)...), step{sql: "COMMIT"})

	conn, err := s.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Release()
	texts := make([]string, len(p.groups))
	for i, g := range p.groups {
		texts[i] = g.text()
	}
	if err := prepare(ctx, conn, texts); err != nil {
		return Result{}, err
	}
	if err := send(ctx, conn, steps); err != nil {
		rollback(ctx, conn)
		return Result{}, err
	}
	return res, nil
}

// prepare makes the statements that this connection meets for the first time.
// pgx would do it by itself, but outside the transaction, where it waits for an
// exclusive lock on the table as long as that is held.
func prepare(ctx context.Context, conn *pgxpool.Conn, texts []string) error {
	switch conn.Conn().Config().DefaultQueryExecMode {
	case pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe:
	default:
		return nil // a pooler in between: nothing is prepared at all
	}
	known := conn.Conn().PgConn().CustomData()
	var missing []string
	for _, sql := range texts {
		if _, ok := known[sql]; !ok {
			missing = append(missing, sql)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, promptSQL); err != nil {
			return err
		}
		for _, sql := range missing {
			if _, err := tx.Prepare(ctx, sql, sql); err != nil {
				return fmt.Errorf("prepare: %w", err)
			}
		}
		for _, sql := range missing {
			known[sql] = true
		}
		return nil
	})
}

// send queues all steps and reads their answers. The first error is the one
// that matters; what follows it was not run.
func send(ctx context.Context, conn *pgxpool.Conn, steps []step) error {
	batch := &pgx.Batch{}
	for _, st := range steps {
		batch.Queue(st.sql, st.args...)
	}
	replies := conn.SendBatch(ctx, batch)
	for _, st := range steps {
		rows, err := replies.Query()
		if err == nil && st.read != nil {
			err = st.read(rows)
		}
		rows.Close()
		if err == nil {
			err = rows.Err()
		}
		if err != nil {
			if st.wrap != nil {
				err = st.wrap(err)
			}
			_ = replies.Close() // says the same again
			return err
		}
	}
	return replies.Close()
}

// rollback ends a failed transaction, so that the pool can keep the
// connection. The caller's context may be over.
func rollback(ctx context.Context, conn *pgxpool.Conn) {
	if conn.Conn().IsClosed() || conn.Conn().PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := conn.Exec(ctx, "ROLLBACK"); err != nil {
		return // the pool throws the connection away
	}
}

// text is the SQL of a group.
func (g *group) text() string {
	if g.patch {
		return g.table.text("patch", g.columns, func() string { return g.table.applySQL(g.columns, fromPatches) })
	}
	return g.table.text("apply", g.columns, func() string { return g.table.applySQL(g.columns, fromArrays) })
}

// statement is the SQL of a group and its arguments.
func (g *group) statement() (string, []any) {
	kinds, seqs := make([]string, len(g.items)), make([]int64, len(g.items))
	for at, it := range g.items {
		kinds[at], seqs[at] = it.kind.String(), it.seq
		switch {
		case it.kind != Read:
		case it.row.Known:
			kinds[at] = "known"
		case it.row.Foreign: // which matters only where there is no row
			kinds[at] = "foreign"
		}
	}
	arrays := g.arrays()
	first := []any{g.table.Schema, g.table.Object, arrays[0], kinds, seqs}
	if g.patch {
		has := make([]string, len(g.items))
		for at, it := range g.items {
			has[at] = g.table.has(it.row)
		}
		first = append(first, has)
	}
	return g.text(), slices.Concat(first, arrays[1:])
}

// deletions are the ids of the records that the group deletes.
func (g *group) deletions() (sfids []string) {
	for _, it := range g.items {
		if it.kind == Delete {
			sfids = append(sfids, it.row.SFID)
		}
	}
	return sfids
}

// arrays are the ids of a group's records and their values, one array per
// column.
func (g *group) arrays() []any {
	n := len(g.items)
	sfids := make([]string, n)
	values := make([][]*string, len(g.columns))
	cells := make([]*string, n*len(g.columns))
	for c := range g.columns {
		values[c] = cells[c*n : (c+1)*n : (c+1)*n]
	}
	for at, it := range g.items {
		sfids[at] = it.row.SFID
		for c, i := range g.columns {
			switch {
			case it.kind != Delete:
				values[c][at] = it.row.Values[i]
			case i == g.table.stamp && !it.row.Stamp.IsZero():
				deleted := it.row.Stamp.UTC().Format(time.DateTime)
				values[c][at] = &deleted
			}
		}
	}
	args := make([]any, 0, 1+len(values))
	args = append(args, sfids)
	for _, column := range values {
		args = append(args, column)
	}
	return args
}

// String is the kind's name in the apply statement.
func (k Kind) String() string {
	switch k {
	case Event:
		return "event"
	case Read:
		return "read"
	case Delete:
		return "delete"
	case Patch:
		return "patch"
	}
	return "unknown"
}

// read adds up the verdicts of an apply statement on a table.
func (r *Result) read(t *Table, rows pgx.Rows) error {
	var verdict string
	var n int
	var sfids []string
	object := t.Object
	_, err := pgx.ForEachRow(rows, []any{&verdict, &n, &sfids}, func() error {
		switch verdict {
		case verdictInsert:
			r.Inserted += n
			r.count(object, Written{Inserted: n})
		case verdictUpdate:
			r.Updated += n
			r.count(object, Written{Updated: n})
		case verdictDelete:
			r.Deleted += n
			r.count(object, Written{Deleted: n})
		case verdictSame:
			r.Unchanged += n
			r.count(object, Written{Unchanged: n})
		case verdictStale, verdictSuperseded:
			r.Stale += n
		case verdictHeld:
			r.Held += n
		case verdictUnmade, verdictSwallowed:
			r.Held += n
			r.swallowed = append(r.swallowed, swallowed{t, verdict == verdictUnmade, slices.Clone(sfids)})
		case verdictEqual:
			r.Marked += n
		case verdictConflict:
			if n > 0 {
				r.count(object, Written{Conflicts: n})
			}
		default:
			return fmt.Errorf("unknown verdict %q", verdict)
		}
		return nil
	})
	return err
}

// isServer reports an answer of Postgres, as opposed to a lost connection.
func isServer(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg)
}
