package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"hcbridge/config"
	"hcbridge/internal/beat"
	"hcbridge/internal/poll"
	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

//go:embed sql/pin.sql
var pinSQL string

// startWithin is how long a session may take to begin without a word. One that follows
// another, or a take-over, has begun by then as a rule, and readiness does not flap.
const startWithin = 3 * time.Second

// session is the work of one holder of the lease.
type session struct {
	*Bridge
	pool      pgPool
	sf        *salesforce.Client
	sink      *pgsink.Sink
	reader    *poll.Reader
	in        *inbound
	stream    *stream
	orgID     string
	userID    string         // ours
	writer    *outbox.Worker // nil if nothing is written
	objects   []*object
	byTable   map[string]*object
	aside     map[string]error // why objects of the configuration are not at work, by their names there; of mapAll, then of watchSchema
	schema    *schemaWatch
	foreknown *descriptions  // of before it was our turn; nil = not mapped by any
	capture   outbox.Capture // what captures changes, as installed; of installAll, then of watchTriggers
	marked    chan struct{}  // capacity 1: there are marks to read back
	unsafe    string         // why nothing is sent; "" if it may be
	unmapped  string         // what is told of tables that are not mapped; refresh's
	left      []string       // tables that were mapped once and are not now
	back      chan struct{}  // capacity 1: the database has gone back
	recount   atomic.Bool    // rows are to be counted at once, as a load is complete
	server    time.Time      // when the database's server was started
	id        identity
	waits     atomic.Pointer[string] // what it cannot begin for; nil = nothing has failed
	trouble   atomic.Pointer[string] // connection state that the last answer of Salesforce calls for; empty if none
}

func newSession(b *Bridge, pool pgPool, sf *salesforce.Client) *session {
	s := &session{Bridge: b, pool: pool, sf: sf, byTable: map[string]*object{}, aside: map[string]error{}, schema: newSchemaWatch(), marked: make(chan struct{}, 1), back: make(chan struct{}, 1)}
	s.sink = pgsink.New(pool, b.cfg.Schema, b.log)
	s.sink.Durable = b.cfg.SynchronousCommit
	if f, ok := pool.(*fence); ok {
		s.sink.Fence = f.check
	}
	s.reader = poll.New(sf, s.sink, b.log)
	s.in = newInbound(s)
	return s
}

// run maps the objects and then keeps them in step until ctx ends, or until the
// org or the tables are no longer what the mappings say, or nothing may be sent
// any more: errRemap, or until a person wants a pause: errPaused.
func (s *session) run(ctx context.Context) error {
	begun := beside(ctx, s.tellStart)
	defer begun()
	if s.orgID == "" {
		if err := s.login(ctx); err != nil {
			return ignoreEnd(ctx, err)
		}
	}
	if err := s.mapAll(ctx); err != nil {
		return ignoreEnd(ctx, err)
	}
	var positions map[string]pgsink.Position
	if err := s.forever(ctx, "set up", func(ctx context.Context) (err error) {
		if err := s.installAll(ctx); err != nil {
			return err
		}
		s.relate()
		if s.server, err = serverStart(ctx, s.pool); err != nil {
			return err
		}
		positions, err = s.sink.Positions(ctx)
		return err
	}); err != nil {
		return ignoreEnd(ctx, err)
	}
	st, err := newStream(s)
	if err != nil {
		return err
	}
	s.stream = st
	s.sink.Greet = s.greet
	writer, listener, err := s.outbound(ctx)
	if err != nil {
		return ignoreEnd(ctx, err)
	}

	begun()
	s.resume("start")
	s.board.Connection(func(c *status.Connection) { c.State, c.Message = status.Idle, "" })
	s.log.Info().Str("component", "bridge").Str("event", "running").Int("objects", len(s.objects)).Msg("both directions run")
	for _, o := range s.objects {
		o.poll.Bulk = s.bulkProgress(o)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return s.stream.run(ctx) })
	g.Go(func() error { return s.stream.keep(ctx, positions) })
	g.Go(func() error { return s.stream.pollAway(ctx) })
	g.Go(func() error { return s.in.run(ctx) })
	g.Go(func() error { return s.watchServer(ctx) })
	g.Go(func() error { return s.hydrate(ctx) })
	g.Go(func() error { return s.refresh(ctx, listener) })
	g.Go(func() error { return s.watchSchema(ctx) })
	g.Go(func() error { return s.watchTriggers(ctx) })
	g.Go(func() error { return s.reloads(ctx) })
	g.Go(func() error { return s.obey(ctx) })
	for _, o := range s.objects {
		g.Go(func() error { return s.runObject(ctx, o) })
	}
	if writer != nil {
		g.Go(func() error { return listener.Run(ctx) })
		g.Go(func() error { return writer.Run(ctx) })
		g.Go(func() error { return s.keepIdentity(ctx) })
	} else if s.unsafe == "" {
		g.Go(func() error { return s.tidy(ctx) })
	}
	return g.Wait()
}

