package arch

import (
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestArchitecture(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, complaint := range check(parseTree(t, root)) {
		t.Error(complaint)
	}
}

// check returns one line for each rule that a file breaks.
func check(sources []source) []string {
	var complaints []string
	for _, s := range sources {
		complaints = slices.Concat(complaints, checkArrows(s), checkHomes(s), checkCode(s))
		if !s.test && s.lines > maxLines {
			complaints = append(complaints, fmt.Sprintf("%s: %d lines, more than %d: split it by noun or verb", s.name, s.lines, maxLines))
		}
	}
	slices.Sort(complaints)
	return slices.Compact(complaints)
}

func checkArrows(s source) (complaints []string) {
	i := slices.IndexFunc(layers, func(l layer) bool { return matches(s.pkg, l.pkg) })
	if i < 0 {
		return []string{fmt.Sprintf("package %s has no rule: decide in rules_test.go what it may import", s.pkg)}
	}
	for imported, at := range s.imports() {
		ours, is := strings.CutPrefix(imported, module+"/")
		switch {
		case !is || ours == s.pkg || matchesAny(ours, layers[i].may):
		case s.test && matchesAny(ours, testsMay):
		default:
			complaints = append(complaints, fmt.Sprintf("%s: %s may not import %s", at, s.pkg, ours))
		}
	}
	return complaints
}

func checkHomes(s source) (complaints []string) {
	if !s.held() {
		return nil
	}
	for imported, at := range s.imports() {
		for _, home := range homes {
			standard := !strings.Contains(home.library, ".")
			is := imported == home.library || !standard && strings.HasPrefix(imported, home.library+"/")
			if is && !matchesAny(s.pkg, home.in) {
				complaints = append(complaints, fmt.Sprintf("%s: %s is not at home in %s, only in %q", at, imported, s.pkg, home.in))
			}
		}
	}
	return complaints
}

// checkCode looks for what must not be written: questions to the environment
// and goroutines in the wrong places.
func checkCode(s source) (complaints []string) {
	if s.test {
		return nil
	}
	ast.Inspect(s.file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			switch {
			case matchesAny(s.pkg, startsNoGoroutine):
				complaints = append(complaints, fmt.Sprintf("%s: %s starts a goroutine; its caller owns them", s.set.Position(n.Pos()), s.pkg))
			case matchesAny(s.pkg, startsGroups):
				complaints = append(complaints, fmt.Sprintf("%s: %s starts a goroutine outside of a group; start it with errgroup or sync.WaitGroup", s.set.Position(n.Pos()), s.pkg))
			}
		case *ast.CallExpr: // errgroup.Group and sync.WaitGroup have the method Go
			if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Go" && matchesAny(s.pkg, startsNoGoroutine) {
				complaints = append(complaints, fmt.Sprintf("%s: %s starts a goroutine; its caller owns them", s.set.Position(n.Pos()), s.pkg))
			}
		case *ast.SelectorExpr:
			x, ok := n.X.(*ast.Ident)
			asks := ok && x.Name == "os" && slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, n.Sel.Name)
			if asks && !matchesAny(s.pkg, readsEnvironment) {
				complaints = append(complaints, fmt.Sprintf("%s: os.%s in %s; only config reads the environment", s.set.Position(n.Pos()), n.Sel.Name, s.pkg))
			}
		}
		return true
	})
	return complaints
}

// The table itself must be a layering: no package may name one below it.
func TestLayersPointDown(t *testing.T) {
	t.Parallel()
	var above []string
	for _, layer := range layers {
		for _, may := range layer.may {
			if may != "..." && may != layer.pkg && !slices.Contains(above, may) {
				t.Errorf("%s may import %s, which is no layer above it", layer.pkg, may)
			}
		}
		if slices.Contains(above, layer.pkg) {
			t.Errorf("%s has two rules", layer.pkg)
		}
		above = append(above, layer.pkg)
	}
	for _, layer := range layers {
		ships := !matches(layer.pkg, "test/...") && layer.pkg != "cmd/demo" && layer.pkg != "cmd/orgsim"
		if ships && slices.ContainsFunc(layer.may, func(may string) bool { return may == "..." || strings.HasPrefix(may, "test/") }) {
			t.Errorf("%s ships and may import test code", layer.pkg)
		}
	}
}

// Each rule must catch what it is for, or a green TestArchitecture means nothing.
func TestRulesCatch(t *testing.T) {
	t.Parallel()
	cases := []struct{ file, code, complaint string }{
		{"pgsink/a.go", `import _ "hcbridge/bayeux"`, "pgsink may not import bayeux"},
		{"bayeux/a.go", `import _ "hcbridge/test/org"`, "bayeux may not import test/org"},
		{"cmd/hcbridge/a.go", `import _ "hcbridge/test/pgtest"`, "cmd/hcbridge may not import test/pgtest"},
		{"test/org/soql/a.go", `import _ "hcbridge/pushtopic"`, "test/org/soql may not import pushtopic"},
		{"outbox/a_test.go", `import _ "hcbridge/pgsink"`, "outbox may not import pgsink"},
		{"outbox/a_test.go", `import _ "hcbridge/test/pgtest"`, ""},
		{"internal/new/a.go", ``, "package internal/new has no rule"},
		{"outbox/a.go", `import _ "net/http"`, "net/http is not at home in outbox"},
		{"outbox/a_test.go", `import _ "net/http"`, ""},
		{"outbox/a_test.go", `import _ "hcbridge/internal/migrate"`, ""},
		{"outbox/a.go", `import _ "hcbridge/internal/migrate"`, "outbox may not import internal/migrate"},
		{"outbox/a.go", `import _ "net/http/httptrace"`, ""},
		{"outbox/a.go", `import _ "github.com/go-resty/resty/v2"`, "resty/v2 is not at home in outbox"},
		{"bayeux/a.go", `import _ "github.com/jackc/pgx/v5/pgxpool"`, "pgxpool is not at home in bayeux"},
		{"pgsink/a.go", `import "os"; var x = os.Getenv("X")`, "only config reads the environment"},
		{"internal/web/a.go", `import "os"; var x = os.Environ()`, "only config reads the environment"},
		{"config/a.go", `import "os"; var x = os.Environ()`, ""},
		{"pgsink/a.go", `func f() { go f() }`, "pgsink starts a goroutine; its caller"},
		{"pgsink/a.go", `import "sync"; func f(g *sync.WaitGroup) { g.Go(func() {}) }`, "pgsink starts a goroutine; its caller"},
		{"pushtopic/a.go", `import "golang.org/x/sync/errgroup"; func f(g *errgroup.Group) { g.Go(nil) }`, "pushtopic starts a goroutine; its caller"},
		{"bayeux/a.go", `func f() { go f() }`, "bayeux starts a goroutine outside of a group"},
		{"bayeux/a.go", `import "sync"; func f(g *sync.WaitGroup) { g.Go(func() {}) }`, ""},
		{"bayeux/a_test.go", `func f() { go f() }`, ""},
		{"internal/bridge/a.go", `func f() { go f() }`, ""},
		{"bayeux/a.go", strings.Repeat("\n", maxLines+1), "split it"},
	}
	for _, c := range cases {
		t.Run(c.file+" "+strings.TrimSpace(c.code), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			file := filepath.Join(root, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte("package p\n"+c.code+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			got := strings.Join(check(parseTree(t, root)), "\n")
			if c.complaint == "" && got != "" || !strings.Contains(got, c.complaint) {
				t.Errorf("complaints %q, want %q", got, c.complaint)
			}
		})
	}
}
