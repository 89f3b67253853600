package main

import (
	"errors"

	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Find what would stop or degrade a run, before it does",
		Long:  "Checks configuration, Postgres, the Salesforce login, streaming and every object, and shows what a first start would do with a\nschema that Heroku Connect has kept. It alters nothing.\nOne line each: ✓ good, ! works less well, ✗ does not work; with the remedy. Exit code 1 if any ✗.",
		Args:  noArgs,
		RunE:  p.check,
	}
}

func (p *program) check(cmd *cobra.Command, _ []string) error {
	cfg, err := p.config()
	if err != nil {
		var problems *config.Error
		if errors.As(err, &problems) {
			for _, problem := range problems.Problems {
				p.printf("✗ %s: %s\n", problem.Variable, problem.Text)
			}
			return errors.Join(errQuiet, err)
		}
		return err
	}
	bad := false
	bridge.Check(cmd.Context(), cfg, func(f bridge.Finding) {
		mark := map[bridge.Level]string{bridge.Good: "✓", bridge.Warn: "!", bridge.Bad: "✗"}[f.Level]
		p.printf("%s %s: %s\n", mark, f.Part, f.Text)
		if f.Remedy != "" {
			p.printf("    → %s\n", f.Remedy)
		}
		bad = bad || f.Level == bridge.Bad
	})
	if bad {
		return errQuiet
	}
	return nil
}
