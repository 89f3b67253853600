package bridge

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/config"
	"hcbridge/internal/beat"
	"hcbridge/internal/pgtext"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

var (
	//go:embed sql/snapshot.sql
	snapshotSQL string
	//go:embed sql/read_errors.sql
	readErrorsSQL string
)

// snapshotEvery is how often a status is saved that has not changed.
const snapshotEvery = 5 * time.Second

// publish leaves a copy of the status in the database until ctx ends, and then once more,
// for commands that run beside this process, whether a session has begun or not.
func (b *Bridge) publish(ctx context.Context, pool pgPool) {
	var saved []byte
	savedAt := int64(beat.Never)
	save := func(ctx context.Context) {
		body, err := json.Marshal(b.board.Snapshot())
		saving := beat.Count(snapshotEvery)
		if err != nil || bytes.Equal(body, saved) && saving == savedAt {
			return
		}
		if _, err := pool.Exec(ctx, snapshotSQL, b.cfg.Schema, pgtext.Fit(b.charset, string(body))); err == nil { // others tell of an outage
			saved, savedAt = body, saving
		}
	}
	for ; ctx.Err() == nil; sleep(ctx, beat.Wait(refreshEvery)) {
		save(ctx)
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	save(last)
}

// Snapshot returns what the bridge at work on a schema last showed of itself, how
// long ago, and whether one is at work now. One that has ended on its own counts as at
// work until its lease runs out.
func Snapshot(ctx context.Context, pool *pgxpool.Pool, schema string) (st status.Status, age time.Duration, working bool, err error) {
	var body *string
	var seconds *float64
	err = pool.QueryRow(ctx, `SELECT i.status::text, extract(epoch FROM clock_timestamp() - i.status_at)::double precision,
			EXISTS (SELECT FROM hcbridge.lease AS l WHERE l.schema = i.schema AND l.expires_at >= clock_timestamp())
		FROM hcbridge.instance AS i WHERE i.schema = $1`, schema).Scan(&body, &seconds, &working)
	var pg *pgconn.PgError
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") || err == nil && body == nil {
		return st, 0, false, ErrNeverRan
	}
	if err != nil {
		return st, 0, false, fmt.Errorf("read status: %w", err)
	}
	if err := json.Unmarshal([]byte(*body), &st); err != nil {
		return st, 0, false, fmt.Errorf("read status: %w", err)
	}
	return st, time.Duration(*seconds * float64(time.Second)), working, nil
}

// ErrNeverRan reports that no bridge has worked on the schema yet.
var ErrNeverRan = errors.New("no bridge has run on this database and schema yet; run the bridge first")

// Failures lists failed writes and failed reads, newest first, at most limit in all.
func Failures(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, limit int) ([]web.Failure, error) {
	writes, err := outbox.Errors(ctx, pool, cfg.Schema, limit)
	if err != nil {
		return nil, commandError("failures", err)
	}
	objects := make(map[string]string, len(cfg.Objects))
	for _, o := range cfg.Objects {
		objects[pgsink.TableName(o.Name)] = o.Name
	}
	list := make([]web.Failure, 0, len(writes))
	for _, e := range writes {
		list = append(list, web.Failure{
			Direction: "write", ID: e.ID, Object: objects[e.Table], Table: e.Table, RecordID: e.RecordID, SFID: e.SFID, Action: e.Action,
			Message: e.Message, At: e.At,
		})
	}
	rows, err := pool.Query(ctx, readErrorsSQL, cfg.Schema, limit)
	if err != nil {
		return nil, commandError("read errors", err)
	}
	f := web.Failure{Direction: "read"}
	_, err = pgx.ForEachRow(rows, []any{&f.Object, &f.SFID, &f.Code, &f.Message, &f.At}, func() error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		return nil, commandError("read errors", err)
	}
	slices.SortStableFunc(list, func(x, y web.Failure) int { return y.At.Compare(x.At) })
	return list[:min(limit, len(list))], nil
}
