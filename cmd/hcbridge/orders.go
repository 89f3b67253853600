package main

import (
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) pauseCommand() *cobra.Command {
	return p.pausing("pause", true, "Stop syncing in both directions; changes go on being captured",
		"Has the running bridge stop sending and fetching within seconds. Changes of the app go on being captured, and what Salesforce\n"+
			"changes is found later: nothing is lost. It lasts through restarts, until `hcbridge resume`.",
		"Paused: nothing is sent or fetched until `hcbridge resume`.\n", "It is paused already.\n")
}

func (p *program) resumeCommand() *cobra.Command {
	return p.pausing("resume", false, "Go on syncing after a pause", "Ends what `hcbridge pause` began: what has been captured is sent, and what Salesforce has changed is fetched.",
		"Resumed.\n", "It was not paused.\n")
}

func (p *program) pausing(name string, paused bool, short, long, done, already string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: name, Short: short, Long: long + "\n--json prints {\"paused\": bool, \"changed\": bool}.", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				changed, err := bridge.Pause(ctx, pool, cfg.Schema, paused)
				if err != nil {
					return err
				}
				if asJSON {
					return p.json(map[string]bool{"paused": paused, "changed": changed})
				}
				if !changed {
					done = already
				}
				p.printf("%s", done)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) approveCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "approve [OBJECT]",
		Short: "Release a held mass change or mass delete",
		Long: "Sends what the bridge holds because there are more deletes or changes of an object than anybody is likely to mean;\n" +
			"/readyz and the log say which. It releases what is in the trigger log now: what comes later is judged anew. To dismiss\n" +
			"changes instead, set their state to IGNORED in the trigger log first.\n" +
			"--json prints [{\"table\", \"entries\", \"reason\"}].",
		Example:           "  hcbridge approve Account",
		ValidArgsFunction: p.completeObjects,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.Join(errUsage, errors.New("approve takes one object, or none for all: hcbridge approve Account"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				object := ""
				if len(args) == 1 {
					object = args[0]
				}
				list, err := bridge.Approve(ctx, pool, cfg, object)
				if err != nil {
					return err
				}
				if asJSON {
					return p.json(list)
				}
				for _, a := range list {
					p.printf("%s: %s released (%s)\n", a.Table, many(a.Entries, "entry is", "entries are"), a.Reason)
				}
				if len(list) > 0 {
					return nil
				}
				others, err := bridge.Held(ctx, pool, cfg.Schema)
				switch {
				case err != nil:
					return err
				case len(others) == 0:
					p.printf("Nothing is held.\n")
				default:
					p.printf("Nothing of %s is held. Held are: %s\n", object, strings.Join(others, ", "))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) adoptCommand() *cobra.Command {
	var asJSON, dismiss bool
	cmd := &cobra.Command{
		Use:   "adopt",
		Short: "Confirm a database that was restored, cloned or taken over",
		Long: "A database that was copied, moved, upgraded, set back to an earlier time or kept by Heroku Connect before only receives from\n" +
			"Salesforce, because what waits in it may be old, or another's to send. This confirms that it is the one to write from.\n" +
			"Never adopt a copy beside the original.\n" +
			"--json prints {\"reason\", \"waiting\", \"inherited\", \"dismissed\"}.",
		Example: "  hcbridge adopt             # send what waits in it\n  hcbridge adopt --dismiss   # send nothing of it",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return p.withDatabase(cmd.Context(), func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				a, err := bridge.Adopt(ctx, pool, cfg.Schema, dismiss)
				switch {
				case err != nil:
					return err
				case asJSON:
					return p.json(a)
				case a.Reason == "":
					p.printf("There is nothing to confirm: this database writes to Salesforce.\n")
				case dismiss:
					p.printf("Adopted, although %s. %s dismissed.\n", a.Reason, many(a.Dismissed, "entry is", "entries are"))
				default:
					p.printf("Adopted, although %s. %s sent.\n", a.Reason, many(a.Waiting, "entry is", "entries are"))
				}
				if a.Inherited > 0 {
					p.printf("Heroku Connect had sent %s and not noted an answer: with an external id that is sent again, and the rest is in doubt, see hcbridge errors.\n", many(a.Inherited, "creation", "creations"))
				}
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&dismiss, "dismiss", false, "send nothing of what waits now, and take what differs from Salesforce")
	return cmd
}
