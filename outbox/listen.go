package outbox

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rs/zerolog"
)

// Timing of a Listener.
const (
	heartbeatEvery = 10 * time.Second
	answerWithin   = 5 * time.Second // for a statement, and for our own notification
	reconnectMin   = 200 * time.Millisecond
	reconnectMax   = 10 * time.Second
)

// errDeaf reports that notifications do not reach the connection.
var errDeaf = errors.New("notifications do not arrive, as behind a pooler in transaction mode")

// Listener turns notifications on a channel into wake-ups. It holds a
// connection of its own. What a notification says is never looked at, since any
// role may send one; that one came is a hint to look.
type Listener struct {
	connect func(context.Context) (*pgx.Conn, error)
	channel string
	log     zerolog.Logger
	wake    chan struct{}
	healthy atomic.Bool
	failed  atomic.Bool
}

// NewListener makes a listener on channel (see [Channel]); it does no I/O.
// connect must reach the server directly: a transaction-mode pooler drops
// notifications, which the listener finds out and reports as not healthy.
func NewListener(connect func(context.Context) (*pgx.Conn, error), channel string, log zerolog.Logger) *Listener {
	return &Listener{
		connect: connect, channel: channel, wake: make(chan struct{}, 1),
		log: log.With().Str("component", "outbox").Logger(),
	}
}

// Wake is what [Config.Wake] takes. Wake-ups that nobody fetched are one.
func (l *Listener) Wake() <-chan struct{} { return l.wake }

// Healthy reports whether a notification would arrive now, as far as the last
// heartbeat tells. If not, changes still go out by polling.
func (l *Listener) Healthy() bool { return l.healthy.Load() }

// Failed reports whether the last attempt to listen has failed, and none has worked
// since. One that has only begun is neither healthy nor failed.
func (l *Listener) Failed() bool { return l.failed.Load() }

// Run listens until ctx ends, connecting again as often as needed. It returns
// nil exactly when ctx ended.
func (l *Listener) Run(ctx context.Context) error {
	wait := reconnectMin
	for {
		began := time.Now()
		err := l.session(ctx)
		l.healthy.Store(false)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a requested stop is not a failure
		}
		l.failed.Store(true)
		if time.Since(began) > heartbeatEvery {
			wait = reconnectMin // it worked for a while
		}
		if wait < reconnectMax { // then it is known
			l.log.Warn().Err(err).Str("event", "listen_lost").Dur("wait_ms", wait).Msg("not listening, polling meanwhile")
		}
		pause := time.NewTimer(wait - time.Duration(mathrand.Int64N(int64(wait)/4))) //nolint:gosec // jitter, not a secret
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
		wait = min(2*wait, reconnectMax)
	}
}

// session is one connection: it returns on any trouble.
func (l *Listener) session(ctx context.Context) error {
	conn, err := l.connect(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer l.hangUp(ctx, conn)
	probe := "hcbridge_probe_" + strings.ToLower(rand.Text())
	for _, channel := range []string{l.channel, probe} {
		if _, err := conn.Exec(ctx, "LISTEN "+ident(channel)); err != nil {
			return fmt.Errorf("listen: %w", err)
		}
	}
	l.ring() // for what was committed while nobody listened
	if err := l.selfTest(ctx, conn, probe); err != nil {
		return err
	}
	var pid int64 // not the one of the protocol, which a session pooler makes up
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return fmt.Errorf("session: %w", err)
	}
	l.healthy.Store(true)
	l.failed.Store(false)
	l.log.Info().Str("event", "listening").Msg("notifications arrive")
	for {
		if _, err := l.next(ctx, conn, heartbeatEvery); err != nil {
			return err
		}
		if err := l.heartbeat(ctx, conn, pid); err != nil {
			return err
		}
	}
}

// selfTest sends a notification from another connection. From the same one it
// would arrive even where a pooler hands it back between statements.
func (l *Listener) selfTest(ctx context.Context, conn *pgx.Conn, probe string) error {
	if _, err := conn.Exec(ctx, "UNLISTEN \"hcbridge_probe\""); err != nil { // gives a pooler the chance to move us
		return fmt.Errorf("self-test: %w", err)
	}
	other, err := l.connect(ctx)
	if err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	defer l.hangUp(ctx, other)
	if _, err := other.Exec(ctx, "SELECT pg_notify($1, '')", probe); err != nil {
		return fmt.Errorf("self-test: %w", err)
	}
	for deadline := time.Now().Add(answerWithin); ; {
		n, err := l.next(ctx, conn, time.Until(deadline))
		switch {
		case err != nil:
			return err
		case n == nil:
			return errDeaf
		case n.Channel == probe:
			_, err := conn.Exec(ctx, "UNLISTEN "+ident(probe))
			if err != nil {
				return fmt.Errorf("self-test: %w", err)
			}
			return nil
		}
	}
}

// next waits for a notification at most as long as within, passes it on, and
// returns it; nil if none came.
func (l *Listener) next(ctx context.Context, conn *pgx.Conn, within time.Duration) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, max(within, time.Millisecond))
	defer cancel()
	n, err := conn.WaitForNotification(waiting)
	switch {
	case err == nil:
		if n.Channel == l.channel {
			l.ring()
		}
		return n, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case waiting.Err() != nil && !conn.IsClosed():
		return nil, nil //nolint:nilnil // silence is not an error
	}
	return nil, fmt.Errorf("wait: %w", err)
}

// heartbeat asks on the same session whether it still listens. A session that
// is dead on the other side, or was swapped by a pooler, shows here.
func (l *Listener) heartbeat(ctx context.Context, conn *pgx.Conn, pid int64) error {
	ctx, cancel := context.WithTimeoutCause(ctx, answerWithin, fmt.Errorf("no heartbeat within %s", answerWithin))
	defer cancel()
	var now int64
	var listens bool
	err := conn.QueryRow(ctx, "SELECT pg_backend_pid(), EXISTS (SELECT FROM pg_listening_channels() AS c WHERE c = $1)", l.channel).Scan(&now, &listens)
	switch {
	case err != nil:
		return fmt.Errorf("heartbeat: %w", err)
	case now != pid || !listens:
		return errDeaf
	}
	return nil
}

func (l *Listener) ring() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Listener) hangUp(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx) // it is not used again
}
