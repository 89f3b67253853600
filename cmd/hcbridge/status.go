package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
	"hcbridge/internal/status"
)

// staleAfter is how old a status may be before the bridge counts as gone: it
// writes one every five seconds.
const staleAfter = 15 * time.Second

func (p *program) statusCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the connection and every object, as the running bridge sees them",
		Args:  noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				for {
					if err := p.status(ctx, cfg, pool, asJSON); err != nil || !watch {
						return err
					}
					timer := time.NewTimer(2 * time.Second)
					select {
					case <-ctx.Done():
						timer.Stop()
						return nil
					case <-timer.C:
						p.printf("\n")
					}
				}
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what /api/status answers")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every two seconds")
	return cmd
}

// withDatabase gives fn the settings and a pool.
func (p *program) withDatabase(ctx context.Context, fn func(context.Context, *config.Config, *pgxpool.Pool) error) error {
	cfg, err := p.config()
	if err != nil {
		return err
	}
	pool, err := bridge.OpenPool(ctx, cfg)
	if err != nil {
		return err
	}
	defer pool.Close()
	return fn(ctx, cfg, pool)
}

func (p *program) status(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, asJSON bool) error {
	st, age, err := bridge.Snapshot(ctx, pool, cfg.Schema)
	if err != nil {
		return err
	}
	if asJSON {
		enc := json.NewEncoder(p.stdout)
		enc.SetIndent("", "  ")
		if err := enc.Encode(st); err != nil {
			return err
		}
	} else {
		p.table(st)
	}
	if age > staleAfter {
		return fmt.Errorf("no bridge is running: this is its status of %s ago", age.Round(time.Second))
	}
	return nil
}

func (p *program) table(st status.Status) {
	c := st.Connection
	p.printf("%s  org %s  user %s  %s  API %s\n", c.State, c.OrgID, c.Username, c.InstanceURL, c.APIVersion)
	p.printf("streaming %s  role %s  writes %s  API calls %d of %d (budget %d)\n", c.Streaming, c.Role, c.WriteAlgorithm, c.APICalls.Used, c.APICalls.Limit, c.APICalls.Budget)
	if c.Message != "" {
		p.printf("%s\n", c.Message)
	}
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "\nOBJECT\tMODE\tSTATE\tACCESS\tSALESFORCE\tPOSTGRES\tPENDING\tFAILED\tLAG")
	for _, o := range st.Objects {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%d\t%d ms\n", o.Object, o.ModeEffective, o.State, o.Access, rows(o.RowsSalesforce), rows(o.RowsPostgres), o.PendingWrites, o.FailedWrites+o.FailedReads, o.LagMS)
	}
	_ = w.Flush()
	for _, o := range st.Objects {
		if o.Message != "" {
			p.printf("%s: %s\n", o.Object, o.Message)
		}
	}
}

// rows shows a count, which may not be known yet.
func rows(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
