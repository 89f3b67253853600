package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/internal/beat"
	"hcbridge/pgsink"
)

// serverEvery is how often the database is looked at for having gone back, besides
// with each new connection.
const serverEvery = 2 * time.Second

var errWentBack = errors.New("the database has lost its last moment")

// greet looks whether the database has gone back, before anything is applied by a
// new connection: a crash of the server ends all connections, so what is applied
// after it is applied after this. Behind a pooler, which keeps ours while it makes
// new ones to the server, only watchServer looks.
func (s *session) greet(ctx context.Context, conn *pgx.Conn) error {
	if !s.wentBack(ctx, conn) {
		return nil
	}
	select {
	case s.back <- struct{}{}:
	default:
	}
	return errWentBack
}

// watchServer ends the session, with errRemap, when the database holds less than was
// committed to it: a crash took back what was not on disk yet, or another server took
// over that had not received it. The next session subscribes from the positions that
// are there, and Salesforce sends the rest again; it asks what became of writes that
// are PENDING there, although they were answered and the answers written down. All
// else that moves is read from the database where it is needed.
//
// Positions tell what was lost of inbound changes. Of what only went out nothing does,
// so each start of a server counts as a loss.
func (s *session) watchServer(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		timer.Reset(beat.Wait(serverEvery))
		select {
		case <-ctx.Done():
			return nil
		case <-s.back:
			return errRemap
		case <-timer.C:
			if s.wentBack(ctx, s.pool) || s.otherServer(ctx) {
				return errRemap
			}
		}
	}
}

// otherServer reports whether the server has been started since the session began, or
// is another one. If the database cannot tell, the next look does.
func (s *session) otherServer(ctx context.Context) bool {
	started, err := serverStart(ctx, s.pool)
	switch {
	case err != nil:
		return false
	case started.Equal(s.server):
		s.begun.see()
		return false
	}
	s.log.Warn().Str("component", "bridge").Str("event", "server_changed").Time("started", started).
		Msg("Postgres was started again, or another server has taken over; what it has not got is looked for")
	return true
}

// serverStart is when the server was started that the database is on.
func serverStart(ctx context.Context, db pgsink.Querier) (at time.Time, err error) {
	rows, err := db.Query(ctx, "SELECT pg_postmaster_start_time()")
	if err != nil {
		return at, fmt.Errorf("start of the server: %w", err)
	}
	if at, err = pgx.CollectExactlyOneRow(rows, pgx.RowTo[time.Time]); err != nil {
		return at, fmt.Errorf("start of the server: %w", err)
	}
	return at, nil
}

// wentBack reports whether a position is stored that is not as far as it was
// committed. If the database cannot tell, others say so.
func (s *session) wentBack(ctx context.Context, db pgsink.Querier) bool {
	committed := map[string]pgsink.Position{} // known before the database is asked, which can only be further
	for _, ch := range s.stream.all() {
		if p := ch.applied.Load(); p != nil {
			committed[ch.name] = *p
		}
	}
	if len(committed) == 0 {
		return false
	}
	stored, err := pgsink.Positions(ctx, db, s.cfg.Schema)
	if err != nil {
		return false
	}
	for name, p := range committed {
		if is := stored[name]; is.ReplayID < p.ReplayID && (is.TopicID == p.TopicID || is.TopicID == "") {
			s.log.Warn().Str("component", "stream").Str("event", "database_went_back").Str("channel", name).Int64("replay_id", is.ReplayID).Int64("committed", p.ReplayID).
				Msg("Postgres has lost its last moment; the stream begins again where the tables stand")
			return true
		}
	}
	return false
}
