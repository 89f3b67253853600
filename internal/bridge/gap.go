package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"time"
)

var (
	//go:embed sql/open_gap.sql
	openGapSQL string
	//go:embed sql/close_gap.sql
	closeGapSQL string
)

// gap notes that events of a channel are missing and has them found by
// polling. The note is for people; the poll happens with or without it.
func (st *stream) gap(ctx context.Context, ch *channel, why string) {
	o := ch.obj
	st.log.Warn().Str("event", "gap").Str("object", o.cfg.Name).Str("reason", why).Msg("events are missing, polling for them")
	if _, err := st.s.pool.Exec(ctx, openGapSQL, st.s.cfg.Schema, o.cfg.Name, ch.name, why); err != nil && ctx.Err() == nil {
		st.log.Warn().Str("event", "gap_unrecorded").Str("object", o.cfg.Name).Err(err).Msg("the gap is polled for all the same")
	}
	o.wantPoll()
}

// closeGaps ends the gaps that a poll begun at began has looked into.
func (s *session) closeGaps(ctx context.Context, o *object, began time.Time) error {
	if _, err := s.pool.Exec(ctx, closeGapSQL, s.cfg.Schema, o.cfg.Name, began); err != nil {
		return fmt.Errorf("close gaps: %w", err)
	}
	return nil
}
