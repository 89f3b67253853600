package bridge

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"hcbridge/config"
	"hcbridge/internal/migrate"
	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

// maxConns is all the connections of the bridge but the one that listens:
// applying, reading back, sending, polling, status, lease.
const maxConns = 8

// ConfigError is a failure that no retry heals, because a person must change a
// setting first. Its text names the variable and the remedy.
type ConfigError struct {
	Variable string
	Text     string
}

func (e *ConfigError) Error() string { return e.Variable + ": " + e.Text }

// Bridge is the whole program. Run it once.
type Bridge struct {
	cfg     *config.Config
	version string
	log     zerolog.Logger
	board   *status.Board
	inDoubt time.Duration // see outbox.Config; only tests set it
}

// New returns a bridge for cfg. It does no I/O.
func New(cfg *config.Config, version string, log zerolog.Logger) *Bridge {
	b := &Bridge{cfg: cfg, version: version, log: log, board: status.New()}
	b.board.Connection(func(c *status.Connection) {
		c.APIVersion, c.WriteAlgorithm = cfg.Salesforce.APIVersion, cfg.WriteAlgorithm
	})
	for _, o := range cfg.Objects {
		b.board.Object(o.Name, func(s *status.Object) { s.Mode, s.ModeEffective, s.Access = o.Mode, o.Mode, o.Access })
	}
	return b
}

// Board returns what the bridge shows of itself.
func (b *Bridge) Board() *status.Board { return b.board }

// Run keeps both sides in step until ctx ends; see the package comment.
func (b *Bridge) Run(ctx context.Context) error {
	if len(b.cfg.Objects) == 0 {
		return &ConfigError{Variable: "HC_OBJECTS", Text: "no object is mapped: name some, as Account,Contact, or set HC_MAPPING_FILE"}
	}
	b.log.Info().Str("component", "bridge").Str("event", "starting").Str("version", b.version).Int("objects", len(b.cfg.Objects)).Msg("starting")
	pool, err := OpenPool(ctx, b.cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	sf, err := NewSalesforce(b.cfg, b.log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if b.cfg.HTTPAddr != "" {
		server := web.New(web.Config{
			Board: b.board, Addr: b.cfg.HTTPAddr, Token: b.cfg.HTTPToken.Reveal(), Version: b.version,
			Errors: func(ctx context.Context, limit int) ([]web.Failure, error) { return Failures(ctx, pool, b.cfg, limit) },
			Retry:  func(ctx context.Context, ids []string) (int64, error) { return Retry(ctx, pool, b.cfg.Schema, ids) },
			Ignore: func(ctx context.Context, ids []string) (int64, error) { return Ignore(ctx, pool, b.cfg.Schema, ids) },
			Plan:   newChooser(b.cfg, newOrgMemory(sf), b.board).plan,
		})
		g.Go(func() error {
			if err := server.Run(ctx); err != nil {
				return &ConfigError{Variable: "HC_HTTP_ADDR", Text: err.Error()}
			}
			return nil
		})
	}
	g.Go(func() error { return b.work(ctx, pool, sf) })
	g.Go(func() error { return b.sample(ctx) })
	err = g.Wait()
	b.log.Info().Str("component", "bridge").Str("event", "stopped").Err(err).Msg("stopped")
	return err
}

// sample has the board add up the activity of each minute.
func (b *Bridge) sample(ctx context.Context) error {
	for ctx.Err() == nil {
		b.board.Sample(time.Now())
		sleep(ctx, time.Second)
	}
	return nil
}

// work holds the lease and runs sessions under it.
func (b *Bridge) work(ctx context.Context, pool *pgxpool.Pool, sf *salesforce.Client) error {
	if err := b.prepare(ctx, pool); err != nil {
		return ignoreEnd(ctx, err)
	}
	l := newLease(pool, b.cfg.Schema)
	for ctx.Err() == nil {
		if err := b.stand(ctx, l); err != nil {
			return ignoreEnd(ctx, err)
		}
		err := b.hold(ctx, pool, sf, l)
		if !errors.Is(err, errLeaseLost) {
			return ignoreEnd(ctx, err)
		}
		b.stop("lease", "the lease was lost; standing by")
	}
	return nil
}

// prepare waits for the database and brings the bridge's own schema up to
// date.
func (b *Bridge) prepare(ctx context.Context, pool *pgxpool.Pool) error {
	return retry.Forever(ctx, b.log, "database", isDatabaseDown, func(ctx context.Context) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			b.board.Connection(func(c *status.Connection) { c.State = status.DBUnavailable })
			b.board.Stop("database", "no connection: "+err.Error())
			if isRefused(err) {
				return &ConfigError{Variable: "DATABASE_URL", Text: err.Error()}
			}
			return err
		}
		defer conn.Release()
		b.board.Go("database")
		b.board.Connection(func(c *status.Connection) { c.State = status.Starting })
		return migrate.Up(ctx, conn.Conn())
	})
}

