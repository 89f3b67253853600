package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Install makes, in tx, everything that captures changes in schema: the
// extension hstore, _trigger_log and its archive, _hcmeta with orgID, the
// switch get_xmlbinary, the capture functions, and functions and triggers of
// every table. The schema and the tables must exist.
//
// It may be run at every start: what is there and right is left alone, without
// a lock on the tables; what Heroku Connect left is adopted. A table that is no
// longer among tables loses its triggers, unless keep names it: a table that is
// mapped, but about which Salesforce says nothing just now, must go on being
// captured as it was. orgID "" leaves the org open; another org than the one
// recorded is [ErrOtherOrg].
//
// The functions belong to, and act with the rights of, the role of tx.
func Install(ctx context.Context, tx pgx.Tx, schema string, tables []Table, keep []string, orgID string) error {
	i := installer{Tx: tx, schema: schema}
	steps := []func(context.Context) error{
		i.lock, i.checkOrg(orgID), i.findHStore, i.makeLog, i.writeOrg(orgID), i.makeSwitch,
		func(ctx context.Context) error { return i.makeTables(ctx, tables, keep) },
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return fmt.Errorf("outbox: install in schema %s: %w", schema, err)
		}
	}
	return nil
}

// TableError is why the triggers of one table could not be made. Without that table,
// named in keep, [Install] may well work.
type TableError struct {
	Table string
	err   error
}

func (e *TableError) Error() string { return "table " + e.Table + ": " + e.err.Error() }

// Unwrap returns what Postgres said.
func (e *TableError) Unwrap() error { return e.err }

// installer is one run of Install.
type installer struct {
	pgx.Tx
	schema   string
	hstore   string // schema of the extension
	flip     string // qualified name of get_xmlbinary, quoted
	sequence string // of the log's ids, as a regclass shows it
}

// installed is a trigger found in the schema.
type installed struct {
	table, name, function, mark string
	disabled                    bool
}

func (i *installer) lock(ctx context.Context) error {
	_, err := i.Exec(ctx, "SELECT pg_advisory_xact_lock($1, $2)", int32(installClass), lockKey(i.schema))
	if err != nil {
		return fmt.Errorf("lock: %w", err)
	}
	return nil
}

// checkOrg refuses a schema that is bound to another org. Ids of 15 and 18
// characters are the same.
func (i *installer) checkOrg(orgID string) func(context.Context) error {
	return func(ctx context.Context) error {
		m, err := ReadMarker(ctx, i, i.schema)
		switch {
		case err != nil:
			return err
		case !m.Fits(orgID):
			return fmt.Errorf("%w: %s, not %s", ErrOtherOrg, m.OrgID, orgID)
		}
		return nil
	}
}

func (i *installer) writeOrg(orgID string) func(context.Context) error {
	return func(ctx context.Context) error {
		meta := ident(i.schema, "_hcmeta")
		_, err := i.Exec(ctx, "UPDATE "+meta+" SET org_id = $1 WHERE $1 <> '' AND COALESCE(org_id, '') = ''", orgID)
		if err == nil {
			_, err = i.Exec(ctx, "INSERT INTO "+meta+" (hcver, org_id, details) SELECT 1, NULLIF($1, ''), $2 WHERE NOT EXISTS (SELECT FROM "+meta+")", orgID, markerDetails)
		}
		if err != nil {
			return fmt.Errorf("marker: %w", err)
		}
		return nil
	}
}

// findHStore finds the schema of hstore, whichever it is, and creates the
// extension in public if there is none.
func (i *installer) findHStore(ctx context.Context) error {
	const find = "SELECT n.nspname::text FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'hstore'"
	err := i.QueryRow(ctx, find).Scan(&i.hstore)
	if errors.Is(err, pgx.ErrNoRows) {
		if _, err = i.Exec(ctx, "CREATE EXTENSION IF NOT EXISTS hstore SCHEMA public"); err == nil {
			err = i.QueryRow(ctx, find).Scan(&i.hstore)
		}
	}
	if err != nil {
		return fmt.Errorf("extension hstore: %w", err)
	}
	return nil
}

func (i *installer) makeLog(ctx context.Context) error {
	// Heroku Connect's capture functions return integer; a return type cannot
	// be replaced.
	for _, name := range []string{"hc_capture_insert_from_row", "hc_capture_update_from_row"} {
		var narrow bool
		signature := fmt.Sprintf("%s(%s.hstore, varchar, text[])", ident(i.schema, name), ident(i.hstore))
		err := i.QueryRow(ctx, "SELECT COALESCE((SELECT prorettype <> 'int8'::regtype FROM pg_proc WHERE oid = to_regprocedure($1)), false)", signature).Scan(&narrow)
		if err == nil && narrow {
			_, err = i.Exec(ctx, "DROP FUNCTION "+signature)
		}
		if err != nil {
			return fmt.Errorf("function %s: %w", name, err)
		}
	}
	sql, err := logSQL(i.schema, i.hstore)
	if err != nil {
		return err
	}
	if _, err := i.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("trigger log: %w", err)
	}
	if err := i.QueryRow(ctx, "SELECT pg_get_serial_sequence($1, 'id')", ident(i.schema, "_trigger_log")).Scan(&i.sequence); err != nil {
		return fmt.Errorf("sequence of the trigger log: %w", err)
	}
	return nil
}

