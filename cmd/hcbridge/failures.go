package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

// listLimit is how many failures are listed.
const listLimit = 1000

func (p *program) errorsCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "errors",
		Short: "List failed writes and failed reads",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				list, err := bridge.Failures(ctx, pool, cfg, listLimit)
				if err != nil {
					return err
				}
				if asJSON {
					enc := json.NewEncoder(p.stdout)
					enc.SetIndent("", "  ")
					return enc.Encode(list)
				}
				if len(list) == 0 {
					p.printf("No errors.\n")
					return nil
				}
				w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
				_, _ = fmt.Fprintln(w, "AT\tDIRECTION\tID\tOBJECT\tROW\tSFID\tMESSAGE")
				for _, f := range list {
					id, row := f.SFID, ""
					if f.ID != 0 {
						id, row = strconv.FormatInt(f.ID, 10), strconv.FormatInt(f.RecordID, 10)
					}
					_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.At.UTC().Format(time.RFC3339), f.Direction, id, f.Object, row, f.SFID, f.Message)
				}
				return w.Flush()
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
	var all bool
	cmd := &cobra.Command{
		Use:   name + " [ID…]",
		Short: short,
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
				p.printf("%d %s\n", n, done)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all that failed")
	return cmd
}
