package main

import (
	"errors"

	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
)

func (p *program) checkCommand() *cobra.Command {
	var asJSON, salesforce, postgres bool
	cmd := &cobra.Command{
		Use:   "check",
		Short: "Find what would stop or degrade a run, before it does",
		Long: "Checks configuration, Postgres, the Salesforce login, streaming and every object, and shows what a first start would do with a\nschema that Heroku Connect has kept. It changes nothing on either side.\n" +
			"One line each: ✓ good, ! works less well, ✗ does not work; with the remedy. Metadata to deploy follows at the end. Exit code 1 if any ✗.\n\n" +
			"--json prints [{\"level\": \"good\"|\"warning\"|\"bad\", \"part\", \"text\", \"remedy\", \"file\": {\"path\", \"text\"}}].\n" +
			"--salesforce-setup and --postgres-setup print what to make there for the mapping, and check nothing. They need neither side;\n" +
			"the first lists the fields of whole objects if Salesforce can be logged in to already.",
		Example: "  hcbridge check\n  hcbridge check --json | jq '.[] | select(.level != \"good\")'\n" +
			"  HC_OBJECTS=Account,Contact hcbridge check --salesforce-setup\n  hcbridge check --postgres-setup | less",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case salesforce && postgres || asJSON && (salesforce || postgres):
				return errors.Join(errUsage, errors.New("give one of --json, --salesforce-setup and --postgres-setup"))
			case salesforce || postgres:
				return p.setup(cmd, salesforce)
			}
			return p.check(cmd, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&salesforce, "salesforce-setup", false, "print what to make in Salesforce: user, permission set, app")
	cmd.Flags().BoolVar(&postgres, "postgres-setup", false, "print the SQL that makes a role for the bridge")
	return cmd
}

// setup prints what a person has to make on one side.
func (p *program) setup(cmd *cobra.Command, salesforce bool) error {
	cfg, err := config.LoadSetup(p.environ)
	if err != nil {
		return err
	}
	var text string
	if salesforce {
		if len(cfg.Objects) == 0 {
			return &bridge.ConfigError{Variable: "HC_OBJECTS", Text: "no object is mapped: name some, as Account,Contact, or set HC_MAPPING_FILE"}
		}
		text, err = bridge.SalesforceSetup(cmd.Context(), cfg)
	} else {
		text, err = bridge.PostgresSetup(cfg)
	}
	if err != nil {
		return err
	}
	p.printf("%s", text)
	return nil
}

// checkFinding is a finding as check --json prints it.
type checkFinding struct {
	Level  string       `json:"level"` // good, warning, bad
	Part   string       `json:"part"`  // Configuration, Postgres, Salesforce, Streaming, a variable, or an object
	Text   string       `json:"text"`
	Remedy string       `json:"remedy,omitempty"`
	File   *bridge.File `json:"file,omitempty"` // metadata to deploy
}

func (p *program) check(cmd *cobra.Command, asJSON bool) error {
	list := []checkFinding{}
	var files []bridge.File
	counts := map[bridge.Level]int{}
	var code error
	report := func(f bridge.Finding) {
		counts[f.Level]++
		if f.Settings {
			code = errUsage
		}
		if asJSON {
			list = append(list, checkFinding{[...]string{"good", "warning", "bad"}[f.Level], f.Part, f.Text, f.Remedy, f.File})
			return
		}
		mark := map[bridge.Level]string{bridge.Good: p.paint(green, "✓"), bridge.Warn: p.paint(yellow, "!"), bridge.Bad: p.paint(red, "✗")}[f.Level]
		line := oneLine(f.Part + ": " + f.Text)
		if f.Remedy != "" {
			line += oneLine(" → " + f.Remedy)
		}
		p.printf("%s %s\n", mark, line)
		if f.File != nil {
			files = append(files, *f.File)
		}
	}
	cfg, err := p.config()
	var problems *config.Error
	switch {
	case errors.As(err, &problems):
		for _, problem := range problems.Problems {
			report(bridge.Finding{Level: bridge.Bad, Part: problem.Variable, Text: problem.Text})
		}
	case err != nil:
		return err
	default:
		bridge.Check(cmd.Context(), cfg, report)
	}
	for _, file := range files {
		p.printf("\n%s:\n\n%s\n", file.Path, file.Text)
	}
	if asJSON {
		if err := p.json(list); err != nil {
			return err
		}
	} else if cfg != nil && isTerminal(p.stdout) {
		p.printf("\n%d good, %d less good, %d wrong\n", counts[bridge.Good], counts[bridge.Warn], counts[bridge.Bad])
	}
	if counts[bridge.Bad] > 0 {
		return errors.Join(errQuiet, err, code) // with code 2 for the configuration
	}
	return nil
}
