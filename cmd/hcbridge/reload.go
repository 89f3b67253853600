package main

import (
	"context"
	"errors"
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

// reloadLook is how often the progress of a reload is looked at.
const reloadLook = 200 * time.Millisecond

func (p *program) reloadCommand() *cobra.Command {
	var detach bool
	cmd := &cobra.Command{
		Use:   "reload OBJECT",
		Short: "Read all records of an object again, without an empty window",
		Long: "Asks the running bridge to read all records of an object again. Rows are compared and only what differs is written:\n" +
			"the table is never empty, ids stay, and changes go on in both directions meanwhile. Without a running bridge the request\n" +
			"is kept and done at the next start.",
		Example:           "  hcbridge reload Account\n  hcbridge reload Account --detach   # do not wait for it",
		ValidArgsFunction: p.completeObjects,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return errors.Join(errUsage, errors.New("reload takes one object, for example: hcbridge reload Account"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				return p.reload(ctx, cfg, pool, args[0], detach)
			})
		},
	}
	cmd.Flags().BoolVar(&detach, "detach", false, "return at once and do not follow the progress")
	return cmd
}

func (p *program) reload(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, object string, detach bool) error {
	// It may have been mapped once; without any setting of objects the database says.
	if err := bridge.Mapped(ctx, pool, cfg, object); err != nil {
		return err
	}
	r, err := bridge.RequestReload(ctx, pool, cfg.Schema, object)
	if err != nil {
		return fmt.Errorf("%s: %w", object, err)
	}
	switch {
	case r.At.IsZero():
		p.printf("%s has not been loaded completely yet: its first load reads all records.\n", r.Object)
		return nil
	case !r.Runs:
		p.printf("No bridge is running: the reload of %s is done when one is started.\n", r.Object)
		return nil
	case detach:
		p.printf("The reload of %s is requested; hcbridge status shows its progress.\n", r.Object)
		return nil
	}
	return p.followReload(ctx, cfg, pool, r)
}

// followReload shows the progress of a reload until it is done. When ctx ends
// the bridge goes on with it.
func (p *program) followReload(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, r bridge.Reload) error {
	show := p.progress(cfg, "reload")
	defer show.clear()
	ticker := time.NewTicker(reloadLook)
	defer ticker.Stop()
	for {
		pending, err := r.Pending(ctx, pool, cfg.Schema)
		if err != nil {
			return err
		}
		if !pending {
			show.clear()
			p.printf("%s is reloaded, in %s.\n", r.Object, show.took())
			return nil
		}
		st, age, working, err := bridge.Snapshot(ctx, pool, cfg.Schema)
		if err != nil {
			return err
		}
		if !working || age > staleAfter {
			return fmt.Errorf("the bridge has ended; the reload of %s goes on when one is started", r.Object)
		}
		o, err := reloadable(st, r.Object)
		if err != nil {
			return err
		}
		if o.State == status.ReloadTable {
			show.at(r.Object, o.Loaded, o.ToLoad)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not waiting any more; the reload of %s goes on", r.Object)
		case <-ticker.C:
		}
	}
}

// reloadable finds an object of the bridge that shows st. Its error says why a reload of
// it is not worth waiting for.
func reloadable(st status.Status, object string) (status.Object, error) {
	if st.Connection.State == status.Paused {
		return status.Object{}, fmt.Errorf("the bridge is paused; the reload of %s goes on after hcbridge resume", object)
	}
	i := slices.IndexFunc(st.Objects, func(o status.Object) bool { return strings.EqualFold(o.Object, object) })
	if i < 0 {
		return status.Object{}, fmt.Errorf("the bridge does not sync %s; it is reloaded when it is mapped again", object)
	}
	o := st.Objects[i]
	switch o.State {
	case status.MappingError:
		return o, fmt.Errorf("%s cannot be reloaded now: %s", object, o.Message)
	case status.SchemaChanged:
		return o, fmt.Errorf("not waiting for the reload of %s, which goes on by itself: %s", object, o.Message)
	}
	return o, nil
}
