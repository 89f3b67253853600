package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
)

var (
	//go:embed sql/open_gap.sql
	openGapSQL string
	//go:embed sql/end_gap.sql
	endGapSQL string
	//go:embed sql/close_gap.sql
	closeGapSQL string
	//go:embed sql/reread.sql
	rereadSQL string
)

// gap notes that events of a channel are missing, from the last that was
// applied until the channel is subscribed again, and has them found by polling.
// The note is for people; the polls happen with or without it.
func (st *stream) gap(ch *channel, why string) {
	o := ch.obj
	st.log.Warn().Str("event", "gap").Str("object", o.cfg.Name).Str("reason", why).Msg("events are missing, polling for them")
	st.later(func(ctx context.Context) error {
		_, err := st.s.pool.Exec(ctx, openGapSQL, st.s.cfg.Schema, o.cfg.Name, ch.name, why)
		return err
	})
	o.wantPoll()
	st.reread(ch, st.s.sf.ServerTime())
}

// reread has the rows read once more that were written since at, server time,
// or since the last event: a poll does not see a change that was missed in the
// second of another.
func (st *stream) reread(ch *channel, at time.Time) {
	after := "" // a chore that takes too long goes on where it was
	st.later(func(ctx context.Context) error {
		err := st.markSince(ctx, st.s.pool, ch, at, &after)
		st.s.wakeHydrator()
		return err
	})
}

// rereadPage is how many records a statement of markSince marks.
const rereadPage = 20_000

// markSince marks the rows of ch's object, from the one behind after on, which moves on.
func (st *stream) markSince(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, ch *channel, at any, after *string,
) error {
	table := pgx.Identifier{st.s.cfg.Schema, ch.obj.table.Name}.Sanitize()
	for {
		var last *string
		err := db.QueryRow(ctx, fmt.Sprintf(rereadSQL, table, table), st.s.cfg.Schema, ch.obj.cfg.Name, at, ch.name, *after, rereadPage).Scan(&last)
		if err != nil || last == nil {
			return err //nolint:wrapcheck // wrapped by the callers that show it
		}
		*after = *last
	}
}

// missed notes that any number of changes have no events, and has every row read
// once more; a poll finds the records that have none. It returns when that is
// durable, and does no harm twice.
func (st *stream) missed(ctx context.Context, ch *channel, why string) error {
	o, schema := ch.obj, st.s.cfg.Schema
	err := pgx.BeginFunc(ctx, st.s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, openGapSQL, schema, o.cfg.Name, ch.name, why)
		if err == nil {
			after := ""
			err = st.markSince(ctx, tx, ch, pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, &after)
		}
		if err == nil {
			_, err = tx.Exec(ctx, endGapSQL, schema, o.cfg.Name)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("note missed events: %w", err)
	}
	st.log.Warn().Str("event", "gap").Str("object", o.cfg.Name).Str("reason", why).Msg("events are missing, all rows are read again")
	st.s.wakeHydrator()
	o.wantPoll()
	return nil
}

// endGap notes that no more events of o are missed, if any were, and polls for
// those: only a poll that begins now sees all of them.
func (st *stream) endGap(o *object) {
	st.later(func(ctx context.Context) error {
		tag, err := st.s.pool.Exec(ctx, endGapSQL, st.s.cfg.Schema, o.cfg.Name)
		if tag.RowsAffected() > 0 {
			o.wantPoll()
		}
		return err
	})
}

// closeGaps ends the gaps that a poll begun at began has looked into.
func (s *session) closeGaps(ctx context.Context, o *object, began time.Time) error {
	if _, err := s.pool.Exec(ctx, closeGapSQL, s.cfg.Schema, o.cfg.Name, began); err != nil {
		return fmt.Errorf("close gaps: %w", err)
	}
	return nil
}
