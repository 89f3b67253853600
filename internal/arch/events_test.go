package arch

import (
	"go/ast"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// said is how an event is logged.
type said struct {
	where  string
	levels []string
	vague  bool // at a place whose level the source does not tell
}

// The README lists every word that a log line's event can be with its levels, and
// no other: alerts are built on them.
func TestREADMEListsEveryEvent(t *testing.T) {
	t.Parallel()
	logged := events(parseTree(t, "../.."))
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
	listed := map[string][]string{} // event → levels
	for line := range strings.Lines(table) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 {
			continue
		}
		words := regexp.MustCompile("`([a-z_]+)`").FindAllStringSubmatch(cells[1], -1)
		levels := []string{cells[2]}
		if len(words) > 1 && strings.Contains(cells[2], ",") { // one cell for each, not one for all
			levels = strings.Split(cells[2], ",")
		}
		if len(levels) != 1 && len(levels) != len(words) {
			t.Errorf("%d events have %d levels: %s", len(words), len(levels), cells[1])
			continue
		}
		for i, m := range words {
			listed[m[1]] = levelsIn(levels[min(i, len(levels)-1)])
		}
	}
	// is reports whether word is an event, or one that begins as event does.
	is := func(word, event string) bool {
		return word == event || strings.HasSuffix(event, "_") && strings.HasPrefix(word, event)
	}
	for event, said := range logged {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(listed)), func(word string) bool { return is(word, event) }) {
			t.Errorf("%s logs event %q, which the README does not list", said.where, event)
		}
	}
	for word, levels := range listed {
		var have said
		for event, said := range logged {
			if is(word, event) {
				have.where, have.vague = said.where, have.vague || said.vague
				have.levels = append(have.levels, said.levels...)
			}
		}
		missing := func(x, y []string) bool {
			return slices.ContainsFunc(x, func(level string) bool { return !slices.Contains(y, level) })
		}
		switch {
		case have.where == "":
			t.Errorf("the README lists event %q, which nothing logs", word)
		case missing(have.levels, levels) || !have.vague && missing(levels, have.levels):
			slices.Sort(have.levels)
			t.Errorf("the README lists event %q at %q, %s logs it at %q", word, levels, have.where, slices.Compact(have.levels))
		}
	}
}

// events returns what is logged, by event.
func events(sources []source) map[string]said {
	logged := map[string]said{}
	for _, s := range sources {
		if !s.held() || s.pkg == "cmd/demo" || s.pkg == "cmd/orgsim" {
			continue
		}
		for _, decl := range s.file.Decls {
			ast.Inspect(decl, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || len(call.Args) != 2 || text(call.Args[0]) != "event" {
					return true
				}
				f, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || f.Sel.Name != "Str" {
					return true
				}
				at := levels(f.X, decl)
				for _, word := range words(call.Args[1], s.file) {
					have := logged[word]
					logged[word] = said{
						where: s.set.Position(call.Pos()).String(), vague: have.vague || at == nil,
						levels: append(have.levels, at...),
					}
				}
				return true
			})
		}
	}
	return logged
}

// levels returns at what a chain like log.Warn().Err(err) logs: of WithLevel(level)
// the constants that the function assigns to level, or nil.
func levels(chain ast.Expr, function ast.Node) []string {
	for {
		call, ok := chain.(*ast.CallExpr)
		if !ok {
			return nil
		}
		f, ok := call.Fun.(*ast.SelectorExpr)
		switch {
		case !ok:
			return nil
		case f.Sel.Name == "WithLevel":
			return assignedLevels(call.Args[0], function)
		case len(call.Args) == 0 && slices.Contains([]string{"Debug", "Info", "Warn", "Error"}, f.Sel.Name):
			return []string{strings.ToLower(f.Sel.Name)}
		}
		chain = f.X
	}
}

// assignedLevels returns nil if anything but a constant is assigned.
func assignedLevels(e ast.Expr, function ast.Node) (found []string) {
	variable, ok := e.(*ast.Ident)
	if !ok {
		return nil
	}
	known := true
	ast.Inspect(function, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok {
			return true
		}
		for i, left := range a.Lhs {
			if v, ok := left.(*ast.Ident); !ok || v.Name != variable.Name {
				continue
			}
			var level string
			if constant, ok := a.Rhs[min(i, len(a.Rhs)-1)].(*ast.SelectorExpr); ok {
				level, _ = strings.CutSuffix(constant.Sel.Name, "Level")
			}
			known = known && level != ""
			found = append(found, strings.ToLower(level))
		}
		return true
	})
	if !known {
		return nil
	}
	return found
}

// levelsIn returns the words of a cell like "info or warn" that are levels.
func levelsIn(cell string) []string {
	return slices.Sorted(slices.Values(regexp.MustCompile("debug|info|warn|error").FindAllString(cell, -1)))
}

// A level that was not found would compare with nothing.
func TestEventLevels(t *testing.T) {
	t.Parallel()
	for code, want := range map[string]string{
		`log.Warn().Err(err).Str("event", "x")`:                                                                              "warn",
		`log.Debug().Str("event", "x"); log.Error().Str("event", "x").Msg("")`:                                               "debug error",
		`level := zerolog.InfoLevel; if bad { level = zerolog.ErrorLevel }; log.WithLevel(level).Err(err).Str("event", "x")`: "info error",
		`level := levelOf(err); log.WithLevel(level).Str("event", "x")`:                                                      "vague",
		`log.WithLevel(levelOf(err)).Str("event", "x"); log.Info().Str("event", "x")`:                                        "info vague",
		`entry.Str("event", "x")`: "vague",
	} {
		root := t.TempDir()
		if err := os.WriteFile(filepath.Join(root, "a.go"), []byte("package p\nfunc f() { "+code+" }\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		x := events(parseTree(t, root))["x"]
		got := x.levels
		if x.vague {
			got = append(got, "vague")
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s logs at %q, want %s", code, got, want)
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
