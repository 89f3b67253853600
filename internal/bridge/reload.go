package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"hcbridge/internal/beat"
	"hcbridge/internal/retry"
	"hcbridge/internal/status"
)

var (
	//go:embed sql/reloads.sql
	reloadsSQL string
	//go:embed sql/request_reload.sql
	requestReloadSQL string
	//go:embed sql/begin_reload.sql
	beginReloadSQL string
	//go:embed sql/end_reload.sql
	endReloadSQL string
)

// reloadEvery is how soon a request to load an object again is noticed.
const reloadEvery = time.Second

// reloads loads objects again for which somebody has asked, each beside its
// events, polls and writes, until ctx ends.
func (s *session) reloads(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	done := make(chan *object)
	busy := map[*object]bool{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for ctx.Err() == nil {
		names, err := s.reloadRequests(ctx)
		if err != nil && ctx.Err() == nil {
			s.falter("database", err.Error(), err)
		}
		for _, o := range s.objects {
			if busy[o] || !slices.Contains(names, o.cfg.Name) {
				continue
			}
			busy[o] = true
			g.Go(func() error {
				s.reload(ctx, o)
				select {
				case done <- o:
				case <-ctx.Done():
				}
				return nil
			})
		}
		timer.Reset(beat.Wait(reloadEvery))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case o := <-done:
			delete(busy, o)
		}
	}
	return g.Wait()
}

func (s *session) reloadRequests(ctx context.Context) ([]string, error) {
	rows, err := s.pool.Query(ctx, reloadsSQL, s.cfg.Schema)
	if err != nil {
		return nil, fmt.Errorf("reload requests: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reload requests: %w", err)
	}
	return names, nil
}

// reload reads all records of o once more. Rows are compared and only what
// differs is written, so none disappears or changes its id meanwhile.
func (s *session) reload(ctx context.Context, o *object) {
	log := s.log.With().Str("component", "poll").Str("object", o.cfg.Name).Logger()
	log.Info().Str("event", "reload").Msg("all records are read again")
	s.schema.soon()         // who asks for it may have changed the object
	o.reloading.Store(true) // before the first load could take this one for its own
	s.state(o, status.ReloadTable)
	err := retry.Forever(ctx, log, "reload", heals, func(ctx context.Context) error {
		request, err := s.beginReload(ctx, o)
		if err != nil {
			return fmt.Errorf("begin reload: %w", err)
		}
		if err := s.load(ctx, o, log); err != nil {
			s.salesforce(err)
			return err
		}
		tag, err := s.pool.Exec(ctx, endReloadSQL, s.cfg.Schema, o.cfg.Name, request)
		if err != nil {
			return fmt.Errorf("end reload: %w", err)
		}
		if tag.RowsAffected() == 0 {
			return nil // there is a newer request, which is found next
		}
		o.reloading.Store(false)
		o.filling.Store(false)
		s.reloaded(o)
		return nil
	})
	if err != nil && ctx.Err() == nil {
		log.Error().Str("event", "reload_failed").Err(err).Msg("all records could not be read")
		s.stop(o.cfg.Name, "reload: "+err.Error())
		sleep(ctx, time.Minute)
	}
}

// beginReload takes up the newest request, when a poll under way is over: the job of
// one would be taken for the load's. Those that begin later leave jobs to the load.
func (s *session) beginReload(ctx context.Context, o *object) (request time.Time, err error) {
	o.polling.Lock()
	defer o.polling.Unlock()
	err = s.pool.QueryRow(ctx, beginReloadSQL, s.cfg.Schema, o.cfg.Name).Scan(&request)
	return request, err
}

// reloaded does what follows a reload: rows of records that are gone are looked
// for, since a load never decides that.
func (s *session) reloaded(o *object) {
	s.state(o, status.DataSynced)
	s.wakeHydrator()
	o.wantPoll()
}

// Reload is a request to load an object again.
type Reload struct {
	Object string    // as the org spells it
	At     time.Time // of the request; zero = the object was never loaded, and is going to be anyway
	Runs   bool      // a bridge is at work that takes it up
}

// ErrUnknownObject reports an object that no bridge has mapped yet.
var ErrUnknownObject = errors.New("no bridge has mapped this object yet")

// RequestReload asks the bridge at work on schema to load an object again, or
// the next one that is started.
func RequestReload(ctx context.Context, pool *pgxpool.Pool, schema, object string) (Reload, error) {
	var r Reload
	var at *time.Time
	err := pool.QueryRow(ctx, requestReloadSQL, schema, object).Scan(&r.Object, &at, &r.Runs)
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &pg) && (pg.Code == "42P01" || pg.Code == "3F000"):
		return r, ErrUnknownObject
	case err != nil:
		return r, fmt.Errorf("request reload: %w", err)
	case at != nil:
		r.At = *at
	}
	return r, nil
}

// Pending reports whether r has not been done yet.
func (r Reload) Pending(ctx context.Context, pool *pgxpool.Pool, schema string) (bool, error) {
	var at *time.Time
	err := pool.QueryRow(ctx, `SELECT reload_requested_at FROM hcbridge.object WHERE schema = $1 AND object = $2`, schema, r.Object).Scan(&at)
	if err != nil {
		return false, fmt.Errorf("reload: %w", err)
	}
	return at != nil, nil
}