// tellStart tells until ctx ends that the session has not begun, and why, once that
// takes longer than a moment. Who has stood by, or worked, was ready before.
func (s *session) tellStart(ctx context.Context) {
	sleep(ctx, startWithin)
	for ; ctx.Err() == nil; sleep(ctx, refreshEvery) {
		message := ""
		if why := s.waits.Load(); why != nil {
			message = *why
			s.stop("start", message)
		} else {
			s.board.Stop("start", "starting") // it takes its time, which is nothing for the log
		}
		s.board.Connection(func(c *status.Connection) {
			if c.State == status.Idle || c.State == status.PollingDBChanges { // of the session before
				c.State = status.Starting
			}
			c.Message = message
		})
	}
}

// login gets the first token. Credentials that Salesforce refuses are a
// configuration error: trying them again could lock the user out.
func (s *session) login(ctx context.Context) error {
	return s.forever(ctx, "login", func(ctx context.Context) error {
		sess, err := s.introduce(ctx, s.sf)
		if err != nil {
			return err
		}
		s.orgID, s.userID = sess.OrgID, sess.UserID
		return s.pin(ctx)
	})
}

// pin binds the schema to the org: rows of one org must never be sent to
// another, such as a sandbox's to production. What has kept it before is asked
// whose it is.
func (s *session) pin(ctx context.Context) error {
	unsafe := ""
	var pinned bool
	err := s.pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM hcbridge.instance WHERE schema = $1 AND org_id IS NOT NULL)", s.cfg.Schema).Scan(&pinned)
	if err == nil && !pinned {
		unsafe, err = belongs(ctx, s.pool, s.cfg.Schema, s.orgID)
	}
	if err != nil {
		return err
	}
	var org string
	if err := s.pool.QueryRow(ctx, pinSQL, s.cfg.Schema, s.orgID, unsafe).Scan(&org); err != nil {
		return fmt.Errorf("pin org: %w", err)
	}
	if org != s.orgID {
		return otherOrg(s.cfg.Schema, org, s.orgID)
	}
	return nil
}

// installAll installs for all objects but those whose tables somebody holds a lock on:
// these are put aside, and the others begin. What is captured of them stays as it was.
func (s *session) installAll(ctx context.Context) error {
	list := make([]*mapping, len(s.objects))
	for i, o := range s.objects {
		list[i] = o.mapping
	}
	captured, err := s.captured(ctx, list...)
	if err != nil {
		return err
	}
	for {
		capture, err := s.install(ctx)
		if err == nil {
			s.capture = capture
			s.leave(captured)
			return nil
		}
		one, ok := errors.AsType[*outbox.TableError](err)
		if !ok || !isLocked(err) || s.byTable[one.Table] == nil {
			return err
		}
		s.takeOff(ctx, s.byTable[one.Table], err)
	}
}

// install makes triggers and the trigger log what the mappings say, and returns what
// captures changes then. more are tables that are about to be at work.
func (s *session) install(ctx context.Context, more ...outbox.Table) (capture outbox.Capture, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// Whoever waits for a lock that we wait for, or have, must not wait long.
		if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '2s', true), set_config('idle_in_transaction_session_timeout', '5s', true)"); err != nil {
			return err
		}
		if err := makeSchema(ctx, tx, s.cfg.Schema); err != nil { // no table may have been made in it yet
			return err
		}
		err := outbox.Install(ctx, tx, s.cfg.Schema, append(s.outboxTables(), more...), s.unresolved(), s.orgID)
		if errors.Is(err, outbox.ErrOtherOrg) { // somebody has edited it since the schema was bound
			m, err := outbox.ReadMarker(ctx, tx, s.cfg.Schema)
			if err != nil {
				return err
			}
			return otherOrg(s.cfg.Schema, m.OrgID+" by its table _hcmeta", s.orgID)
		}
		if err != nil {
			return err
		}
		capture, err = outbox.Inspect(ctx, tx, s.cfg.Schema)
		return err
	})
	return capture, err
}

// unresolved lists the tables of objects that are mapped but not synced now, for
// example because a permission was lost. What the app writes to them meanwhile
// is still captured, and sent once they are synced again.
func (s *session) unresolved() []string {
	var names []string
	for _, cfg := range s.cfg.Objects {
		if name := pgsink.TableName(cfg.Name); s.byTable[name] == nil {
			names = append(names, name)
		}
	}
	return names
}

func (s *session) outboxTables() []outbox.Table {
	tables := make([]outbox.Table, 0, len(s.objects))
	for _, o := range s.objects {
		tables = append(tables, o.outbox)
	}
	return tables
}

