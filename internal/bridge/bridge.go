package bridge

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
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
const maxConns = 6

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
	answers time.Duration // answerWithin; only tests set it
	refused atomic.Int64  // transactions that were fenced
	doubt   chan struct{} // capacity 1: the lease may be lost
	begun   begun         // outlasts the sessions
	charset string        // the database's encoding; "" = not connected yet
	missed  sync.Map      // objects that are to be compared, as their changes were not captured for a while; outlasts the sessions, too
}

// New returns a bridge for cfg. It does no I/O.
func New(cfg *config.Config, version string, log zerolog.Logger) *Bridge {
	b := &Bridge{cfg: cfg, version: version, log: log, board: status.New(), answers: answerWithin, doubt: make(chan struct{}, 1)}
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
	b.log.Info().Str("component", "bridge").Str("event", "starting").Str("version", b.version).Int("objects", len(b.cfg.Objects)).Msg("starting")
	run := b.sync
	if len(b.cfg.Objects) == 0 {
		run = b.offer
	}
	err := remedied(run(ctx))
	level := zerolog.InfoLevel
	if err != nil {
		level = zerolog.ErrorLevel
	}
	b.log.WithLevel(level).Str("component", "bridge").Str("event", "stopped").Err(err).Msg("stopped")
	return err
}

func (b *Bridge) sync(ctx context.Context) error {
	pool, err := openPool(ctx, b.cfg, b.fenced)
	if err != nil {
		return err
	}
	defer pool.Close()
	// A client of its own: whoever stands by may look at the org, too.
	sf, err := NewSalesforce(b.cfg, b.log)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if b.cfg.HTTPAddr != "" {
		b.serve(ctx, g, sf, web.Config{
			Errors: func(ctx context.Context, limit int) ([]web.Failure, error) { return Failures(ctx, pool, b.cfg, limit) },
			Retry:  func(ctx context.Context, ids []string) (int64, error) { return Retry(ctx, pool, b.cfg.Schema, ids) },
			Ignore: func(ctx context.Context, ids []string) (int64, error) { return Ignore(ctx, pool, b.cfg.Schema, ids) },
		})
	}
	g.Go(func() error { return b.work(ctx, pool) })
	g.Go(func() error { return b.sample(ctx) })
	return g.Wait()
}

// serve adds the pages to what g runs. sf is for the mapping page; c says what
// concerns failures.
func (b *Bridge) serve(ctx context.Context, g *errgroup.Group, sf *salesforce.Client, c web.Config) {
	c.Board, c.Addr, c.Token, c.Version = b.board, b.cfg.HTTPAddr, b.cfg.HTTPToken.Reveal(), b.version
	c.Plan = newChooser(b.cfg, newOrgMemory(sf), b.board).plan
	server := web.New(c)
	g.Go(func() error {
		if err := server.Run(ctx); err != nil {
			return &ConfigError{Variable: "HC_HTTP_ADDR", Text: err.Error()}
		}
		return nil
	})
}

// sample has the board add up the activity of each minute, and tells what has faltered
// for too long.
func (b *Bridge) sample(ctx context.Context) error {
	for ctx.Err() == nil {
		b.board.Sample(time.Now())
		for _, s := range b.board.Outlasted() {
			b.tellStop(s.Part, s.Reason)
		}
		sleep(ctx, time.Second)
	}
	return nil
}

// work holds the lease and runs sessions under it.
func (b *Bridge) work(ctx context.Context, pool *pgxpool.Pool) error {
	if err := b.prepare(ctx, pool); err != nil {
		return ignoreEnd(ctx, err)
	}
	l := newLease(pool, b.cfg.Schema)
	l.doubt = b.doubt
	sf, err := newSalesforce(b.cfg, b.log, l.allow, b.loggedIn)
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		warm, err := b.stand(ctx, sf, l)
		if err != nil {
			return ignoreEnd(ctx, err)
		}
		err = b.hold(ctx, sf, l, warm)
		if !errors.Is(err, errLeaseLost) {
			return ignoreEnd(ctx, err)
		}
		b.log.Warn().Str("component", "bridge").Str("event", "lease_lost").Err(err).Msg("this process stops working")
	}
	return nil
}

