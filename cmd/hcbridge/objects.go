package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"text/tabwriter"

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
			"--env and --mapping print ready configuration for the object. Needs no database.",
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
			o, settings, org, err := bridge.DescribeObject(cmd.Context(), cfg, args[0])
			switch {
			case err != nil:
				return err
			case env:
				p.printf("%s", config.Env([]config.Object{settings}))
			case mapping:
				file, err := config.Mapping([]config.Object{settings}, config.Export{OrgID: org, WriteAlgorithm: cfg.WriteAlgorithm})
				if err != nil {
					return err
				}
				p.printf("%s", file)
			case asJSON:
				return p.json(o)
			default:
				return p.fieldTable(o)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&env, "env", false, "print environment variables that map the object")
	cmd.Flags().BoolVar(&mapping, "mapping", false, "print a Heroku Connect export that maps the object")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) json(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (p *program) objectTable(list []web.OrgObject) error {
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "OBJECT\tLABEL\tTABLE\tWRITEABLE\tPUSHTOPIC\tMAPPED")
	for _, o := range list {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", o.Object, o.Label, o.Table, yes(o.Writeable), yes(o.Streaming), yes(o.Mapped))
	}
	return w.Flush()
}

func (p *program) fieldTable(o web.OrgObject) error {
	p.printf("%s (%s)  table %s  writeable %s  PushTopic %s\n\n", o.Object, o.Label, o.Table, yes(o.Writeable), yes(o.Streaming))
	w := tabwriter.NewWriter(p.stdout, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "FIELD\tTYPE\tCOLUMN\tCOLUMN TYPE\tWRITEABLE\tPUSHTOPIC\tEXTERNAL ID\tMAPPED\tNOTE")
	for _, f := range o.Fields {
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Field, f.Type, f.Column, f.ColumnType, yes(f.Writeable), yes(f.Streaming), yes(f.ExternalID), yes(f.Mapped), f.Note)
	}
	return w.Flush()
}

func yes(is bool) string {
	if is {
		return "yes"
	}
	return "-"
}
