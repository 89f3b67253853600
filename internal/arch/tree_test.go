package arch

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "hcbridge"

// A source is one Go file of the repository.
type source struct {
	pkg   string // folder from the repository's root, for example "internal/bridge"
	name  string // path from the root
	test  bool   // a _test.go file
	lines int
	set   *token.FileSet
	file  *ast.File
}

// held reports whether the rules for what ships hold for the file.
func (s source) held() bool { return !s.test && !matches(s.pkg, "test/...") }

// imports returns the file's import paths and where each stands.
func (s source) imports() map[string]token.Position {
	found := make(map[string]token.Position)
	for _, spec := range s.file.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			found[p] = s.set.Position(spec.Pos())
		}
	}
	return found
}

// parseTree parses every Go file below root, folders that the go tool ignores
// excepted.
func parseTree(t *testing.T, root string) []source {
	t.Helper()
	var sources []source
	err := filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := entry.Name()
		if entry.IsDir() {
			ignored := strings.HasPrefix(name, "_") || strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "vendor"
			if ignored && p != root {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		s := source{
			name: filepath.ToSlash(rel), test: strings.HasSuffix(name, "_test.go"),
			lines: strings.Count(string(text), "\n"), set: token.NewFileSet(),
		}
		s.pkg = path.Dir(s.name)
		if s.file, err = parser.ParseFile(s.set, s.name, text, parser.SkipObjectResolution); err != nil {
			return err
		}
		sources = append(sources, s)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return sources
}

// matches reports whether pattern stands for pkg: the same, or a folder above
// it followed by "/...", or "...".
func matches(pkg, pattern string) bool {
	if pattern == "..." {
		return true
	}
	folder, tree := strings.CutSuffix(pattern, "/...")
	return pkg == folder || tree && strings.HasPrefix(pkg, folder+"/")
}

func matchesAny(pkg string, patterns []string) bool {
	for _, pattern := range patterns {
		if matches(pkg, pattern) {
			return true
		}
	}
	return false
}
