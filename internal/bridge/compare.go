package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/poll"
	"hcbridge/pgsink"
)

// ErrLogin reports that Salesforce could not be logged in to.
var ErrLogin = errors.New("log in to Salesforce")

// Compare compares every mapped field of one object, both sides, and calls
// report with each difference. name is its API name, in any case. It changes
// nothing and works beside a running bridge as well as without one, as long as
// one has run before.
func Compare(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, name string, log zerolog.Logger, progress poll.Progress, report func(pgsink.Difference) error) error {
	var known []string
	for _, o := range cfg.Objects {
		known = append(known, o.Name)
		if strings.EqualFold(o.Name, name) {
			return compareSides(ctx, cfg, o, pool, log, progress, report)
		}
	}
	return notMapped(name, known)
}

func compareSides(ctx context.Context, cfg *config.Config, o config.Object, pool *pgxpool.Pool, log zerolog.Logger, progress poll.Progress, report func(pgsink.Difference) error) error {
	sf, err := NewSalesforce(cfg, log)
	if err != nil {
		return err
	}
	if _, err := sf.Login(ctx); err != nil {
		if ce := authConfigError(cfg, err); ce != nil {
			return ce
		}
		return fmt.Errorf("%w: %w", ErrLogin, err)
	}
	before, err := remembered(ctx, pool, cfg.Schema)
	var pg *pgconn.PgError
	if errors.As(err, &pg) && (pg.Code == "3F000" || pg.Code == "42P01") {
		return fmt.Errorf("%s: %w", o.Name, ErrNeverRan)
	}
	if err != nil {
		return err
	}
	m, err := mapObject(ctx, sf, o, cfg.Schema, cfg.NumberType == "numeric", before[strings.ToLower(o.Name)].fields)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Name, err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return m.table.Find(ctx, tx) }); err != nil {
		return fmt.Errorf("%s: %w", o.Name, err)
	}
	sink := pgsink.New(pool, cfg.Schema, log)
	if err := poll.New(sf, sink, log).Verify(ctx, m.pollObject(func() bool { return true }), progress, report); err != nil {
		return fmt.Errorf("%s: %w", o.Name, err)
	}
	return nil
}
