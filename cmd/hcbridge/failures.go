package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

// listLimit is how many failures are listed.
const listLimit = 1000

var failureColumns = []column{
	{name: "AT", drop: 3}, {name: "DIRECTION", drop: 4}, {name: "ID"}, {name: "OBJECT", cut: 12}, {name: "ROW", drop: 2, nums: true}, {name: "SFID", drop: 1}, {name: "MESSAGE", cut: 20},
}

func (p *program) errorsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "errors",
		Short: "List failed writes and failed reads",
		Long: "Lists what Salesforce refused to store and what Postgres refused to hold, newest first, 1,000 at most. The column ID is what\n" +
			"retry and ignore take. Messages are cut on a terminal; --json has them whole.",
		Example: "  hcbridge errors\n  hcbridge errors --json | jq -r '.[] | [.object, .message] | @tsv'",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				list, err := bridge.Failures(ctx, pool, cfg, listLimit)
				if err != nil {
					return err
				}
				if asJSON {
					return p.json(list)
				}
				if len(list) == 0 {
					p.printf("No errors.\n")
					return nil
				}
				rows := make([][]string, 0, len(list))
				for _, f := range list {
					id, row := f.SFID, ""
					if f.ID != 0 {
						id, row = strconv.FormatInt(f.ID, 10), strconv.FormatInt(f.RecordID, 10)
					}
					rows = append(rows, []string{f.At.UTC().Format(time.RFC3339), f.Direction, id, f.Object, row, f.SFID, f.Message})
				}
				p.table(failureColumns, rows)
				p.printf("\nMend the cause, then hcbridge retry ID… or --all, which sends what was captured; hcbridge ignore ID… dismisses.\n")
				for _, f := range list {
					if f.Action == "INSERT" && cfg.WriteAlgorithm == config.WriteOrdered {
						p.printf("What was mended in its row waits behind a refused insert; this sends the row as it is now: SELECT %s(hstore(t.*), '%s') FROM %s AS t WHERE id = %d\n",
							pgx.Identifier{cfg.Schema, "hc_capture_insert_from_row"}.Sanitize(), f.Table, pgx.Identifier{cfg.Schema, f.Table}.Sanitize(), f.RecordID)
						break
					}
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) retryCommand() *cobra.Command {
	return p.settleCommand("retry", "Send failed writes and read failed records again", "requeued", bridge.Retry)
}

func (p *program) ignoreCommand() *cobra.Command {
	return p.settleCommand("ignore", "Dismiss failed writes and reads", "dismissed", bridge.Ignore)
}

// settleCommand is a command on failures, by id or all of them.
func (p *program) settleCommand(name, short, done string, fn func(ctx context.Context, db *pgxpool.Pool, schema string, ids []string) (int64, error)) *cobra.Command {
	var all, asJSON bool
	cmd := &cobra.Command{
		Use:     name + " [ID…]",
		Short:   short,
		Long:    short + ": by the ids that hcbridge errors lists, or all of them.\n--json prints {\"" + done + "\": number}.",
		Example: "  hcbridge " + name + " 42 43\n  hcbridge " + name + " --all",
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.Join(errUsage, fmt.Errorf("%s takes the ids that `hcbridge errors` lists, or --all", name))
			}
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				n, err := fn(ctx, pool, cfg.Schema, args)
				if errors.Is(err, bridge.ErrFailureID) {
					return errors.Join(errUsage, err)
				}
				if err != nil {
					return err
				}
				if asJSON {
					return p.json(map[string]int64{done: n})
				}
				p.printf("%d %s\n", n, done)
				if n == 0 && !all {
					return errors.New("no failed write or read has such an id; `hcbridge errors` lists them")
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that failed")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
