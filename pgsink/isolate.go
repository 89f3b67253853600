package pgsink

import (
	"context"
	_ "embed"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"

	"hcbridge/internal/pgtext"
)

//go:embed sql/park.sql
var parkSQL string

//go:embed sql/park_mark.sql
var parkMarkSQL string

//go:embed sql/hold.sql
var holdSQL string

// How long after a refusal a record is tried again; the wait doubles up to an
// hour.
const (
	parkedFor = time.Minute
	soon      = 2 * time.Second // its parent is missing, or another row has its key
)

// mostWaits is how many locks are waited for in vain before it is not looked any more
// for the records that need them: twelve find one of 2,000, and what is written
// meanwhile stays locked.
const mostWaits = 20

// set is records of one table that a statement applies and that can be halved.
type set interface {
	of() *Table
	size() int
	halves() (set, set)
	statement() (sql string, args []any)
	// ids returns the ids of all its records.
	ids(ctx context.Context, tx pgx.Tx) ([]string, error)
	// only returns the id and the values of a set's single record.
	only(ctx context.Context, tx pgx.Tx) (sfid string, values []*string, err error)
}

// isolated does what pipelined does, statement by statement, and finds the
// records that Postgres refuses, or that wait for a lock, by halving.
func (s *Sink) isolated(ctx context.Context, p *plan) (Result, error) {
	res := Result{Marked: len(p.marks)}
	conn, err := s.acquire(ctx)
	if err != nil {
		return Result{}, err
	}
	defer conn.Release()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if err := s.run(ctx, tx, s.before(p, ownSQL)); err != nil {
			return err
		}
		sets := make([]set, len(p.groups))
		for i, g := range p.groups {
			sets[i] = g
		}
		found, err := s.apart(ctx, tx, sets...)
		if err != nil {
			return err
		}
		res.Add(found)
		return s.run(ctx, tx, s.after(p))
	})
	return res, err
}

func (s *Sink) run(ctx context.Context, tx pgx.Tx, steps []step) error {
	for _, st := range steps {
		if _, err := tx.Exec(ctx, st.sql, st.args...); err != nil {
			if st.wrap != nil {
				err = st.wrap(err)
			}
			return err
		}
	}
	return nil
}

// apart applies sets, all but the records that cannot be.
func (s *Sink) apart(ctx context.Context, tx pgx.Tx, sets ...set) (res Result, err error) {
	// A deferred constraint would speak up at the commit, when nobody can tell
	// which record it means.
	if _, err := tx.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE; SET LOCAL lock_timeout = '50ms'"); err != nil {
		return res, err
	}
	waits := mostWaits
	for _, records := range sets {
		found, err := s.isolate(ctx, tx, records, &waits)
		if err != nil {
			return Result{}, err
		}
		res.Add(found)
	}
	_, err = tx.Exec(ctx, "SET LOCAL lock_timeout = '2s'")
	return res, err
}

// isolate applies a set; if it is refused, or waits for a lock, its halves; and
// parks or holds the record that remains. After too many waits it holds the set.
func (s *Sink) isolate(ctx context.Context, tx pgx.Tx, records set, waits *int) (Result, error) {
	res, err := s.attempt(ctx, tx, records)
	_, refused := dataError(err)
	if waitedInVain(err) {
		if *waits--; *waits <= 0 || records.size() == 1 {
			return s.hold(ctx, tx, records)
		}
	} else if !refused {
		return res, err
	}
	if records.size() > 1 {
		first, second := records.halves()
		res, err := s.isolate(ctx, tx, first, waits)
		if err != nil {
			return Result{}, err
		}
		more, err := s.isolate(ctx, tx, second, waits)
		res.Add(more)
		return res, err
	}
	// The app may have made the same row while we did. The second look sees it.
	res, err = s.attempt(ctx, tx, records)
	if waitedInVain(err) {
		return s.hold(ctx, tx, records)
	}
	pg, refused := dataError(err)
	if !refused {
		return res, err
	}
	sfid, values, err := records.only(ctx, tx)
	if err != nil {
		return Result{}, err
	}
	return Result{Parked: 1}, s.park(ctx, tx, records.of().Object, sfid, pg.Code, redact(pg, values))
}

