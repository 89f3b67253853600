package security

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/rig"
)

// No secret is in the command line, and none is left in the database; the process
// leaves no core file, and what Go prints of it when it is killed for a dump has no
// secret (S8, S9, S34). Nothing is written to its folder.
func TestProcessKeepsItsSecrets(t *testing.T) {
	t.Parallel()
	r := rig.New(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_HTTP_TOKEN=t0ken-canary-of-the-page", "GOTRACEBACK=crash")
	r.Insert("Account", map[string]any{"Name": "Theirs"})
	b := r.Start()
	r.Synced()
	r.Exec("INSERT INTO salesforce.contact (lastname) VALUES ('Ours')")
	r.Equal("Account", "Contact")

	proc := fmt.Sprintf("/proc/%d/", b.Cmd.Process.Pid)
	line, err := os.ReadFile(proc + "cmdline")
	if err != nil {
		t.Fatal(err)
	}
	limits, err := os.ReadFile(proc + "limits")
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`Max core file size +0 +0 `).Match(limits) {
		t.Errorf("a core file may be written:\n%s", limits)
	}
	var left strings.Builder
	for _, table := range tables(t, r) {
		var text *string
		if err := r.Pool.QueryRow(t.Context(), "SELECT string_agg(t::text, E'\n') FROM "+table+" AS t").Scan(&text); err != nil {
			t.Fatal(err)
		}
		if text != nil {
			left.WriteString(*text)
		}
	}
	if left.Len() < 1000 {
		t.Errorf("only %d bytes were found in the database", left.Len())
	}
	for where, text := range map[string]string{"command line": string(line), "database": left.String()} {
		for _, what := range r.Secrets(text) {
			t.Errorf("the %s holds %s", where, what)
		}
	}

	if err := b.Cmd.Process.Signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	select {
	case <-b.Done:
	case <-time.After(20 * time.Second):
		t.Fatal("it goes on after SIGQUIT")
	}
	dump := b.Log.String()
	if !strings.Contains(dump, "goroutine ") {
		t.Fatal("no dump")
	}
	for _, what := range r.Secrets(dump) {
		t.Errorf("the dump holds %s", what)
	}
}

// tables are all tables that the bridge has made.
func tables(t *testing.T, r *rig.Rig) []string {
	t.Helper()
	rows, err := r.Pool.Query(t.Context(), `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname IN ('hcbridge', 'salesforce')`)
	if err != nil {
		t.Fatal(err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(list) < 10 {
		t.Fatalf("%v, %v", list, err)
	}
	return list
}
