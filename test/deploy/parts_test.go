package deploy

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// docs/metrics.md lists every part that the code can name as stopped.
func TestPartsAreDocumented(t *testing.T) {
	t.Parallel()
	_, table, _ := strings.Cut(read(t, "docs/metrics.md"), "<!-- parts -->")
	table, _, found := strings.Cut(table, "<!-- /parts -->")
	if !found {
		t.Fatal("docs/metrics.md has no table of parts")
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(table, -1) {
		word, _, _ := strings.Cut(m[1], "<")
		listed[strings.TrimSpace(word)] = true
	}
	named := map[string]bool{"start": true, "": true} // "": an object's own name
	files, err := filepath.Glob(root + "internal/bridge/*.go")
	if err != nil {
		t.Fatal(err)
	}
	stop := regexp.MustCompile(`(?:\b(?:[sS]top|falter)\(|part := )"([a-z ]+)"`)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range stop.FindAllStringSubmatch(string(text), -1) {
			named[strings.TrimSpace(m[1])] = true
		}
	}
	if len(named) < 12 {
		t.Fatalf("only %d parts are found in the code: the search is broken", len(named))
	}
	for part := range named {
		if !listed[part] {
			t.Errorf("the code stops %q, which docs/metrics.md does not list", part)
		}
	}
	for part := range listed {
		if !named[part] {
			t.Errorf("docs/metrics.md lists %q, which nothing stops", part)
		}
	}
}
