package pgsink

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Names come from the org. Whatever they are, a table of that name is made, or
// refused, and nothing else in the database changes (S12, S33).
func TestHostileNamesMakeNothingElse(t *testing.T) {
	t.Parallel()
	b := setup(t, account())
	b.exec(`CREATE TABLE public.victim (x text); INSERT INTO public.victim VALUES ('there')`)
	// Everything but the tables, indexes and types of schema salesforce.
	catalog := func() string {
		t.Helper()
		return b.one(`SELECT concat_ws(E'\n',
			(SELECT string_agg(n.nspname || '.' || c.relname || ' ' || c.relkind::text, E'\n' ORDER BY n.nspname, c.relname, c.relkind)
				FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname NOT IN ('salesforce', 'pg_toast')),
			(SELECT string_agg(oid::regprocedure::text, E'\n' ORDER BY oid) FROM pg_proc),
			(SELECT string_agg(rolname || rolsuper::text, E'\n' ORDER BY rolname) FROM pg_roles),
			(SELECT string_agg(nspname, ' ' ORDER BY nspname) FROM pg_namespace WHERE nspname NOT LIKE 'pg_t%'),
			(SELECT string_agg(x, ' ') FROM public.victim))`)
	}
	before := catalog()
	parts := []string{
		`x"; DROP TABLE public.victim; --`, `x'); DROP TABLE public.victim; --`, `$$; DROP TABLE public.victim; $$`, `$body$ x $body$`, `\'; DELETE FROM public.victim; --`,
		"line\nDROP TABLE public.victim;\n--", "*/ DROP TABLE public.victim; /*", "{{.Table}}", "%s%I%L", "select", "pg_catalog.pg_class", "ｆｕｌｌ", "Ünïcödé__c", "\u202eevil",
		strings.Repeat("long", 30), "a.b.c", "Id", `"`, "'", ` `, "tab\there", "nul\x00", "\xff",
	}
	made := 0
	for _, object := range parts {
		for _, field := range parts {
			spec := Spec{Schema: "salesforce", Object: object, ReadWrite: true, Fields: []Field{
				{Name: "Id", Type: "id"}, {Name: field, Type: "string", Length: 20, Indexed: true}, {Name: "SystemModstamp", Type: "datetime"},
			}}
			table, err := NewTable(spec)
			if err != nil {
				continue
			}
			err = pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
				if _, err := table.Ensure(t.Context(), tx); err != nil {
					return err
				}
				for _, sql := range []string{table.applySQL(all(table), fromArrays), table.applySQL(all(table), fromPatches)} {
					if _, err := tx.Prepare(t.Context(), "", sql); err != nil {
						return err
					}
				}
				return nil
			})
			if err == nil {
				made++
			} else if !strings.Contains(object+field, "\x00") && utf8.ValidString(object+field) && len(object)+len(field) < 60 {
				t.Errorf("%q with %q: %v", object, field, err)
			}
			if len(object) > 20 && field != object { // each object with one field is enough
				break
			}
		}
	}
	if made < 50 {
		t.Errorf("only %d tables were made", made)
	}
	if after := catalog(); after != before {
		t.Errorf("the catalog has changed from\n%s\nto\n%s", before, after)
	}
}
