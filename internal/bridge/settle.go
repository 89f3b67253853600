package bridge

import (
	"context"
	_ "embed"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"hcbridge/internal/web"
	"hcbridge/outbox"
)

var (
	//go:embed sql/retry_reads.sql
	retryReadsSQL string
	//go:embed sql/ignore_reads.sql
	ignoreReadsSQL string
)

// ErrFailureID reports an id that no failure can have.
var ErrFailureID = web.ErrFailureID

// Retry sends failed writes and reads refused records again, and returns how
// many. A write is named by its id in the trigger log, a read by the record's
// Salesforce id; no ids mean all of both. The bridge at work takes them up
// within a second or two, another when it starts.
func Retry(ctx context.Context, pool *pgxpool.Pool, schema string, ids []string) (int64, error) {
	return settle(ctx, pool, schema, ids, outbox.Retry, retryReadsSQL)
}

// Ignore dismisses failures, named as for [Retry], and returns how many. A
// dismissed read is listed again if Postgres refuses the record for another
// reason.
func Ignore(ctx context.Context, pool *pgxpool.Pool, schema string, ids []string) (int64, error) {
	return settle(ctx, pool, schema, ids, outbox.Ignore, ignoreReadsSQL)
}

func settle(ctx context.Context, pool *pgxpool.Pool, schema string, ids []string, writes func(context.Context, outbox.DB, string, []int64) (int64, error), readsSQL string) (n int64, err error) {
	var logIDs []int64
	var sfids []string // their first 15 characters, which are the id
	for _, id := range ids {
		if len(id) == 15 || len(id) == 18 {
			sfids = append(sfids, id[:15])
			continue
		}
		logID, err := strconv.ParseInt(id, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("%w: %q", ErrFailureID, id)
		}
		logIDs = append(logIDs, logID)
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if len(ids) == 0 || len(logIDs) > 0 {
			if n, err = writes(ctx, tx, schema, logIDs); err != nil {
				return err
			}
		}
		if len(ids) == 0 || len(sfids) > 0 {
			tag, err := tx.Exec(ctx, readsSQL, schema, sfids)
			if err != nil {
				return fmt.Errorf("read errors: %w", err)
			}
			n += tag.RowsAffected()
		}
		return nil
	})
	if err != nil {
		return 0, commandError("failures", err)
	}
	return n, nil
}
