package pgsink

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

//go:embed sql/position.sql
var positionSQL string

// Querier is a pool or a connection.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Positions returns the stored position of every channel.
func (s *Sink) Positions(ctx context.Context) (map[string]Position, error) {
	return Positions(ctx, s.pool, s.schema)
}

// Positions is [Sink.Positions] on a connection of the caller's.
func Positions(ctx context.Context, db Querier, schema string) (map[string]Position, error) {
	rows, err := db.Query(ctx, `SELECT channel, coalesce(topic_id, ''), replay_id, event_at
		FROM hcbridge.position WHERE schema = $1`, schema)
	if err != nil {
		return nil, fmt.Errorf("pgsink: positions: %w", err)
	}
	all := make(map[string]Position)
	var p Position
	var at *time.Time
	_, err = pgx.ForEachRow(rows, []any{&p.Channel, &p.TopicID, &p.ReplayID, &at}, func() error {
		p.EventAt = fromNull(at)
		all[p.Channel] = p
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("pgsink: positions: %w", err)
	}
	return all, nil
}

// Stamps returns the SystemModstamp of those of the records that have a row,
// the zero time for a row without one. ids may have 15 or 18 characters; keys
// have 18.
func (s *Sink) Stamps(ctx context.Context, t *Table, ids []string) (map[string]time.Time, error) {
	full := make([]string, 0, len(ids))
	for _, id := range ids {
		if c, ok := canonID(id); ok {
			full = append(full, c)
		}
	}
	sql := "SELECT sfid::text, " + quote(t.Columns[t.stamp].Name) + " FROM " + t.ident() + " WHERE sfid = ANY($1::text[])"
	stamps := make(map[string]time.Time, len(full))
	err := s.ask(ctx, func(rows pgx.Rows) error {
		var id string
		var at *time.Time
		_, err := pgx.ForEachRow(rows, []any{&id, &at}, func() error { stamps[id] = fromNull(at); return nil })
		return err
	}, sql, full)
	if err != nil {
		return nil, fmt.Errorf("pgsink: stamps of %s: %w", t.Object, err)
	}
	return stamps, nil
}

// positionArgs are the arguments of positionSQL; the last position of a channel
// counts.
func (s *Sink) positionArgs(positions []Position) []any {
	at := make(map[string]int)
	var channels, topics []string
	var replays []int64
	var times []*time.Time
	for _, p := range positions {
		i, ok := at[p.Channel]
		if !ok {
			i = len(channels)
			at[p.Channel] = i
			channels, topics = append(channels, ""), append(topics, "")
			replays, times = append(replays, 0), append(times, nil)
		}
		channels[i], topics[i], replays[i], times[i] = p.Channel, p.TopicID, p.ReplayID, toNull(p.EventAt)
	}
	return []any{s.schema, channels, topics, replays, times}
}

// fromNull and toNull translate between null and the zero time, in UTC.
func fromNull(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

func toNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