// makeSwitch creates get_xmlbinary in public. Where there is one that is not
// ours it is left alone, for users' triggers, but not used: Heroku Connect's
// takes longer than all the rest of a small transaction. Then, and where public
// is closed to us, ours is in the mapped schema. One that is right stays as it is:
// public may have been closed since it was made.
func (i *installer) makeSwitch(ctx context.Context) error {
	var exists, ours, right, may bool
	err := i.QueryRow(ctx, `SELECT f.oid IS NOT NULL,
			COALESCE(obj_description(f.oid, 'pg_proc') = 'hcbridge' AND pg_has_role(p.proowner, 'USAGE'), false),
			COALESCE(p.prosrc = $1 AND p.provolatile = 's' AND p.proparallel = 's' AND NOT p.prosecdef AND p.proconfig IS NULL, false),
			COALESCE(has_schema_privilege(to_regnamespace('public')::oid, 'CREATE'), false)
		FROM (SELECT to_regprocedure('public.get_xmlbinary()')::oid AS oid) AS f
		LEFT JOIN pg_proc AS p ON p.oid = f.oid`, switchBody).Scan(&exists, &ours, &right, &may)
	if err != nil {
		return fmt.Errorf("function get_xmlbinary: %w", err)
	}
	i.flip = ident("public", "get_xmlbinary")
	switch {
	case ours && right:
		return nil
	case exists && !ours, !may:
		i.flip = ident(i.schema, "get_xmlbinary")
	}
	sql, err := switchSQL(i.flip)
	if err != nil {
		return err
	}
	if _, err := i.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
		return fmt.Errorf("function get_xmlbinary: %w", err)
	}
	return nil
}

func (i *installer) makeTables(ctx context.Context, tables []Table, keep []string) error {
	found, err := triggers(ctx, i, i.schema)
	if err != nil {
		return err
	}
	wanted := map[[2]string]bool{}
	if err := i.makeTriggers(ctx, "_trigger_log", []trigger{notifyTrigger(i.schema)}, found, wanted); err != nil {
		return err
	}
	for _, t := range tables {
		sql, err := tableSQL(i.schema, i.hstore, i.sequence, t)
		if err != nil {
			return err
		}
		if _, err := i.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("functions of %s: %w", t.Name, err)
		}
		if err := i.makeTriggers(ctx, t.Name, triggersOf(i.schema, i.flip, t), found, wanted); err != nil {
			return &TableError{Table: t.Name, err: err}
		}
	}
	maps.DeleteFunc(found, func(key [2]string, _ installed) bool { return slices.Contains(keep, key[0]) })
	return i.dropOthers(ctx, found, wanted)
}

// triggers finds those of schema that are ours or Heroku Connect's, by table and name.
func triggers(ctx context.Context, db DB, schema string) (map[[2]string]installed, error) {
	sql, err := files.ReadFile("sql/triggers.sql")
	if err != nil {
		return nil, fmt.Errorf("triggers: %w", err)
	}
	rows, err := db.Query(ctx, string(sql), schema)
	if err != nil {
		return nil, fmt.Errorf("triggers: %w", err)
	}
	found := map[[2]string]installed{}
	var f installed
	_, err = pgx.ForEachRow(rows, []any{&f.table, &f.name, &f.function, &f.mark, &f.disabled}, func() error {
		found[[2]string{f.table, f.name}] = f
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("triggers: %w", err)
	}
	return found, nil
}

// makeTriggers creates what is missing or differs. A trigger that is right is
// not touched, because replacing it would lock the table against its app. One
// that somebody disabled stays so: he may be loading, and what is captured is
// sent.
func (i *installer) makeTriggers(ctx context.Context, table string, list []trigger, found map[[2]string]installed, wanted map[[2]string]bool) error {
	for _, t := range list {
		key := [2]string{table, t.name}
		wanted[key] = true
		f, there := found[key]
		if there && f.mark == t.mark() {
			continue
		}
		var steps []string
		if there {
			steps = append(steps, "DROP TRIGGER "+ident(t.name)+" ON "+ident(i.schema, table))
		}
		steps = append(steps, t.sql, fmt.Sprintf("COMMENT ON TRIGGER %s ON %s IS %s", ident(t.name), ident(i.schema, table), literal(t.mark())))
		if f.disabled {
			steps = append(steps, fmt.Sprintf("ALTER TABLE %s DISABLE TRIGGER %s", ident(i.schema, table), ident(t.name)))
		}
		for _, sql := range steps {
			if _, err := i.Exec(ctx, sql); err != nil {
				return fmt.Errorf("trigger %s: %w", t.name, err)
			}
		}
	}
	return nil
}

// dropOthers takes the triggers off tables that are not mapped any more.
func (i *installer) dropOthers(ctx context.Context, found map[[2]string]installed, wanted map[[2]string]bool) error {
	unused := map[string]bool{}
	for key, f := range found {
		if wanted[key] {
			continue
		}
		if _, err := i.Exec(ctx, "DROP TRIGGER "+ident(f.name)+" ON "+ident(i.schema, f.table)); err != nil {
			return fmt.Errorf("trigger %s: %w", f.name, err)
		}
		if f.function == statusFunction(f.table) || f.function == logFunction(f.table) { // else it is shared, or not ours
			unused[f.function] = true
		}
	}
	for name := range unused {
		if _, err := i.Exec(ctx, "DROP FUNCTION IF EXISTS "+ident(i.schema, name)+"()"); err != nil {
			return fmt.Errorf("function %s: %w", name, err)
		}
	}
	return nil
}
