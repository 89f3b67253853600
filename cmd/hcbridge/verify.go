package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"hcbridge/config"
	"hcbridge/internal/bridge"
	"hcbridge/pgsink"
)

// finding is a record or row that differs, as verify --json prints it, one a line.
type finding struct {
	Object string         `json:"object"`
	Kind   string         `json:"kind"`
	SFID   string         `json:"sfid,omitempty"`
	RowID  int64          `json:"row_id,omitempty"`
	Fields []findingField `json:"fields,omitempty"`
}

type findingField struct {
	Field      string  `json:"field"`
	Salesforce *string `json:"salesforce"`
	Postgres   *string `json:"postgres"`
}

func (p *program) verifyCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify [OBJECT]",
		Short: "Compare both sides row by row and report every difference",
		Long: "Compares every mapped field of every record with its row, in one object or all of them, and changes nothing.\n" +
			"What is on its way is looked at again before it is reported. Exit code 1 if anything differs.\n" +
			"In cdc mode SystemModstamp alone is no difference, as the row's is that of the last poll.\n\n" +
			"Kinds: no_row (the record has no row), no_record (the row has no record that this user can see),\n" +
			"unsent (the row never reached Salesforce), values, refused (a value that the column cannot hold).",
		Example:           "  hcbridge verify\n  hcbridge verify Account --json | jq -r .sfid",
		ValidArgsFunction: p.completeObjects,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return errors.Join(errUsage, errors.New("verify takes one object, or none for all: hcbridge verify Account"))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.withPool(cmd.Context(), config.Load, func(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool) error {
				return p.verify(ctx, cfg, pool, args, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line for each record or row that differs")
	return cmd
}

func (p *program) verify(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, names []string, asJSON bool) error {
	if len(names) == 0 {
		for _, o := range cfg.Objects {
			names = append(names, o.Name)
		}
	}
	log := p.logger(cfg)
	log = log.Level(max(log.GetLevel(), zerolog.WarnLevel)) // that it logs in is no news here
	progress := p.progress(cfg, "comparing")
	enc := json.NewEncoder(p.stdout)
	total := 0
	var errs []error // of objects; the others are compared all the same
	for _, name := range names {
		n := 0
		var printing error
		err := bridge.Compare(ctx, cfg, pool, name, log, func(done, of int64) { progress.at(name, done, of) }, func(d pgsink.Difference) error {
			n++
			progress.clear()
			if asJSON {
				printing = enc.Encode(newFinding(name, d))
				return printing
			}
			p.difference(name, d)
			return nil
		})
		progress.clear()
		if printing != nil || ctx.Err() != nil || concernsAll(err) {
			return err
		}
		total += n
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if !asJSON {
			p.printf("%s: %s\n", name, map[bool]string{true: p.paint(green, "both sides are equal"), false: p.paint(red, many(n, "record or row differs", "records or rows differ"))}[n == 0])
		}
	}
	if total > 0 && len(errs) == 0 {
		return errQuiet
	}
	return errors.Join(errs...)
}

// concernsAll reports whether an error of comparing one object is one of every other, too.
func concernsAll(err error) bool {
	var ce *bridge.ConfigError
	var unreachable *pgconn.ConnectError
	return errors.As(err, &ce) || errors.As(err, &unreachable) || errors.Is(err, bridge.ErrLogin) || errors.Is(err, bridge.ErrNeverRan)
}

func newFinding(object string, d pgsink.Difference) finding {
	f := finding{Object: object, Kind: string(d.Kind), SFID: d.SFID, RowID: d.RowID}
	for _, field := range d.Fields {
		f.Fields = append(f.Fields, findingField(field))
	}
	return f
}

// difference prints one difference for people.
func (p *program) difference(object string, d pgsink.Difference) {
	switch d.Kind {
	case pgsink.DiffNoRow:
		p.printf("%s %s: the record has no row\n", object, d.SFID)
	case pgsink.DiffNoRecord:
		p.printf("%s %s: row %d has no record that this user can see\n", object, d.SFID, d.RowID)
	case pgsink.DiffUnsent:
		p.printf("%s row %d: it never reached Salesforce\n", object, d.RowID)
	case pgsink.DiffRefused:
		p.printf("%s %s: it holds a value that its column cannot hold\n", object, d.SFID)
	case pgsink.DiffValues:
		for _, f := range d.Fields {
			p.printf("%s %s: %s is %s in Salesforce, %s in Postgres\n", object, d.SFID, f.Field, shown(f.Salesforce), shown(f.Postgres))
		}
	}
}

func shown(v *string) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *v)
}