// hold has records read again later that wait for a lock.
func (s *Sink) hold(ctx context.Context, tx pgx.Tx, records set) (Result, error) {
	sfids, err := records.ids(ctx, tx)
	if err != nil {
		return Result{}, err
	}
	_, err = tx.Exec(ctx, holdSQL, s.schema, records.of().Object, sfids, ReasonHeld)
	return Result{Held: len(sfids)}, err
}

// attempt applies a set in a subtransaction.
func (s *Sink) attempt(ctx context.Context, tx pgx.Tx, records set) (Result, error) {
	var res Result
	err := pgx.BeginFunc(ctx, tx, func(sub pgx.Tx) error {
		sql, args := records.statement()
		rows, err := sub.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		return res.read(records.of(), rows)
	})
	if err != nil {
		return Result{}, err
	}
	return res, nil
}

// park records a refusal, and has the record read again later: what a
// constraint refused may be fine once another row has changed, and what a
// column refused once the column has. A parent that is missing is usually on
// its way, and a row that has the record's key about to go or to get another. So
// the first refusal may heal by itself.
func (s *Sink) park(ctx context.Context, tx pgx.Tx, object, sfid, code, message string) error {
	message = pgtext.Fit(tx.Conn().PgConn().ParameterStatus("server_encoding"), message)
	wait := parkedFor
	if code == codeForeignKey || code == codeUnique {
		wait = soon
	}
	if _, err := tx.Exec(ctx, parkMarkSQL, s.schema, object, sfid, ReasonParked, wait.Seconds()); err != nil {
		return err
	}
	var attempts int
	if err := tx.QueryRow(ctx, parkSQL, s.schema, object, sfid, code, message).Scan(&attempts); err != nil {
		return err
	}
	level := zerolog.WarnLevel
	if attempts > 1 {
		level = zerolog.ErrorLevel
	}
	s.log.WithLevel(level).Str("event", "read_parked").Str("object", object).Str("sfid", sfid).Str("code", code).
		Msg("Postgres refuses the record")
	return nil
}

// redact takes the record's values out of Postgres's message. Messages about
// values quote them; those of the app's own triggers may hold any of them.
func redact(pg *pgconn.PgError, values []*string) string {
	message := pg.Message
	if strings.HasPrefix(pg.Code, "22") && pg.Code != codeUntranslatable { // that names the encodings
		message = regexp.MustCompile(`(?s)".*"`).ReplaceAllString(message, `"…"`)
	}
	const worthHiding = 3 // shorter ones are in any text
	for _, v := range values {
		if v != nil && len(*v) >= worthHiding {
			message = strings.ReplaceAll(message, *v, "…")
		}
	}
	var names []string
	for _, name := range []string{pg.ColumnName, pg.ConstraintName} {
		if name != "" && !strings.Contains(message, name) {
			names = append(names, name)
		}
	}
	if len(names) > 0 {
		message += " (" + strings.Join(names, ", ") + ")"
	}
	return message
}

func (g *group) of() *Table { return g.table }

func (g *group) size() int { return len(g.items) }

func (g *group) halves() (set, set) {
	first, second := *g, *g
	half := len(g.items) / 2
	first.items, second.items = g.items[:half], g.items[half:]
	return &first, &second
}

func (g *group) ids(context.Context, pgx.Tx) ([]string, error) {
	sfids := make([]string, len(g.items))
	for at, it := range g.items {
		sfids[at] = it.row.SFID
	}
	return sfids, nil
}

func (g *group) only(context.Context, pgx.Tx) (string, []*string, error) {
	return g.items[0].row.SFID, g.items[0].row.Values, nil
}
