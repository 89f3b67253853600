package bridge

import (
	"context"
	"time"

	"hcbridge/pgsink"
)

// positionsEvery is how often it is looked whether the database has gone back.
const positionsEvery = 2 * time.Second

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
		case <-ticker.C:
		}
		committed := map[string]pgsink.Position{} // known before the database is asked, which can only be further
		for _, ch := range s.stream.all() {
			if p := ch.applied.Load(); p != nil {
				committed[ch.name] = *p
			}
		}
		if len(committed) == 0 {
			continue
		}
		stored, err := s.sink.Positions(ctx)
		if err != nil {
			continue // who needs the database says that it is away
		}
		for name, p := range committed {
			if is := stored[name]; is.ReplayID < p.ReplayID && (is.TopicID == p.TopicID || is.TopicID == "") {
				s.log.Warn().Str("component", "stream").Str("event", "database_went_back").Str("channel", name).Int64("replay_id", is.ReplayID).Int64("committed", p.ReplayID).
					Msg("Postgres has lost its last moment; the stream begins again where the tables stand")
				return errRemap
			}
		}
	}
}
