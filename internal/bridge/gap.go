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
	o := ch.obj
	st.later(func(ctx context.Context) error {
		table := pgx.Identifier{st.s.cfg.Schema, o.table.Name}.Sanitize()
		_, err := st.s.pool.Exec(ctx, fmt.Sprintf(rereadSQL, table, table), st.s.cfg.Schema, o.cfg.Name, at, ch.name)
		st.s.wakeHydrator()
		return err
	})
}

// missed notes that any number of changes have no events, and has every row read
// once more; a poll finds the records that have none. It returns when that is
// durable, and does no harm twice.
func (st *stream) missed(ctx context.Context, ch *channel, why string) error {
	o, schema := ch.obj, st.s.cfg.Schema
	table := pgx.Identifier{schema, o.table.Name}.Sanitize()
	err := pgx.BeginFunc(ctx, st.s.pool, func(tx pgx.Tx) error {
		for _, step := range []struct {
			sql  string
			args []any
		}{
			{openGapSQL, []any{schema, o.cfg.Name, ch.name, why}},
			{fmt.Sprintf(rereadSQL, table, table), []any{schema, o.cfg.Name, pgtype.Timestamptz{InfinityModifier: pgtype.NegativeInfinity, Valid: true}, ch.name}},
			{endGapSQL, []any{schema, o.cfg.Name}},
		} {
			if _, err := tx.Exec(ctx, step.sql, step.args...); err != nil {
				return fmt.Errorf("note missed events: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
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