// outbound prepares the writer, or nothing if every object is read only or the
// database has to be adopted first.
func (s *session) outbound(ctx context.Context) (*outbox.Worker, *outbox.Listener, error) {
	writes := false
	for _, o := range s.objects {
		if o.cfg.Access == accessReadWrite {
			writes = true
			if o.authors {
				o.poll.Me = s.userID
			}
		}
	}
	err := s.forever(ctx, "identity", func(ctx context.Context) (err error) {
		if !writes {
			w, err := readWishes(ctx, s.pool, s.cfg.Schema)
			s.unsafe = w.unsafe
			return err
		}
		s.unsafe, err = s.checkIdentity(ctx)
		return err
	})
	if err != nil || !writes {
		return nil, nil, err
	}
	if s.unsafe != "" {
		s.stop("outbound", s.unsafe+". Nothing is sent until `hcbridge adopt` confirms it")
		return nil, nil, nil
	}
	s.resume("outbound")
	url := s.cfg.ListenDatabaseURL.Reveal()
	if url == "" {
		url = s.cfg.DatabaseURL.Reveal()
	}
	listener := outbox.NewListener(func(ctx context.Context) (*pgx.Conn, error) { return connectToListen(ctx, url) }, outbox.Channel(s.cfg.Schema), s.log)
	var purse *outbox.Purse
	if err := s.forever(ctx, "purse", func(ctx context.Context) (err error) {
		purse, err = s.purse(ctx)
		return err
	}); err != nil {
		return nil, nil, err
	}
	worker, err := outbox.New(s.pool, outbox.Config{
		Schema: s.cfg.Schema, Algorithm: s.cfg.WriteAlgorithm, Tables: s.outboxTables(), Sender: sender{s}, Finder: finder{s}, Bulk: bulk{s}, Settle: s.settled, Spent: s.keepPurse, InDoubt: s.inDoubt, Gate: gate{s}, Stalled: s.stalled, Unanswered: s.unanswered,
		Budget: s.budget, Purse: purse, BatchSize: salesforce.MaxRecords, Wake: listener.Wake(), Log: s.log,
		StopGrace: s.cfg.ShutdownGrace * 4 / 5, // 20 s of 25; what is left is for the rest
	})
	if err != nil {
		return nil, nil, err
	}
	s.writer = worker
	return worker, listener, s.forever(ctx, "recover", worker.Recover)
}

// tidyEvery is how often entries of tables that are read only go to the archive.
const tidyEvery = 5 * time.Second

// tidy keeps the trigger log short where nothing is written, and no worker does it.
func (s *session) tidy(ctx context.Context) error {
	w, err := outbox.New(s.pool, outbox.Config{Schema: s.cfg.Schema, Tables: s.outboxTables(), Sender: sender{s}, Settle: s.settled, Log: s.log})
	if err != nil {
		return err
	}
	for ctx.Err() == nil {
		_ = w.TidyUp(ctx) // that the database is in trouble is told by refresh
		sleep(ctx, beat.Wait(tidyEvery))
	}
	return nil
}

// forever repeats op until it works, while time can heal it, and has tellStart say why
// it does not.
func (s *session) forever(ctx context.Context, name string, op func(context.Context) error) error {
	var why *string
	err := retry.Forever(ctx, s.log.With().Str("component", "bridge").Logger(), name, func(err error) bool {
		var ce *ConfigError
		return !errors.As(err, &ce) && (isDatabaseDown(err) || salesforce.ClassOf(err) != salesforce.Permanent && !isDatabase(err))
	}, func(ctx context.Context) error {
		err := op(ctx)
		if err != nil {
			why = new(name + ": " + err.Error())
			if isLocked(err) {
				*why += "; end the transaction that holds a lock on one of the tables" + s.lockedBy(ctx, "")
			}
			s.waits.Store(why)
		}
		return err
	})
	s.waits.CompareAndSwap(why, nil)
	return err
}

// authConfigError explains credentials that Salesforce refused, or returns nil
// if err is something else.
func authConfigError(cfg *config.Config, err error) error {
	var se *salesforce.Error
	if !errors.As(err, &se) || se.Class != salesforce.Auth && se.Class != salesforce.Permanent {
		return nil
	}
	variable := map[config.Auth]string{
		config.AuthPassword: "HC_SALESFORCE_USERNAME, HC_SALESFORCE_PASSWORD", config.AuthJWT: "HC_SALESFORCE_JWT_KEY, HC_SALESFORCE_USERNAME",
		config.AuthRefreshToken: "HC_SALESFORCE_REFRESH_TOKEN", config.AuthClientCredentials: "HC_SALESFORCE_CLIENT_ID, HC_SALESFORCE_CLIENT_SECRET",
	}[cfg.Salesforce.Auth]
	if se.Code == "invalid_client_id" || se.Code == "invalid_client" {
		variable = "HC_SALESFORCE_CLIENT_ID, HC_SALESFORCE_CLIENT_SECRET"
	}
	return &ConfigError{Variable: variable, Text: "Salesforce refuses the login: " + se.Error()}
}