// fenced counts a transaction that Postgres has refused because the lease is
// another's, and has the lease looked at.
func (b *Bridge) fenced() {
	b.log.Warn().Str("component", "bridge").Str("event", "fenced").Int64("count", b.refused.Add(1)).Msg("a transaction was refused: another process has taken over")
	select {
	case b.doubt <- struct{}{}:
	default:
	}
}

// prepare waits for the database and brings the bridge's own schema up to
// date.
func (b *Bridge) prepare(ctx context.Context, pool *pgxpool.Pool) error {
	return retry.Forever(ctx, b.log.With().Str("component", "bridge").Logger(), "database", isDatabaseDown, func(ctx context.Context) error {
		conn, err := pool.Acquire(ctx)
		if err != nil {
			b.board.Connection(func(c *status.Connection) { c.State = status.DBUnavailable })
			b.falter("database", "no connection: "+err.Error(), err)
			if isRefused(err) {
				return &ConfigError{Variable: "DATABASE_URL", Text: err.Error()}
			}
			return err
		}
		defer conn.Release()
		b.resume("database")
		b.charset = conn.Conn().PgConn().ParameterStatus("server_encoding")
		b.board.Connection(func(c *status.Connection) { c.State = status.Starting })
		err = migrate.Up(ctx, conn.Conn())
		if newer, ok := errors.AsType[*migrate.NewerError](err); ok {
			return &ConfigError{Variable: "DATABASE_URL", Text: newer.Error() + ": run the version of hcbridge that has worked here, or a newer one"}
		}
		return err
	})
}

// stand waits until the lease is ours, and returns what it has learned meanwhile of
// the objects, nil if nothing.
func (b *Bridge) stand(ctx context.Context, sf *salesforce.Client, l *lease) (*descriptions, error) {
	shown, seen := false, false
	var works worker
	w := &warmUp{sf: sf, cfg: b.cfg, log: b.log, known: func(ctx context.Context) (map[string]known, error) { return remembered(ctx, l.pool, l.schema) }}
	defer func() {
		w.end()
		l.reads.Store(false)
	}()
	for {
		ok, err := l.take(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			b.falter("database", err.Error(), err)
			b.board.Connection(func(c *status.Connection) { c.State = status.DBUnavailable })
			shown = false
		case ok:
			b.resume("database")
			b.board.Connection(func(c *status.Connection) { c.Role, c.State = "active", status.Starting })
			b.log.Info().Str("component", "bridge").Str("event", "lease_taken").Int64("epoch", l.epoch).Msg("this process works")
			return w.end(), nil
		default:
			if !seen && works.seen(l.others, time.Now()) {
				seen = true
				b.ready()
			}
			if shown {
				break
			}
			shown = true
			b.board.Connection(func(c *status.Connection) { c.Role, c.State, c.Streaming = "standby", status.Standby, "off" })
			b.resume("database")
			if !l.reads.Swap(true) {
				b.log.Info().Str("component", "bridge").Str("event", "standby").Msg("another process works, standing by")
				w.begin(ctx)
			}
		}
		sleep(ctx, leaseAsk)
	}
}

// worker is the other process, as who stands by knows it by its lease: one that was
// killed leaves a lease behind, which nobody renews.
type worker struct {
	until *time.Time // of its lease, at the first look
	since time.Time  // of that look
}

// seen reports whether the other process lives. until is that of its lease now, nil if
// that has just been taken or is about to be.
func (w *worker) seen(until *time.Time, now time.Time) bool {
	if until == nil {
		return false
	}
	if w.until == nil {
		w.until, w.since = until, now
	}
	return !until.Equal(*w.until) || now.Sub(w.since) > leaseTTL
}

// ready takes all stops back: a process that stands by is as ready as it can be,
// so that two of them can be rolled out one after the other.
func (b *Bridge) ready() {
	b.board.GoAll()
}

