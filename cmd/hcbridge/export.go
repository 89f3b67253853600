package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) exportCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print the mapping as a Heroku Connect export file",
		Long: "Prints what is synced, wherever it is set, as `heroku connect:export` would: for HC_MAPPING_FILE, for Heroku Connect, or to keep under\n" +
			"version control, as its keys are in the order of the alphabet. Of a file that HC_MAPPING_FILE names, keys that are not used here are\n" +
			"kept. The fields come from the org; no database is needed.",
		Example: "  hcbridge export > mapping.json\n  HC_MAPPING_FILE=mapping.json hcbridge check",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadOrg(p.environ)
			if err != nil {
				return err
			}
			if len(cfg.Objects) == 0 {
				return errors.Join(errUsage, errors.New("no object is mapped: set HC_OBJECTS or HC_MAPPING_FILE"))
			}
			objects, org, err := bridge.Resolved(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			file, err := config.Mapping(objects, config.Export{OrgID: org, WriteAlgorithm: cfg.WriteAlgorithm, Like: cfg.MappingFile})
			if err != nil {
				return err
			}
			for _, note := range cfg.MappingNotes {
				_, _ = fmt.Fprintln(p.stderr, "hcbridge: HC_MAPPING_FILE: "+note)
			}
			p.printf("%s", file)
			return nil
		},
	}
}
