package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"

	"hcbridge/config"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

var (
	//go:embed sql/known.sql
	knownSQL string
	//go:embed sql/remember.sql
	rememberSQL string
	//go:embed sql/holders.sql
	holdersSQL string
	//go:embed sql/reread_errors.sql
	rereadErrorsSQL string
)

// errRemap ends a session whose mappings are no longer what the org or the
// tables are. All that matters is durable, so the next one goes on where it
// stopped.
var errRemap = errors.New("the mappings have changed")

// foreknownFor is how long what was known of the org before it was our turn is
// used after a take-over, which has more urgent things to do.
const foreknownFor = 5 * time.Second

// known is what is remembered of an object.
type known struct {
	fields  []string // API names, mapped or frozen
	entries []string // as mapping.entries
	reload  bool     // it waits to be loaded again
}

// remembered reads it for every object of a schema, by name in lower case.
func remembered(ctx context.Context, db querier, schema string) (map[string]known, error) {
	rows, err := db.Query(ctx, knownSQL, schema)
	if err != nil {
		return nil, fmt.Errorf("known fields: %w", err)
	}
	all := map[string]known{}
	var object string
	var k known
	_, err = pgx.ForEachRow(rows, []any{&object, &k.fields, &k.entries, &k.reload}, func() error {
		all[strings.ToLower(object)] = k
		k.fields, k.entries = nil, nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("known fields: %w", err)
	}
	return all, nil
}

// mapAll resolves every object of the configuration and makes its table. One
// with which that fails is put aside, and the others go on.
func (s *session) mapAll(ctx context.Context) error {
	var v *survey
	err := s.forever(ctx, "describe", func(ctx context.Context) (err error) {
		s.schema.begin()
		if v, err = s.glimpse(ctx); v != nil || err != nil {
			return err
		}
		s.foreknown = nil
		v, err = s.look(ctx)
		return err
	})
	if err != nil {
		return err
	}
	s.left = left(v.known, s.cfg.Objects)
	errs := make([]error, len(s.cfg.Objects))
	g := errgroup.Group{}
	g.SetLimit(maxConns / 2) // each waits for the database most of the time
	for i, cfg := range s.cfg.Objects {
		m := v.mappings[cfg.Name]
		if errs[i] = v.errs[cfg.Name]; m != nil {
			g.Go(func() error { errs[i] = s.makeTable(ctx, m); return nil })
		}
	}
	_ = g.Wait() // they are in errs
	for i, cfg := range s.cfg.Objects {
		m, err := v.mappings[cfg.Name], errs[i]
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			s.putOff(ctx, cfg, err)
		default:
			s.putOn(newObject(m), m.refill || v.known[strings.ToLower(cfg.Name)].reload)
		}
	}
	return nil
}

// makeTable ensures m's table, and waits for the database if that is away. What
// only concerns this table is an error.
func (s *session) makeTable(ctx context.Context, m *mapping) error {
	var own error
	err := s.forever(ctx, "table", func(ctx context.Context) error {
		_, err := s.ensure(ctx, m)
		if !passing(err) {
			own, err = err, nil
		}
		return err
	})
	return errors.Join(err, own)
}

// putOn adds an object to those at work. reload says that it was loaded before
// and is to be loaded again.
func (s *session) putOn(o *object, reload bool) {
	o.reloading.Store(reload)
	s.objects = append(s.objects, o)
	s.byTable[o.table.Name] = o
	s.resume(o.cfg.Name)
	s.resume("stream of " + o.cfg.Name) // of the session before
	s.board.Object(o.cfg.Name, func(b *status.Object) {
		b.Object = o.cfg.Name // as Salesforce writes it
		b.Table, b.Note = s.cfg.Schema+"."+o.table.Name, o.note()
		if b.State == status.MappingError || b.State == status.SchemaChanged {
			b.State, b.Message = status.Initial, ""
		}
	})
	if len(o.frozen) > 0 {
		s.log.Error().Str("component", "bridge").Str("event", "fields_frozen").Str("object", o.cfg.Name).Strs("fields", o.frozen).Msg("fields are not to be seen any more, their columns stay")
	}
}