// stand waits until the lease is ours.
func (b *Bridge) stand(ctx context.Context, l *lease) error {
	said := false
	for {
		ok, err := l.take(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			b.stop("database", err.Error())
			b.board.Connection(func(c *status.Connection) { c.State = status.DBUnavailable })
		case ok:
			b.board.Go("database")
			b.board.Go("lease")
			b.board.Connection(func(c *status.Connection) { c.Role, c.State = "active", status.Starting })
			b.log.Info().Str("component", "bridge").Str("event", "lease_taken").Msg("this process works")
			return nil
		case !said:
			said = true
			b.board.Connection(func(c *status.Connection) { c.Role, c.State = "standby", status.Standby })
			b.board.Go("start") // a process that stands by is as ready as it can be
			b.log.Info().Str("component", "bridge").Str("event", "standby").Msg("another process works, standing by")
		}
		sleep(ctx, time.Second)
	}
}

// hold runs sessions under the lease, a new one whenever the mappings change.
func (b *Bridge) hold(ctx context.Context, pool *pgxpool.Pool, sf *salesforce.Client, l *lease) error {
	g, gctx := errgroup.WithContext(ctx)
	sctx, cancel := context.WithCancel(gctx)
	g.Go(func() error { return l.keep(sctx) })
	g.Go(func() error {
		defer cancel() // the lease is given up last
		org, user := "", ""
		for {
			b.whilePaused(gctx, pool)
			s := newSession(b, pool, sf)
			s.orgID, s.userID = org, user
			err := s.run(gctx)
			if !errors.Is(err, errRemap) && !errors.Is(err, errPaused) {
				return err
			}
			org, user = s.orgID, s.userID
		}
	})
	return g.Wait()
}

// OpenPool returns a pool for DATABASE_URL. It does not connect yet.
func OpenPool(ctx context.Context, cfg *config.Config) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL.Reveal())
	if err != nil {
		return nil, &ConfigError{Variable: "DATABASE_URL", Text: "not a Postgres connection string"}
	}
	pc.MaxConns = maxConns
	pc.ConnConfig.ConnectTimeout = 10 * time.Second
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "hcbridge"
	}
	pc.BeforeConnect = new(pooler).prepareNothing
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		return nil, fmt.Errorf("database pool: %w", err)
	}
	return pool, nil
}

// NewSalesforce returns the client that cfg describes. It does no I/O.
func NewSalesforce(cfg *config.Config, log zerolog.Logger) (*salesforce.Client, error) {
	c := cfg.Salesforce
	client, err := salesforce.New(salesforce.Config{
		LoginURL: c.LoginURL, Auth: string(c.Auth), ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), Username: c.Username,
		Password: c.Password.Reveal(), JWTKey: c.JWTKey.Reveal(), RefreshToken: c.RefreshToken.Reveal(), APIVersion: c.APIVersion,
		Log: log,
	})
	if err != nil {
		return nil, &ConfigError{Variable: "HC_SALESFORCE_*", Text: err.Error()}
	}
	return client, nil
}

func (b *Bridge) stop(part, reason string) {
	if b.board.Stop(part, reason) {
		b.log.Error().Str("component", "bridge").Str("event", "flow_stopped").Str("part", part).Str("reason", reason).Msg("stopped")
	}
}

func (b *Bridge) resume(part string) {
	if was, after := b.board.Go(part); was {
		b.log.Info().Str("component", "bridge").Str("event", "flow_resumed").Str("part", part).Dur("took_ms", after).Msg("flows again")
	}
}

// ignoreEnd makes nothing of an error that only says that ctx has ended.
func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil //nolint:nilerr // a requested stop is not a failure
	}
	return err
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
