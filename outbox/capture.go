package outbox

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"strings"
	"text/template"
)

//go:embed sql
var files embed.FS

// The classes of advisory locks: who may notify, and who installs.
const (
	gateClass    = 0x68637470
	installClass = 0x6863696e
)

// When ids of a log that Heroku Connect made are widened: the table is at most
// smallLog bytes long, or ids above manyIDs, of 2^31, have been drawn.
const (
	smallLog = 64 << 20
	manyIDs  = 1_600_000_000
)

// logSQL makes the per-schema part: log, archive, marker, functions. Pure.
func logSQL(schema, hstore string) (string, error) {
	return render("log.sql.tmpl", map[string]any{
		"SchemaName": schema,
		"Schema":     ident(schema),
		"Log":        ident(schema, "_trigger_log"),
		"Archive":    ident(schema, "_trigger_log_archive"),
		"Attempt":    ident(schema, attemptTable),
		"Echo":       ident(schema, echoTable),
		"Meta":       ident(schema, "_hcmeta"),
		"HStore":     ident(hstore),
		"Channel":    Channel(schema),
		"GateClass":  gateClass,
		"GateKey":    lockKey(Channel(schema)),
		"SmallLog":   smallLog,
		"ManyIDs":    manyIDs,
	})
}

// switchBody is the body of get_xmlbinary.
const switchBody = " BEGIN RETURN pg_catalog.current_setting('xmlbinary'); END "

// switchSQL makes get_xmlbinary under the given qualified name. Pure.
func switchSQL(name string) (string, error) {
	return render("switch.sql.tmpl", map[string]any{"Switch": name, "Body": switchBody})
}

// tableSQL makes the functions of one table. The state its changes get is part
// of the text, so that a change of mode is a change of function. Pure.
//
// hstore is the schema of the extension, sequence what the ids of the log are
// drawn from.
func tableSQL(schema, hstore, sequence string, t Table) (string, error) {
	state := "READONLY"
	if t.ReadWrite {
		state = "NEW"
	}
	mapped, kept := []string{keyColumn}, []string(nil) // of another key the outbox must know, see rekey.go
	for _, c := range t.Columns {
		switch c.Name {
		case "systemmodstamp", "isdeleted":
			kept = append(kept, c.Name)
		}
		if !c.system() {
			mapped = append(mapped, c.Name)
		}
	}
	return render("table.sql.tmpl", map[string]any{
		"Name":           strings.Join(strings.Fields(t.Name), " "), // it stands in a comment
		"StatusFunction": ident(schema, statusFunction(t.Name)),
		"LogFunction":    ident(schema, logFunction(t.Name)),
		"Log":            ident(schema, "_trigger_log"),
		"HStore":         ident(hstore),
		"Sequence":       sequence,
		"Table":          t.Name,
		"LogTrigger":     logTrigger(t.Name),
		"ReadWrite":      t.ReadWrite,
		"State":          state,
		"Mapped":         mapped,
		"Kept":           kept,
	})
}

// trigger is one trigger of a table.
type trigger struct {
	name string
	sql  string // CREATE TRIGGER
}

// mark is the comment that tells whether a trigger is ours, and up to date.
func (t trigger) mark() string {
	sum := sha256.Sum256([]byte(t.sql))
	return "hcbridge " + hex.EncodeToString(sum[:8])
}

// triggersOf lists the triggers that a table needs. Pure.
//
// Changes are logged by statement, from transition tables, at half of what a
// call for each row costs. These can be had for one event at a time only; so
// the trigger of Heroku Connect's name, which logged all, logs the updates and
// has two others beside it.
func triggersOf(schema, switchName string, t Table) []trigger {
	on := ident(schema, t.Name)
	user := fmt.Sprintf("WHEN (%s()::text = 'base64')", switchName)
	list := []trigger{{statusTrigger(t.Name), fmt.Sprintf("CREATE TRIGGER %s BEFORE INSERT OR UPDATE ON %s FOR EACH ROW EXECUTE FUNCTION %s()",
		ident(statusTrigger(t.Name)), on, ident(schema, statusFunction(t.Name)))}}
	for _, l := range []struct{ name, event, tables string }{
		{logTrigger(t.Name), "UPDATE", "OLD TABLE AS _hc_before NEW TABLE AS _hc_after"},
		{insertTrigger(t.Name), "INSERT", "NEW TABLE AS _hc_after"},
		{deleteTrigger(t.Name), "DELETE", "OLD TABLE AS _hc_before"},
	} {
		list = append(list, trigger{l.name, fmt.Sprintf("CREATE TRIGGER %s AFTER %s ON %s REFERENCING %s FOR EACH STATEMENT %s EXECUTE FUNCTION %s()",
			ident(l.name), l.event, on, l.tables, user, ident(schema, logFunction(t.Name)))})
	}
	if t.ReadWrite {
		list = append(list, trigger{truncateTrigger(t.Name), fmt.Sprintf("CREATE TRIGGER %s BEFORE TRUNCATE ON %s FOR EACH STATEMENT %s EXECUTE FUNCTION %s()",
			ident(truncateTrigger(t.Name)), on, user, ident(schema, "hc_refuse_truncate"))})
	}
	return list
}

// notifyTrigger is the trigger of the log itself.
func notifyTrigger(schema string) trigger {
	return trigger{"tlog_insert_trigger", fmt.Sprintf(
		"CREATE TRIGGER tlog_insert_trigger AFTER INSERT ON %s FOR EACH STATEMENT EXECUTE FUNCTION %s()",
		ident(schema, "_trigger_log"), ident(schema, "tlog_notify_trigger"))}
}

// render executes a template of sql/. Within it, {{body "x"}} is the template x
// as a string constant: no name in it can end it early.
func render(file string, data any) (string, error) {
	t := template.New(file)
	t.Funcs(template.FuncMap{
		"lit":   literal,
		"array": textArray,
		"body": func(name string) (string, error) {
			var b strings.Builder
			if err := t.ExecuteTemplate(&b, name, data); err != nil {
				return "", err //nolint:wrapcheck // wrapped below
			}
			if body := b.String(); !strings.Contains(body, "$body$") {
				return "$body$" + body + "$body$", nil
			}
			return literal(b.String()), nil
		},
	})
	t, err := t.ParseFS(files, "sql/"+file)
	if err != nil {
		return "", fmt.Errorf("template %s: %w", file, err)
	}
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return "", fmt.Errorf("template %s: %w", file, err)
	}
	return b.String(), nil
}
