package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pushtopic"
)

var (
	//go:embed sql/identity.sql
	identityTemplate string
	//go:embed sql/place.sql
	placeSQL string
	// identitySQL notes what placeSQL only asks.
	identitySQL = strings.Replace(identityTemplate, "{place}", placeSQL, 1)

	//go:embed sql/unsafe.sql
	unsafeSQL string
	//go:embed sql/epoch.sql
	epochSQL string
	//go:embed sql/adopt.sql
	adoptSQL string
	//go:embed sql/dismiss_all.sql
	dismissAllSQL string
)

// epochEvery is how long writes go on under one epoch. A database that was set
// back by less than that is not told apart from one that was not.
const epochEvery = time.Hour

// failOverLoss is how much of its past a database may lose to a fail-over without
// being taken for one that was set back.
const failOverLoss = time.Minute

// identity tells a copy of the database from the database, and one that was set
// back from one that was not. What it finds is written down, and lasts until a
// person adopts the database: outbound stands still meanwhile, since rows of a
// copy, or of yesterday, would be written over what is right in Salesforce.
//
// Which cluster and database this is, and at which address, says whether it is a
// copy; a fail-over keeps the first two. How far it has come is the epoch: a number
// that grows while writes are sent, and is noted in the Description of one of our
// PushTopics. If Salesforce knows a later one than the database, the database was set
// back, or a copy of it was at work; or a fail-over has lost the commit of an epoch,
// which this process knows if it began that epoch. Where there is no topic, only the
// first is checked.
//
// All of it is looked at when a session begins, with each new epoch, and each full
// hour, when polls are due as well and the question travels with theirs.
type identity struct {
	wrote   atomic.Bool // something was sent since the epoch began
	began   time.Time
	checked time.Time // by Salesforce's clock
}

// due reports whether a span of length every has begun since the last check.
func (i *identity) due(now time.Time, every time.Duration) bool {
	return i.checked.Before(now.Truncate(every))
}

// begun is the epoch that this process began last, and for how long the server that
// committed it was seen after that. Safe for concurrent use.
type begun struct {
	mu       sync.Mutex
	epoch    int64
	at, seen time.Time
}

func (b *begun) begin(epoch int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.epoch, b.at = epoch, time.Now()
	b.seen = b.at
}

// see notes that the server was there.
func (b *begun) see() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = time.Now()
}

// lost reports whether a database that does not know epoch is explained by a
// fail-over: it was begun here, shortly before the server was seen last.
func (b *begun) lost(epoch int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return epoch == b.epoch && b.seen.Sub(b.at) < failOverLoss
}

// checkIdentity compares the database with what it was and what Salesforce remembers of
// it, and returns why nothing may be sent, "" if it may.
func (s *session) checkIdentity(ctx context.Context) (unsafe string, err error) {
	unsafe, epoch, err := placed(ctx, s.pool, s.cfg, identitySQL)
	if err != nil {
		return "", err
	}
	noted, name, err := s.notedEpoch(ctx)
	switch {
	case err != nil:
		return "", err
	case noted > epoch:
		var reason *string
		if s.begun.lost(noted) {
			s.log.Warn().Str("component", "bridge").Str("event", "epoch_lost").Int64("epoch", noted).Int64("database", epoch).
				Msg("Postgres has lost the number of this hour, which this process began; writes go on")
		} else {
			reason = new(setBack(name))
		}
		if err := s.pool.QueryRow(ctx, unsafeSQL, s.cfg.Schema, noted, reason).Scan(&unsafe); err != nil {
			return "", fmt.Errorf("identity of the database: %w", err)
		}
	}
	return unsafe, nil
}

// placed asks placeSQL, or identitySQL, why nothing may be sent from here, and for the epoch.
func placed(ctx context.Context, pool pgPool, cfg *config.Config, sql string) (unsafe string, epoch int64, err error) {
	system, err := askServer(ctx, pool, "SELECT system_identifier::text FROM pg_control_system()")
	if err != nil {
		return "", 0, err
	}
	line, err := askServer(ctx, pool, "SELECT left(pg_walfile_name(pg_current_wal_lsn()), 8)")
	if err != nil {
		return "", 0, err
	}
	address, err := addressOf(cfg.DatabaseURL.Reveal())
	if err != nil {
		return "", 0, err
	}
	if err := pool.QueryRow(ctx, sql, cfg.Schema, system, address, line).Scan(&unsafe, &epoch); err != nil {
		return "", 0, fmt.Errorf("identity of the database: %w", err)
	}
	return unsafe, epoch, nil
}

// setBack says why nothing may be sent from a database that does not know an epoch which is
// noted in a topic.
func setBack(topic string) string {
	return fmt.Sprintf("topic %s in Salesforce knows a later state of this database than the database itself: it was set back, or a copy of it was at work", topic)
}

// askServer asks the server about itself, and returns nil where the role may not, or
// the server cannot tell.
func askServer(ctx context.Context, pool pgPool, sql string) (*string, error) {
	var answer string
	err := pool.QueryRow(ctx, sql).Scan(&answer)
	switch {
	case err == nil:
		return &answer, nil
	case isDatabase(err) && !isDatabaseDown(err):
		return nil, nil
	}
	return nil, fmt.Errorf("identity of the server: %w", err)
}

