package bridge

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
	"hcbridge/outbox"
)

var (
	//go:embed sql/snapshot.sql
	snapshotSQL string
	//go:embed sql/rows.sql
	rowsSQL string
	//go:embed sql/read_errors.sql
	readErrorsSQL string
	//go:embed sql/marks.sql
	marksSQL string
)

const (
	refreshEvery = time.Second
	// exactRows is the size up to which a table is counted row by row; above,
	// Postgres's own estimate is shown.
	exactRows     = 200_000
	rowsEvery     = 5 * time.Second
	snapshotEvery = 5 * time.Second
)

// refresh puts on the board what only a query tells, until ctx ends, and
// leaves a copy in the database for the commands that run beside this process.
func (s *session) refresh(ctx context.Context, listener *outbox.Listener) error {
	ticker := time.NewTicker(refreshEvery)
	defer ticker.Stop()
	var rowsAt, savedAt time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
		err := s.counts(ctx)
		if err == nil && time.Since(rowsAt) > rowsEvery {
			rowsAt = time.Now()
			err = s.countRows(ctx)
		}
		if err == nil && time.Since(savedAt) > snapshotEvery {
			savedAt = time.Now()
			err = saveSnapshot(ctx, s.pool, s.cfg.Schema, s.board.Snapshot())
		}
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			s.stop("database", err.Error())
		} else {
			s.resume("database")
		}
		s.connection(err, listener)
	}
}

// connection shows the state of the whole.
func (s *session) connection(dbErr error, listener *outbox.Listener) {
	usage := s.sf.Usage()
	budget := s.cfg.APIDailyBudget.Of(usage.Limit)
	pending := int64(0)
	for _, o := range s.board.Snapshot().Objects {
		pending += o.PendingWrites
	}
	state := status.Idle
	switch trouble := s.trouble.Load(); {
	case dbErr != nil:
		state = status.DBUnavailable
	case trouble != nil && *trouble != "":
		state = *trouble
	case pending > 0:
		state = status.PollingDBChanges
	}
	message := ""
	if listener != nil && !listener.Healthy() {
		message = "LISTEN does not work on this connection (a transaction-mode pooler?): changes are found by polling; set HC_LISTEN_DATABASE_URL to a direct connection"
	}
	s.board.Connection(func(c *status.Connection) {
		c.State, c.Message = state, message
		c.APICalls = status.APICalls{Used: usage.Used, Limit: usage.Limit, Budget: budget}
	})
}

// salesforce remembers whether the last answer of Salesforce was trouble of
// the kind that concerns all objects.
func (s *session) salesforce(err error) {
	state := ""
	if err != nil && !isDatabase(err) {
		switch salesforce.ClassOf(err) {
		case salesforce.Auth:
			state = status.Unauthorized
		case salesforce.Limit:
			state = status.APILimit
		case salesforce.Transient:
			state = status.SFUnavailable
		case salesforce.Conflict, salesforce.Permanent:
		}
	}
	s.trouble.Store(&state)
}

// counts shows what waits and what failed.
func (s *session) counts(ctx context.Context) error {
	writes, err := outbox.Counts(ctx, s.pool, s.cfg.Schema)
	if err != nil {
		return err
	}
	reads := map[string]int64{}
	rows, err := s.pool.Query(ctx, `SELECT object, count(*) FROM hcbridge.read_error WHERE schema = $1 GROUP BY object`, s.cfg.Schema)
	if err != nil {
		return fmt.Errorf("count read errors: %w", err)
	}
	var object string
	var n int64
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { reads[object] = n; return nil }); err != nil {
		return fmt.Errorf("count read errors: %w", err)
	}
	stale := map[string]int64{}
	if rows, err = s.pool.Query(ctx, marksSQL, s.cfg.Schema); err != nil {
		return fmt.Errorf("age of marks: %w", err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&object, &n}, func() error { stale[object] = n; return nil }); err != nil {
		return fmt.Errorf("age of marks: %w", err)
	}
	for _, o := range s.objects {
		c := writes[o.table.Name]
		s.board.Object(o.cfg.Name, func(b *status.Object) {
			b.PendingWrites, b.FailedWrites, b.FailedReads = c.Pending, c.Failed, reads[o.cfg.Name]
			if age, ok := stale[o.cfg.Name]; ok {
				b.LagMS = max(b.LagMS, age)
			}
		})
	}
	return nil
}

