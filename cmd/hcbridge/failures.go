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
	"hcbridge/outbox"
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
					_, _ = fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%d\t%s\t%s\n", f.At.UTC().Format(time.RFC3339), f.Direction, f.ID, f.Object, f.RecordID, f.SFID, f.Message)
				}
				return w.Flush()
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) retryCommand() *cobra.Command {
	return p.settleCommand("retry", "Send failed writes again", "requeued", outbox.Retry)
}

func (p *program) ignoreCommand() *cobra.Command {
	return p.settleCommand("ignore", "Dismiss failed writes", "dismissed", outbox.Ignore)
}

// settleCommand is a command on failed writes, by log id or all of them.
func (p *program) settleCommand(name, short, done string, fn func(ctx context.Context, db outbox.DB, schema string, ids []int64) (int64, error)) *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   name + " [ID…]",
		Short: short,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return errors.Join(errUsage, fmt.Errorf("%s takes the ids that `hcbridge errors` lists, or --all", name))
			}
			var ids []int64
			for _, arg := range args {
				id, err := strconv.ParseInt(arg, 10, 64)
				if err != nil {
					return errors.Join(errUsage, fmt.Errorf("%q is not an id as `hcbridge errors` lists them", arg))
				}
				ids = append(ids, id)
			}
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				n, err := fn(ctx, pool, cfg.Schema, ids)
				if err != nil {
					return err
				}
				p.printf("%d %s\n", n, done)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "all failed writes")
	return cmd
}
