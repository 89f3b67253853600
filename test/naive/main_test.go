package main

import (
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every variant must still apply, and the test that finds it be there. Whether it
// does is what make naive is for.
func TestVariantsApply(t *testing.T) {
	t.Chdir("../..")
	all, err := load("test/naive/variants")
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 36 {
		t.Errorf("only %d variants", len(all))
	}
	seen, tests := map[string]bool{}, map[string]map[string]bool{}
	for _, v := range all {
		if seen[v.name] || !regexp.MustCompile(`^[a-z0-9-]+$`).MatchString(v.name) {
			t.Errorf("%s: a name is one of its kind, in lower case with hyphens", v.name)
		}
		seen[v.name] = true
		text, err := os.ReadFile(v.file)
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		spoilt, err := v.apply(string(text))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		if strings.HasSuffix(v.file, ".go") {
			if _, err := parser.ParseFile(token.NewFileSet(), v.file, spoilt, parser.SkipObjectResolution); err != nil {
				t.Errorf("%s: %v", v.name, err)
			}
		}
		if tests[v.pkg] == nil {
			tests[v.pkg] = testsOf(t, v.pkg)
		}
		for _, run := range strings.Split(v.run, "|") {
			if first, _, _ := strings.Cut(run, "/"); !tests[v.pkg][first] {
				t.Errorf("%s: %s has no %s", v.name, v.pkg, first)
			}
		}
	}
}

// testsOf returns the names of a package's tests.
func testsOf(t *testing.T, pkg string) map[string]bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(pkg, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllStringSubmatch(string(text), -1) {
			names[m[1]] = true
		}
	}
	return names
}

func TestJudge(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		output        string
		passed, hangs bool
		want          string
	}{
		{"ok  \thcbridge/outbox\t1.2s", true, false, missed},
		{"--- FAIL: TestPlan (0.00s)\nFAIL", false, false, caught},
		{"panic: runtime error: index out of range", false, false, caught},
		{"panic: test timed out after 2m0s", false, false, tooLong},
		{"panic: test timed out after 2m0s", false, true, caught},
		{"# hcbridge/outbox\nx.go:1: undefined: y\nFAIL\thcbridge/outbox [build failed]", false, true, broken},
		{"ok  \thcbridge/outbox\t0.1s [no tests to run]", true, false, broken},
		{"no Postgres here", false, false, broken},
	} {
		if got := (variant{hangs: c.hangs}).judge(c.output, c.passed); got != c.want {
			t.Errorf("%q is %s, want %s", c.output, got, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	v, err := parse("a-name\nwhy: it is: so\nbreaks: I1\nfile: a.go\ntest: ./a TestA/b c|TestB\n x\n-y\n+z\n@@\n-last\n")
	if err != nil || v.why != "it is: so" || v.pkg != "./a" || v.run != "TestA/b c|TestB" || len(v.hunks) != 2 {
		t.Fatalf("%+v, %v", v, err)
	}
	if got, err := v.apply("x\ny\nw\nlast\n"); err != nil || got != "x\nz\nw\n\n" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := v.apply("x\ny\nx\ny\nlast"); err == nil {
		t.Error("a text that is there twice was replaced")
	}
	if got := anchored("TestA/b|TestB"); got != "^TestA$/b|^TestB$" {
		t.Error(got)
	}
}
