package main

import (
	"errors"

	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
	"hcbridge/internal/web"
)

func (p *program) objectsCommand() *cobra.Command {
	var env, mapping, asJSON bool
	cmd := &cobra.Command{
		Use:   "objects [OBJECT]",
		Short: "Show what can be mapped: the org's objects, or one object's fields",
		Long: "Lists the objects of the org that can be mapped or, with an object, its fields: type, column, whether a PushTopic carries them.\n" +
			"--env prints the environment variables of all that is mapped and of the object, --mapping an export of the object alone.\nNeeds no database.",
		Example:           "  hcbridge objects\n  hcbridge objects Invoice__c\n  hcbridge objects Invoice__c --env   # put it in place of what .env has",
		ValidArgsFunction: p.completeObjects,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.Join(errUsage, errors.New("objects takes one object at most"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if (env || mapping) && len(args) == 0 {
				return errors.Join(errUsage, errors.New("--env and --mapping need an object, for example: hcbridge objects Account --env"))
			}
			if env && mapping || asJSON && (env || mapping) {
				return errors.Join(errUsage, errors.New("give one of --env, --mapping and --json"))
			}
			cfg, err := config.LoadOrg(p.environ)
			if err != nil {
				return err
			}
			if len(args) == 0 {
				list, err := bridge.OrgObjects(cmd.Context(), cfg)
				if err != nil {
					return err
				}
				if asJSON {
					return p.json(list)
				}
				return p.objectTable(list)
			}
			d, err := bridge.DescribeObject(cmd.Context(), cfg, args[0])
			switch {
			case err != nil:
				return err
			case env:
				p.printf("%s", cfg.Env(d.Mapping))
			case mapping:
				file, err := config.Mapping([]config.Object{d.Settings}, config.Export{OrgID: d.OrgID, WriteAlgorithm: cfg.WriteAlgorithm})
				if err != nil {
					return err
				}
				p.printf("%s", file)
			case asJSON:
				return p.json(d.Object)
			default:
				return p.fieldTable(d.Object)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&env, "env", false, "print the environment variables of all that is mapped, and of the object")
	cmd.Flags().BoolVar(&mapping, "mapping", false, "print a Heroku Connect export that maps the object")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) objectTable(list []web.OrgObject) error {
	var rows [][]string
	for _, o := range list {
		rows = append(rows, []string{o.Object, o.Label, o.Table, yes(o.Writeable), yes(o.Streaming), yes(o.Mapped)})
	}
	p.table([]column{
		{name: "OBJECT"}, {name: "LABEL", drop: 2, cut: 12}, {name: "TABLE", drop: 1, cut: 16}, {name: "WRITEABLE", drop: 3}, {name: "PUSHTOPIC"}, {name: "MAPPED"},
	}, rows)
	p.printf("\n%s; hcbridge objects %s shows the fields of one\n", many(len(list), "object", "objects"), example(list))
	return nil
}

// example is the name of an object, mapped if there is one.
func example(list []web.OrgObject) string {
	for _, o := range list {
		if o.Mapped {
			return o.Object
		}
	}
	return "Account"
}

func (p *program) fieldTable(o web.OrgObject) error {
	p.printf("%s (%s)  table %s  writeable %s  PushTopic %s\n\n", o.Object, o.Label, o.Table, yes(o.Writeable), yes(o.Streaming))
	var rows [][]string
	for _, f := range o.Fields {
		rows = append(rows, []string{f.Field, f.Type, f.Column, f.ColumnType, yes(f.Writeable), yes(f.Streaming), yes(f.ExternalID), yes(f.Mapped), f.Note})
	}
	p.table([]column{
		{name: "FIELD"},
		{name: "TYPE"},
		{name: "COLUMN", drop: 2, cut: 16},
		{name: "COLUMN TYPE", drop: 3, cut: 16},
		{name: "WRITEABLE", drop: 5},
		{name: "PUSHTOPIC", drop: 4},
		{name: "EXTERNAL ID", drop: 6},
		{name: "MAPPED"},
		{name: "NOTE", drop: 1, cut: 12},
	}, rows)
	return nil
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}