// takeOff puts an object aside that was put on, before it is at work.
func (s *session) takeOff(ctx context.Context, o *object, err error) {
	s.objects = slices.DeleteFunc(s.objects, func(other *object) bool { return other == o })
	delete(s.byTable, o.table.Name)
	for _, cfg := range s.cfg.Objects {
		if strings.EqualFold(cfg.Name, o.cfg.Name) {
			s.putOff(ctx, cfg, err)
		}
	}
}

// note is what a person should know of a mapping that works.
func (m *mapping) note() string {
	var notes []string
	if len(m.frozen) > 0 {
		notes = append(notes, "frozen, because Salesforce no longer shows them: "+strings.Join(m.frozen, ", ")+
			"; their columns keep what they hold and are neither read nor sent: grant Read on the fields, or drop the columns once the fields are gone for good")
	}
	if len(m.narrow) > 0 {
		notes = append(notes, "columns shorter than their fields: "+strings.Join(m.narrow, ", ")+
			"; Postgres does not widen them while a view uses them, and records with longer values are refused: drop the view, restart the bridge, make the view again")
	}
	if len(m.foreign) > 0 {
		notes = append(notes, "columns of another type than their fields: "+strings.Join(m.foreign, ", ")+
			"; they take Salesforce's values as text: ALTER TABLE … ALTER COLUMN … TYPE … USING …, and restart the bridge, when the app is ready for it")
	}
	if len(m.binary) > 0 {
		notes = append(notes, m.binaryNote()+": "+binaryRemedy)
	}
	return strings.Join(notes, "; ")
}

// binaryRemedy says what to do about files that are not synced.
const binaryRemedy = "take them out of the mapping, or fetch them from Salesforce by sfid"

func (m *mapping) binaryNote() string {
	return "left out, because no column can hold a file: " + strings.Join(m.binary, ", ")
}

// isLocked reports that somebody holds a lock on a table that is to be altered.
func isLocked(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "55P03"
}

// passing reports whether an error of ensure is the whole database's, or
// Salesforce's, for which everything waits, and not this table's.
func passing(err error) bool {
	var mismatch *pgsink.Mismatch
	if err == nil || isLocked(err) || errors.As(err, &mismatch) {
		return false
	}
	return isDatabaseDown(err) || !isDatabase(err) && heals(err)
}

// ensure makes m's table, and remembers its fields with it. It is additive, so
// the table may be in use. It reports whether the table was not as it should be.
func (s *session) ensure(ctx context.Context, m *mapping) (changed bool, err error) {
	before, err := s.inherited(ctx, m)
	if err != nil {
		return false, fmt.Errorf("table %s: %w", m.table.Name, err)
	}
	var report pgsink.Report
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		if err = makeSchema(ctx, tx, s.cfg.Schema); err != nil {
			return err
		}
		var err error
		if report, err = m.table.Ensure(ctx, tx); err != nil {
			return err
		}
		added := len(report.Columns) > 0 || report.Created // of an object that was loaded before: into another table
		if err := m.remember(ctx, tx, s.cfg.Schema, added); err != nil {
			return err
		}
		if before != nil {
			m.refill = added
			if err := s.inherit(ctx, tx, m, before); err != nil {
				return err
			}
		}
		if len(report.Widened) == 0 {
			return nil
		}
		_, err = tx.Exec(ctx, rereadErrorsSQL, s.cfg.Schema, m.cfg.Name)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("table %s: %w", m.table.Name, err)
	}
	m.narrow, m.foreign = report.Narrow, report.Foreign
	m.added = m.added || len(report.Columns) > 0 && !report.Created
	if before != nil {
		s.log.Info().Str("component", "bridge").Str("event", "taken_over").Str("object", m.cfg.Name).Str("table", m.table.Name).
			Int64("rows", before.rows).Bool("reload", len(report.Columns) > 0).Msg("rows that were there are kept, and compared with their records")
	}
	changed = report.Created || len(report.Columns)+len(report.Indexes)+len(report.Widened) > 0
	if changed || len(report.Narrow) > 0 {
		s.log.Info().Str("component", "pgsink").Str("event", "table_changed").Str("object", m.cfg.Name).Str("table", m.table.Name).
			Bool("created", report.Created).Strs("columns", report.Columns).Strs("indexes", report.Indexes).Strs("widened", report.Widened).Strs("narrow", report.Narrow).Msg("table set up")
	}
	return changed, nil
}

