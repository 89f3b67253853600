package arch

import (
	"fmt"
	"go/ast"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Each threat of docs/threat-model.md names tests, and each of those exists.
func TestThreatModelNamesTests(t *testing.T) {
	t.Parallel()
	there := map[string]bool{}
	for _, s := range parseTree(t, "../..") {
		if !s.test {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				there[f.Name.Name] = true
			}
		}
	}
	text, err := os.ReadFile("../../docs/threat-model.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(line, " | ")
		if !strings.HasPrefix(line, "| T") {
			continue
		}
		n++
		if len(cells) != 5 || cells[0] != fmt.Sprintf("| T%d", n) {
			t.Errorf("row %d: %d cells, beginning with %s", n, len(cells), cells[0])
			continue
		}
		tests := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9]+)`").FindAllStringSubmatch(cells[3], -1)
		if len(tests) == 0 {
			t.Errorf("no test shows T%d", n)
		}
		for _, m := range tests {
			if !there[m[1]] {
				t.Errorf("T%d: there is no %s", n, m[1])
			}
		}
	}
	if n != 34 {
		t.Errorf("%d threats, want 34", n)
	}
}

// weakens are the fields of a tls.Config that nothing sets: what they are by
// themselves is right.
var weakens = []string{"InsecureSkipVerify", "VerifyPeerCertificate", "VerifyConnection", "CipherSuites", "MaxVersion"}

// Nothing that ships can be told not to verify whom it speaks to.
func TestNoWayAroundTLS(t *testing.T) {
	t.Parallel()
	for _, s := range parseTree(t, "../..") {
		if !s.held() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if id, ok := n.Key.(*ast.Ident); ok && slices.Contains(weakens, id.Name) {
					t.Errorf("%s: %s", s.set.Position(n.Pos()), id.Name)
				}
			case *ast.AssignStmt:
				for _, left := range n.Lhs {
					if x, ok := left.(*ast.SelectorExpr); ok && slices.Contains(weakens, x.Sel.Name) {
						t.Errorf("%s: %s", s.set.Position(n.Pos()), x.Sel.Name)
					}
				}
			}
			return true
		})
	}
}
