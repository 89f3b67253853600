package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/outbox"
)

//go:embed sql/purse.sql
var purseSQL string

// purse reads what is left of the API calls that writes may cost; nil if that was
// never kept.
func (s *session) purse(ctx context.Context) (*outbox.Purse, error) {
	var p outbox.Purse
	var age float64
	err := s.pool.QueryRow(ctx, `SELECT calls, extract(epoch FROM clock_timestamp() - at)::double precision FROM hcbridge.purse WHERE schema = $1`, s.cfg.Schema).Scan(&p.Calls, &age)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // documented: there is none and that is no error
	}
	if err != nil {
		return nil, fmt.Errorf("purse: %w", err)
	}
	p.Age = time.Duration(age * float64(time.Second))
	return &p, nil
}

// keepPurse keeps it with the answers to what was paid from it.
func (s *session) keepPurse(batch *pgx.Batch) {
	if s.writer == nil {
		return
	}
	if calls, known := s.writer.Purse(); known {
		batch.Queue(purseSQL, s.cfg.Schema, calls)
	}
}