// makeSchema makes a schema that is not there. IF NOT EXISTS alone asks for the
// right to create one even where there is nothing to do, which a role that was
// given its schemas does not have.
func makeSchema(ctx context.Context, tx pgx.Tx, schema string) error {
	there := func() (found bool, err error) {
		err = tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&found)
		return found, err
	}
	if found, err := there(); err != nil || found {
		return err
	}
	// Several tables are made at a time, and two of us could both find none.
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('hcbridge.schema ' || $1, 0))", schema); err != nil {
		return err
	}
	// CREATE itself would go by what the session remembers from before it waited.
	if found, err := there(); err != nil || found {
		return err
	}
	_, err := tx.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	return err
}

// putOff leaves an object out for now, and says why and what to do.
func (s *session) putOff(ctx context.Context, cfg config.Object, err error) {
	var mismatch *pgsink.Mismatch
	locked := isLocked(err)
	switch {
	case locked:
		err = fmt.Errorf("%s: %w", lockedText, err)
	case errors.As(err, &mismatch):
		err = fmt.Errorf("%w: change the columns (ALTER TABLE … ALTER COLUMN … TYPE …), or take the fields out of HC_OBJECT_%s_FIELDS; the object goes on by itself when they fit", err, strings.ToUpper(cfg.Name))
	}
	if old := s.aside[cfg.Name]; old == nil || old.Error() != err.Error() {
		s.aside[cfg.Name] = err
		s.mappingFailed(cfg, err)
		s.resume("stream of " + cfg.Name) // one stop is enough
		s.board.Object(cfg.Name, func(b *status.Object) { b.Note = "" })
	}
	if locked { // by others than last time, maybe
		text := err.Error() + s.lockedBy(ctx, pgsink.TableName(cfg.Name))
		s.board.Stop(cfg.Name, text)
		s.board.Object(cfg.Name, func(b *status.Object) { b.State, b.Message = status.SchemaChanged, text })
	}
}

const lockedText = "its table waits to be altered: end the transaction that holds a lock on it"

// lockedBy tells who holds a lock on a table, or on any of the schema where that is "",
// to follow what it is the reason for.
func (s *session) lockedBy(ctx context.Context, table string) string {
	var who string
	if err := s.pool.QueryRow(ctx, holdersSQL, s.cfg.Schema, table).Scan(&who); err != nil || who == "" {
		return " (see pg_locks)"
	}
	return "; it is held by " + who
}

// watchSchema compares the mappings with the org now and then, and when there
// is reason to. It returns errRemap when a new session must take over, else nil
// at the end of ctx.
//
// A new session for all is the simplest of all ways to change one mapping: a
// mapping never changes under whoever uses it, and the others lose a fraction
// of a second. What may take long, altering a table that is in use, is done
// before, while everything goes on.
func (s *session) watchSchema(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failures, vain := 0, 0
	first := s.asideWait(1)
	if s.foreknown != nil && first == 0 { // it may not be so any more
		first = foreknownFor
	}
	s.foreknown = nil
	s.schema.done(false, first)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.schema.wake:
		case <-timer.C:
		}
		if wait := time.Until(s.schema.due()); wait > 0 {
			timer.Reset(wait)
			continue
		}
		doubted := s.schema.begin()
		changed, err := s.compareSchema(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			failures++
			wait := retry.Delay(failures, asideFirst, time.Minute)
			s.schema.done(false, wait)
			s.log.Warn().Str("component", "bridge").Str("event", "schema_unknown").Err(err).Int("attempt", failures).Dur("wait_ms", wait).Msg("the org's schema could not be compared")
		case changed:
			return errRemap
		default:
			failures = 0
			vain++
			s.schema.done(doubted, s.asideWait(vain+1))
		}
		timer.Reset(max(0, time.Until(s.schema.due())))
	}
}

