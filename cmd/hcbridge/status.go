package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
	"hcbridge/internal/status"
)

// staleAfter is how old a status may be before it says nothing any more: a bridge
// writes one every five seconds.
const staleAfter = 15 * time.Second

func (p *program) statusCommand() *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show the connection and every object, as the running bridge sees them",
		Long: "Shows what the running bridge last wrote down of itself, a few seconds ago at most: the connection, and of every object how changes\n" +
			"are noticed, its state, the rows on both sides, what waits to be sent, what failed, how long the last change took, and when the last\n" +
			"event and the last poll were. A narrow terminal shows less. Exit code 1 if no bridge runs, or one\n" +
			"that has not told of itself for 15 seconds, after showing what was left.",
		Example: "  hcbridge status\n  hcbridge status --watch\n  hcbridge status --json | jq '.objects[] | {object, state, pending_writes}'",
		Args:    noArgs,
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
						p.between()
					}
				}
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what /api/status answers")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every two seconds")
	return cmd
}

// between two pictures the terminal is cleared.
func (p *program) between() {
	if isTerminal(p.stdout) && p.getenv("TERM") != "dumb" {
		p.printf("\x1b[H\x1b[2J")
		return
	}
	p.printf("\n")
}

// withDatabase gives fn the settings, those for Salesforce unchecked, and a pool.
func (p *program) withDatabase(ctx context.Context, fn func(context.Context, *config.Config, *pgxpool.Pool) error) error {
	return p.withPool(ctx, config.LoadDatabase, fn)
}

// withPool gives fn the settings that load reads, and a pool.
func (p *program) withPool(ctx context.Context, load func([]string) (*config.Config, error), fn func(context.Context, *config.Config, *pgxpool.Pool) error) error {
	cfg, err := load(p.environ)
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
	st, age, working, err := bridge.Snapshot(ctx, pool, cfg.Schema)
	if err != nil {
		return err
	}
	if asJSON {
		if err := p.json(st); err != nil {
			return err
		}
	} else {
		p.show(st)
	}
	switch age = age.Round(time.Second); {
	case !working:
		return fmt.Errorf("no bridge is running: this is its status of %s ago", age)
	case age > staleAfter:
		return fmt.Errorf("a bridge is running, but has not told its status for %s", age)
	}
	return nil
}

// statusColumns of the table; a narrow terminal shows those that say whether
// all is well.
var statusColumns = []column{
	{name: "OBJECT", cut: 16},
	{name: "MODE", drop: 4},
	{name: "STATE", cut: 12},
	{name: "ACCESS", drop: 5},
	{name: "SALESFORCE", drop: 3, nums: true},
	{name: "POSTGRES", drop: 2, nums: true},
	{name: "PENDING", nums: true},
	{name: "FAILED", nums: true},
	{name: "LAG", drop: 1, nums: true},
	{name: "LAST EVENT", drop: 6, nums: true},
	{name: "LAST POLL", drop: 7, nums: true},
}

func (p *program) show(st status.Status) {
	c := st.Connection
	colour := green
	switch c.State {
	case status.Idle, status.PollingDBChanges:
	case status.Starting, status.Standby, status.Paused, status.Recovery, status.APILimit:
		colour = yellow
	default:
		colour = red
	}
	p.printf("%s  org %s  user %s\n", p.paint(colour, c.State), c.OrgID, c.Username)
	p.printf("%s  API %s, %d of %d calls used (budget %d)\n", c.InstanceURL, c.APIVersion, c.APICalls.Used, c.APICalls.Limit, c.APICalls.Budget)
	p.printf("streaming %s  role %s  writes %s\n", c.Streaming, c.Role, c.WriteAlgorithm)
	if c.Message != "" {
		p.printf("%s\n", c.Message)
	}
	p.printf("\n")
	var list [][]string
	for _, o := range st.Objects {
		list = append(list, []string{
			o.Object, o.ModeEffective, o.State, o.Access, rows(o.RowsSalesforce), rows(o.RowsPostgres),
			fmt.Sprint(o.PendingWrites), fmt.Sprint(o.FailedWrites + o.FailedReads), fmt.Sprintf("%d ms", o.LagMS), ago(o.LastEventAt), ago(o.LastPollAt),
		})
	}
	p.table(statusColumns, list)
	for _, o := range st.Objects {
		if o.Message != "" {
			p.printf("%s: %s\n", o.Object, p.paint(yellow, o.Message))
		}
	}
	if failed := slices.ContainsFunc(st.Objects, func(o status.Object) bool { return o.FailedWrites+o.FailedReads > 0 }); failed {
		p.printf("\nhcbridge errors says what failed.\n")
	}
}

// rows shows a count, which may not be known yet.
// ago is how long something is past.
func ago(at *time.Time) string {
	if at == nil {
		return "-"
	}
	d := max(time.Since(*at), 0)
	if d < time.Minute {
		return d.Round(time.Second).String() + " ago"
	}
	return strings.TrimSuffix(d.Round(time.Minute).String(), "0s") + " ago"
}

func rows(n int64) string {
	if n < 0 {
		return "?"
	}
	return fmt.Sprint(n)
}
