package bridge

import (
	"context"
	_ "embed"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/beat"
	"hcbridge/internal/status"
	"hcbridge/pgsink"
)

var (
	//go:embed sql/wishes.sql
	wishesSQL string
	//go:embed sql/pause.sql
	pauseSQL string
)

// wishesEvery is how often the bridge looks for what a person has asked for.
const wishesEvery = time.Second

// errPaused ends a session because a person has asked for a pause.
var errPaused = errors.New("paused")

// wishes are what a person, or a safety, has decided about a schema.
type wishes struct {
	paused bool
	unsafe string // why nothing is sent; "" if it may be
}

func readWishes(ctx context.Context, pool pgPool, schema string) (o wishes, err error) {
	err = pool.QueryRow(ctx, wishesSQL, schema).Scan(&o.paused, &o.unsafe)
	if errors.Is(err, pgx.ErrNoRows) {
		return wishes{}, nil // the first start
	}
	return o, err
}

// whilePaused waits as long as a person wants a pause. The lease is kept: nobody
// else shall begin meanwhile.
func (b *Bridge) whilePaused(ctx context.Context, pool pgPool) {
	said := false
	for ctx.Err() == nil {
		o, err := readWishes(ctx, pool, b.cfg.Schema)
		switch {
		case err != nil: // an outage is not a wish
		case !o.paused:
			if said {
				b.board.Go("pause")
				b.board.Connection(func(c *status.Connection) { c.State, c.Message = status.Starting, "" })
				b.log.Info().Str("component", "bridge").Str("event", "resumed").Msg("syncing again")
			}
			return
		case !said:
			said = true
			b.board.Go("start") // what has not begun does not start, either
			b.board.Stop("pause", "paused; `hcbridge resume` goes on")
			b.board.Connection(func(c *status.Connection) {
				c.State, c.Streaming, c.Message = status.Paused, "off", "paused; changes go on being captured, and hcbridge resume sends and fetches them"
			})
			b.log.Info().Str("component", "bridge").Str("event", "paused").Msg("nothing is sent or fetched until hcbridge resume")
		}
		tables := map[string]string{}
		for _, o := range b.board.Snapshot().Objects {
			tables[o.Object] = pgsink.TableName(o.Object)
		}
		_, _ = b.waiting(ctx, pool, tables) // what was last known is shown where it fails
		sleep(ctx, beat.Wait(wishesEvery))
	}
}

// obey ends the session when a person has asked for a pause, or when what may be
// sent is decided otherwise than at its start.
func (s *session) obey(ctx context.Context) error {
	for {
		sleep(ctx, wishesEvery)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a requested stop is not a failure
		}
		o, err := readWishes(ctx, s.pool, s.cfg.Schema)
		switch {
		case err != nil: // refresh tells of it
		case o.paused:
			return errPaused
		case o.unsafe != s.unsafe:
			return errRemap
		}
	}
}

// Pause asks the bridge at work on schema to stop syncing, or to go on. It stays
// so through restarts. It reports whether that is a change.
func Pause(ctx context.Context, pool *pgxpool.Pool, schema string, paused bool) (changed bool, err error) {
	var was bool
	if err := pool.QueryRow(ctx, pauseSQL, schema, paused).Scan(&was); errors.Is(err, pgx.ErrNoRows) {
		return false, ErrNeverRan
	} else if err != nil {
		return false, commandError("pause", err)
	}
	return was != paused, nil
}
