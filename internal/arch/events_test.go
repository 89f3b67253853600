package arch

import (
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The README lists every word that a log line's event can be, and no other:
// alerts are built on them.
func TestREADMEListsEveryEvent(t *testing.T) {
	t.Parallel()
	logged := map[string]string{} // event → where
	for _, s := range parseTree(t, "../..") {
		if !s.held() || s.pkg == "cmd/demo" || s.pkg == "cmd/orgsim" {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) != 2 || text(call.Args[0]) != "event" {
				return true
			}
			if f, ok := call.Fun.(*ast.SelectorExpr); !ok || f.Sel.Name != "Str" {
				return true
			}
			for _, word := range words(call.Args[1], s.file) {
				logged[word] = s.set.Position(call.Pos()).String()
			}
			return true
		})
	}
	if len(logged) < 20 {
		t.Fatalf("only %d events found in the code: the search is broken", len(logged))
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, found := strings.Cut(string(readme), "| event | level | means |")
	if !found {
		t.Fatal("the README has no table of events")
	}
	table, _, _ = strings.Cut(table, "\n\n")
	var listed []string
	for line := range strings.Lines(table) {
		first, _, _ := strings.Cut(strings.TrimPrefix(line, "|"), "|")
		for _, m := range regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(first, -1) {
			listed = append(listed, m[1])
		}
	}
	for word, where := range logged {
		if !slices.ContainsFunc(listed, func(l string) bool { return l == word || strings.HasSuffix(word, "_") && strings.HasPrefix(l, word) }) {
			t.Errorf("%s logs event %q, which the README does not list", where, word)
		}
	}
	for _, word := range listed {
		known := logged[word] != ""
		for prefix := range logged {
			known = known || strings.HasSuffix(prefix, "_") && strings.HasPrefix(word, prefix)
		}
		if !known {
			t.Errorf("the README lists event %q, which nothing logs", word)
		}
	}
}

// text returns the value of a string literal, or "".
func text(e ast.Expr) string {
	lit, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, _ := strconv.Unquote(lit.Value)
	return s
}

// words returns what an event can be: a literal, the literal beginning of a
// sum ("topic_"), or the literals that the file assigns to a variable.
func words(e ast.Expr, file *ast.File) []string {
	switch e := e.(type) {
	case *ast.BasicLit:
		return []string{text(e)}
	case *ast.BinaryExpr:
		return words(e.X, file)
	case *ast.Ident:
		var found []string
		ast.Inspect(file, func(n ast.Node) bool {
			if a, ok := n.(*ast.AssignStmt); ok && len(a.Lhs) == 1 && len(a.Rhs) == 1 {
				if v, ok := a.Lhs[0].(*ast.Ident); ok && v.Name == e.Name && text(a.Rhs[0]) != "" {
					found = append(found, text(a.Rhs[0]))
				}
			}
			return true
		})
		return found
	}
	return nil
}