// asideWait is the wait before the given look for objects that are put aside
// and fields that are frozen; 0 if there are none.
func (s *session) asideWait(attempt int) time.Duration {
	most := time.Duration(0)
	if slices.ContainsFunc(s.objects, func(o *object) bool { return len(o.frozen) > 0 }) {
		most = schemaEvery
	}
	for _, err := range s.aside {
		if isLocked(err) {
			most = asideMostLocked
			break
		}
		most = asideMost
	}
	if most == 0 {
		return 0
	}
	return retry.Delay(attempt, asideFirst, most)
}

// compareSchema reports whether some object is to be mapped anew, because the org
// shows it otherwise, or because its table was not as it was made any more. Where that
// needs a table altered, it is altered by then.
func (s *session) compareSchema(ctx context.Context) (changed bool, err error) {
	v, err := s.look(ctx)
	if err != nil {
		return false, err
	}
	for _, cfg := range s.cfg.Objects {
		m, why := v.mappings[cfg.Name], v.errs[cfg.Name]
		old := s.objectOf(cfg)
		mended := false
		if m != nil {
			mended, why = s.ensure(ctx, m)
		}
		if old == nil && m != nil && why == nil {
			if _, why = s.captured(ctx, m); why == nil {
				_, why = s.install(ctx, m.outbox) // or the next session would put it aside again
			}
		}
		if old != nil && m != nil && old.equal(m) && why == nil && !mended {
			if s.aside[cfg.Name] != nil {
				delete(s.aside, cfg.Name)
				old.altering.Store(false)
				s.board.Object(cfg.Name, func(b *status.Object) { b.Note = old.note() })
			}
			continue
		}
		var mismatch *pgsink.Mismatch
		switch {
		case m != nil && passing(why):
			return false, why // nothing is lost: the next look sees the same
		case old == nil && why != nil:
			s.putOff(ctx, cfg, why)
			continue
		case m != nil && why != nil && !errors.As(why, &mismatch):
			// The old mapping goes on until the new one can have its table.
			s.waitForTable(ctx, cfg, old, why)
			continue
		}
		changed = true
		s.log.Warn().Str("component", "bridge").Str("event", "schema_changed").Str("object", cfg.Name).AnErr("error", why).Msg("the object is mapped anew")
	}
	return changed, nil
}

// objectOf returns the object at work for cfg, nil if there is none.
func (s *session) objectOf(cfg config.Object) *object {
	i := slices.IndexFunc(s.objects, func(o *object) bool { return strings.EqualFold(o.cfg.Name, cfg.Name) })
	if i < 0 {
		return nil
	}
	return s.objects[i]
}

// waitForTable shows that an object works on as before, because its table
// cannot be altered yet.
func (s *session) waitForTable(ctx context.Context, cfg config.Object, o *object, why error) {
	if !o.altering.Swap(true) {
		s.log.Warn().Str("component", "bridge").Str("event", "table_locked").Str("object", o.cfg.Name).Err(why).Msg("the table cannot be altered yet")
	}
	s.aside[cfg.Name] = why
	text := why.Error()
	if isLocked(why) {
		text = lockedText + s.lockedBy(ctx, o.table.Name)
	}
	s.state(o, status.SchemaChanged)
	s.board.Object(o.cfg.Name, func(b *status.Object) { b.Note = text })
}