// hold runs sessions under the lease, a new one whenever the mappings change. The
// first begins with what is known of the objects, unless that is nil.
func (b *Bridge) hold(ctx context.Context, sf *salesforce.Client, l *lease, warm *descriptions) error {
	pool := &fence{pool: l.pool, schema: l.schema, epoch: l.epoch}
	g, gctx := errgroup.WithContext(ctx)
	// A stop ends the session, and its end the lease: what is in hand may need both.
	held, cancel := context.WithCancel(context.WithoutCancel(gctx))
	g.Go(func() error {
		defer cancel()
		return l.keep(held)
	})
	g.Go(func() error {
		defer cancel()
		defer beside(held, func(ctx context.Context) { b.publish(ctx, pool) })()
		org, user := "", ""
		for {
			b.whilePaused(gctx, pool)
			s := newSession(b, pool, sf)
			s.orgID, s.userID, s.foreknown = org, user, warm
			warm = nil
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
	return openPool(ctx, cfg, func() {})
}

// openPool calls fenced for each transaction that hcbridge.fence refuses.
func openPool(ctx context.Context, cfg *config.Config, fenced func()) (*pgxpool.Pool, error) {
	pc, err := pgxpool.ParseConfig(cfg.DatabaseURL.Reveal())
	if err != nil {
		return nil, &ConfigError{Variable: "DATABASE_URL", Text: malformed(err)}
	}
	asUTF8(&pc.ConnConfig.Config)
	pc.MaxConns = maxConns
	pc.ConnConfig.ConnectTimeout = 10 * time.Second
	if pc.ConnConfig.RuntimeParams["application_name"] == "" {
		pc.ConnConfig.RuntimeParams["application_name"] = "hcbridge"
	}
	onError := pc.ConnConfig.OnPgError
	pc.ConnConfig.OnPgError = func(conn *pgconn.PgConn, err *pgconn.PgError) bool {
		if err.Code == codeFenced {
			fenced()
		}
		return onError(conn, err)
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
	return newSalesforce(cfg, log, nil, nil)
}

func newSalesforce(cfg *config.Config, log zerolog.Logger, allow func() error, loggedIn func(salesforce.Session)) (*salesforce.Client, error) {
	c := cfg.Salesforce
	client, err := salesforce.New(salesforce.Config{
		LoginURL: c.LoginURL, Auth: string(c.Auth), ClientID: c.ClientID, ClientSecret: c.ClientSecret.Reveal(), Username: c.Username,
		Password: c.Password.Reveal(), JWTKey: c.JWTKey.Reveal(), RefreshToken: c.RefreshToken.Reveal(), APIVersion: c.APIVersion,
		Log: log, Allow: allow, LoggedIn: loggedIn,
	})
	if err != nil {
		return nil, &ConfigError{Variable: "HC_SALESFORCE_*", Text: err.Error()}
	}
	return client, nil
}

func (b *Bridge) stop(part, reason string) {
	if b.board.Stop(part, reason) {
		b.tellStop(part, reason)
	}
}

// falter is stop for what heals by itself, unless err needs a person: it is a stop once
// it has lasted.
func (b *Bridge) falter(part, reason string, err error) {
	if !heals(err) {
		b.stop(part, reason)
		return
	}
	switch begun, news := b.board.Falter(part, reason); {
	case begun:
		b.log.Warn().Str("component", "bridge").Str("event", "flow_falters").Str("part", part).Str("reason", reason).Msg("failed, and is tried again")
	case news:
		b.tellStop(part, reason)
	}
}

func (b *Bridge) tellStop(part, reason string) {
	b.log.Error().Str("component", "bridge").Str("event", "flow_stopped").Str("part", part).Str("reason", reason).Msg("stopped")
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

// beside runs fn until end is called, which waits for it.
func beside(ctx context.Context, fn func(context.Context)) (end func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() { fn(ctx) })
	return func() {
		cancel()
		wg.Wait()
	}
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