// countRows shows the number of rows: exactly, or Postgres's estimate for
// large tables.
func (s *session) countRows(ctx context.Context) error {
	for _, o := range s.objects {
		ident := pgx.Identifier{s.cfg.Schema, o.table.Name}.Sanitize()
		var n int64
		if err := s.pool.QueryRow(ctx, rowsSQL, ident).Scan(&n); err != nil {
			return fmt.Errorf("estimate rows: %w", err)
		}
		if n <= exactRows {
			if err := s.pool.QueryRow(ctx, "SELECT count(*) FROM "+ident).Scan(&n); err != nil {
				return fmt.Errorf("count rows: %w", err)
			}
		}
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.RowsPostgres = n })
	}
	return nil
}

func saveSnapshot(ctx context.Context, pool *pgxpool.Pool, schema string, st status.Status) error {
	body, err := json.Marshal(st)
	if err != nil {
		return fmt.Errorf("status: %w", err)
	}
	if _, err := pool.Exec(ctx, snapshotSQL, schema, string(body)); err != nil {
		return fmt.Errorf("save status: %w", err)
	}
	return nil
}

// Snapshot returns what the bridge at work on cfg's schema last showed of
// itself, and how long ago.
func Snapshot(ctx context.Context, pool *pgxpool.Pool, schema string) (st status.Status, age time.Duration, err error) {
	var body *string
	var seconds *float64
	err = pool.QueryRow(ctx, `SELECT status::text, extract(epoch FROM clock_timestamp() - status_at)::double precision FROM hcbridge.instance WHERE schema = $1`, schema).Scan(&body, &seconds)
	var pg *pgconn.PgError
	if errors.Is(err, pgx.ErrNoRows) || errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000") || err == nil && body == nil {
		return st, 0, ErrNeverRan
	}
	if err != nil {
		return st, 0, fmt.Errorf("read status: %w", err)
	}
	if err := json.Unmarshal([]byte(*body), &st); err != nil {
		return st, 0, fmt.Errorf("read status: %w", err)
	}
	return st, time.Duration(*seconds * float64(time.Second)), nil
}

// ErrNeverRan reports that no bridge has worked on the schema yet.
var ErrNeverRan = errors.New("no bridge has run on this database and schema yet")

// Failures lists failed writes and failed reads, newest first.
func Failures(ctx context.Context, pool *pgxpool.Pool, cfg *config.Config, limit int) ([]web.Failure, error) {
	writes, err := outbox.Errors(ctx, pool, cfg.Schema, limit)
	if err != nil {
		return nil, err
	}
	list := make([]web.Failure, 0, len(writes))
	for _, e := range writes {
		list = append(list, web.Failure{
			Direction: "write", ID: e.ID, Table: e.Table, RecordID: e.RecordID, SFID: e.SFID, Action: e.Action,
			Message: e.Message, At: e.At,
		})
	}
	rows, err := pool.Query(ctx, readErrorsSQL, cfg.Schema, limit)
	if err != nil {
		return nil, fmt.Errorf("read errors: %w", err)
	}
	f := web.Failure{Direction: "read"}
	_, err = pgx.ForEachRow(rows, []any{&f.Object, &f.SFID, &f.Code, &f.Message, &f.At}, func() error {
		list = append(list, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read errors: %w", err)
	}
	return list, nil
}

// isDatabase reports whether err came from Postgres or the way to it.
func isDatabase(err error) bool {
	var pg *pgconn.PgError
	var ce *pgconn.ConnectError
	return errors.As(err, &pg) || errors.As(err, &ce) || pgconn.Timeout(err) && !errors.As(err, new(*salesforce.Error))
}

// isDatabaseDown reports trouble with Postgres that passes: no connection, a
// restart, too many connections.
func isDatabaseDown(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		switch pg.Code[:2] {
		case "08", "53", "57", "40", "55":
			return true
		}
		return false
	}
	var se *salesforce.Error
	var ce *ConfigError
	return !errors.As(err, &se) && !errors.As(err, &ce)
}

// isRefused reports that Postgres answered, and that no retry will change what
// it said: wrong password, no such role or database.
func isRefused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && (pg.Code[:2] == "28" || pg.Code == "3D000")
}
