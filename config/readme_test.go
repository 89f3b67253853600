package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the settings in README.md and .env.example from Reference")

// The README's table is between these lines.
const (
	tableBegin = "<!-- settings -->"
	tableEnd   = "<!-- /settings -->"
)

// The README must tell of every variable what Load does with it.
func TestREADMEListsEveryVariable(t *testing.T) {
	t.Parallel()
	const path = "../README.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), tableBegin+"\n")
	got, after, closed := strings.Cut(rest, tableEnd)
	if !found || !closed {
		t.Fatalf("%s has no table between %s and %s; put the two lines there and run go test ./config -run README -update", path, tableBegin, tableEnd)
	}
	want := table()
	if strings.TrimSpace(got) == strings.TrimSpace(want) {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+tableBegin+"\n"+want+tableEnd+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("the settings in %s differ from config.Reference; run go test ./config -run README -update.\n%s", path, difference(got, want))
}

// table is what the README must hold.
func table() string {
	var b strings.Builder
	b.WriteString("| variable | default | meaning |\n| --- | --- | --- |\n")
	for _, v := range Reference() {
		def := "–"
		if v.Default != "" {
			def = "`" + v.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", v.Name, def, v.Meaning)
	}
	return b.String()
}

// .env.example must name every variable with its default.
func TestEnvExampleListsEveryVariable(t *testing.T) {
	t.Parallel()
	const path = "../.env.example"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := envExample()
	if string(text) == want {
		return
	}
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s differs from config.Reference; run go test ./config -run EnvExample -update.\n%s", path, difference(string(text), want))
}

// envExample is what .env.example must hold.
func envExample() string {
	var b strings.Builder
	b.WriteString(`# Every setting of hcbridge with its default. Copy this file to .env and
# uncomment what you change; only what has no default below is needed.
#
# A secret X may instead be given as X_FILE, the path of a file that holds it.
# Durations are written like 90s, 10m or 1h30m.

# Makes docker compose hand .env, the copy, to the bridge.
BRIDGE_ENV_FILE=.env
`)
	for _, v := range Reference() {
		if v.Name == "DATABASE_URL" {
			fmt.Fprintf(&b, "\n# %s\n# This one is docker compose's; take the line out where DATABASE_URL_FILE is set.\n%s=postgres://postgres:postgres@postgres:5432/hcbridge\n",
				strings.ReplaceAll(v.Meaning, "`", ""), v.Name)
			continue
		}
		name := strings.ReplaceAll(v.Name, "<NAME>", "ACCOUNT")
		def := v.Default
		if _, derived := lookup(def); derived {
			def = "" // that of another variable
		}
		fmt.Fprintf(&b, "\n# %s\n#%s=%s\n", strings.ReplaceAll(v.Meaning, "`", ""), name, def)
	}
	return b.String()
}

// difference lists the lines that only one of two texts has.
func difference(got, want string) string {
	g, w := strings.Split(strings.TrimSpace(got), "\n"), strings.Split(strings.TrimSpace(want), "\n")
	var b strings.Builder
	for _, line := range g {
		if !slices.Contains(w, line) {
			fmt.Fprintf(&b, "- %s\n", line)
		}
	}
	for _, line := range w {
		if !slices.Contains(g, line) {
			fmt.Fprintf(&b, "+ %s\n", line)
		}
	}
	return b.String()
}

func TestReference(t *testing.T) {
	t.Parallel()
	var seen []string
	for _, v := range Reference() {
		if v.Name == "" || !strings.HasSuffix(v.Meaning, ".") || strings.ContainsAny(v.Meaning, "|\n") || slices.Contains(seen, v.Name) {
			t.Errorf("%+v", v)
		}
		seen = append(seen, v.Name)
	}
}
