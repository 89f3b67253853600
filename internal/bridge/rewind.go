package bridge

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/pgsink"
)

// positionsEvery is how often it is looked whether the database has gone back,
// besides with each new connection.
const positionsEvery = 2 * time.Second

var errWentBack = errors.New("the database has lost its last moment")

// greet looks whether the database has gone back, before anything is applied by a
// new connection: a crash of the server ends all connections, so what is applied
// after it is applied after this. Behind a pooler, which keeps ours while it makes
// new ones to the server, only watchPositions looks.
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

// watchPositions ends the session, with errRemap, when the database holds less
// than was committed to it: a crash took back what was not on disk yet, or
// another server took over that had not received it. The next session subscribes
// from the positions that are there, and Salesforce sends the rest again. All
// else that moves is read from the database where it is needed.
func (s *session) watchPositions(ctx context.Context) error {
	ticker := time.NewTicker(positionsEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-s.back:
			return errRemap
		case <-ticker.C:
			if s.wentBack(ctx, s.pool) {
				return errRemap
			}
		}
	}
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