// addressOf is where a connection string leads: all its servers, in any order, and the
// database; no credentials.
func addressOf(url string) (string, error) {
	cfg, err := pgconn.ParseConfig(url)
	if err != nil {
		return "", errors.New("DATABASE_URL is not a Postgres connection string") // the cause may show a password
	}
	servers := []string{net.JoinHostPort(strings.ToLower(cfg.Host), strconv.Itoa(int(cfg.Port)))}
	for _, f := range cfg.Fallbacks { // with and without TLS, too
		servers = append(servers, net.JoinHostPort(strings.ToLower(f.Host), strconv.Itoa(int(f.Port))))
	}
	slices.Sort(servers)
	return strings.Join(slices.Compact(servers), ",") + "/" + cfg.Database, nil
}

// notedEpoch is the epoch that Salesforce knows, and where.
func (s *session) notedEpoch(ctx context.Context) (epoch int64, topic string, err error) {
	if !slices.ContainsFunc(s.objects, func(o *object) bool { return o.cfg.Mode == config.ModeStreaming }) {
		return 0, "", nil
	}
	var name string
	if err := s.pool.QueryRow(ctx, bridgeNameSQL, s.cfg.Schema).Scan(&name); err != nil {
		return 0, "", fmt.Errorf("name of the bridge: %w", err)
	}
	epoch, topic, err = pushtopic.Epoch(ctx, topics{s.sf}, name)
	if _, final := refused(err); err != nil && final {
		return 0, "", nil // without the right to read topics there are none of ours
	}
	return epoch, topic, err
}

// keepIdentity begins an epoch with the first write, and a new one with the first
// after each hour. It costs two API calls each time, and none while nothing is
// sent. Each hour it checks the identity; obey sees to what that finds.
func (s *session) keepIdentity(ctx context.Context) error {
	s.id.checked = s.sf.ServerTime()
	for {
		sleep(ctx, wishesEvery)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a requested stop is not a failure
		}
		every := epochEvery
		if !slices.ContainsFunc(s.objects, func(o *object) bool { return !s.resting(o) }) {
			every = restEvery // with the polls
		}
		if now := s.sf.ServerTime(); s.id.due(now, every) {
			s.id.checked = now
			if _, err := s.checkIdentity(salesforce.Together(ctx)); err != nil && ctx.Err() == nil {
				s.log.Warn().Str("component", "bridge").Str("event", "identity_failed").Err(err).Msg("it could not be checked which database this is; tried again in an hour")
			}
		}
		if !s.id.wrote.Load() || time.Since(s.id.began) < epochEvery {
			continue
		}
		s.id.wrote.Store(false)
		s.id.began = time.Now()
		if err := s.beginEpoch(ctx); err != nil && ctx.Err() == nil {
			s.id.wrote.Store(true)
			s.id.began = time.Now().Add(time.Minute - epochEvery)
			s.log.Warn().Str("component", "bridge").Str("event", "epoch_failed").Err(err).Msg("Salesforce could not be told how far the database has come; tried again in a minute")
		}
	}
}

func (s *session) beginEpoch(ctx context.Context) error {
	if unsafe, err := s.checkIdentity(ctx); err != nil || unsafe != "" {
		return err // obey sees to the rest
	}
	var epoch int64
	var name string
	if err := s.pool.QueryRow(ctx, epochSQL, s.cfg.Schema).Scan(&epoch); err != nil {
		return fmt.Errorf("next epoch: %w", err)
	}
	s.begun.begin(epoch)
	if err := s.pool.QueryRow(ctx, bridgeNameSQL, s.cfg.Schema).Scan(&name); err != nil {
		return fmt.Errorf("name of the bridge: %w", err)
	}
	err := pushtopic.SetEpoch(ctx, topics{s.sf}, name, epoch)
	if _, final := refused(err); err != nil && final {
		return nil
	}
	return err
}

// Adopted is what [Adopt] did.
type Adopted struct {
	Reason    string `json:"reason"`    // why nothing was sent, "" if it was
	Waiting   int64  `json:"waiting"`   // entries that are sent now
	Inherited int64  `json:"inherited"` // creations that Heroku Connect had sent: repeated with an external id, else for a person
	Dismissed int64  `json:"dismissed"` // entries that are not
}

// Adopt confirms that the database is the one to write to Salesforce from, though
// it was copied, moved or set back. What waits is sent, or with dismiss IGNORED,
// after which everything is compared and what differs taken from Salesforce.
func Adopt(ctx context.Context, pool *pgxpool.Pool, schema string, dismiss bool) (a Adopted, err error) {
	log, archive := pgx.Identifier{schema, "_trigger_log"}.Sanitize(), pgx.Identifier{schema, "_trigger_log_archive"}.Sanitize()
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) (err error) {
		if err := tx.QueryRow(ctx, adoptSQL, schema).Scan(&a.Reason); err != nil {
			return err
		}
		if a.Reason == "" {
			return nil
		}
		if dismiss {
			if _, err := tx.Exec(ctx, `UPDATE hcbridge.object SET full_wanted = true WHERE schema = $1`, schema); err != nil {
				return err
			}
			return tx.QueryRow(ctx, fmt.Sprintf(dismissAllSQL, log, archive)).Scan(&a.Dismissed)
		}
		if a.Reason == fromHeroku {
			if a.Inherited, err = outbox.Inherit(ctx, tx, schema); err != nil {
				return err
			}
		}
		return tx.QueryRow(ctx, "SELECT count(*) - $1 FROM "+log+" WHERE state IN ('NEW', 'PENDING')", a.Inherited).Scan(&a.Waiting)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return a, ErrNeverRan
	}
	if err != nil {
		return a, commandError("adopt", err)
	}
	return a, nil
}
