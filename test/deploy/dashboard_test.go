package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

type datasource struct{ Type, UID string }

type panel struct {
	ID         int
	Title      string
	Type       string
	Datasource datasource
	GridPos    struct{ X, Y, W, H int }
	Targets    []struct {
		RefID      string
		Expr       string
		Datasource datasource
	}
}

type dashboard struct {
	UID        string
	Title      string
	Panels     []panel
	Templating struct {
		List []struct {
			Name, Type, Definition string
			Query                  any
			Datasource             datasource
		}
	}
}

func board(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "deploy/grafana/hcbridge.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

func panelExprs(t *testing.T) (list []string) {
	t.Helper()
	for _, p := range board(t).Panels {
		for _, target := range p.Targets {
			list = append(list, target.Expr)
		}
	}
	return list
}

// The dashboard can be imported into any Grafana: its parts are told apart,
// none lies on another, the data source is chosen there, and Prometheus can parse
// every query.
func TestDashboard(t *testing.T) {
	t.Parallel()
	d := board(t)
	source := datasource{"prometheus", "${datasource}"}
	variables := map[string]bool{"__rate_interval": true}
	for i, v := range d.Templating.List {
		variables[v.Name] = true
		if i == 0 && (v.Name != "datasource" || v.Type != "datasource" || v.Query != "prometheus") {
			t.Errorf("the first variable is not the data source: %+v", v)
		}
		if i > 0 && (v.Type != "query" || v.Datasource != source || v.Definition == "") {
			t.Errorf("variable %s does not ask the data source: %+v", v.Name, v)
		}
	}
	if d.UID == "" || d.Title == "" || len(d.Panels) < 15 {
		t.Errorf("uid %q, title %q, %d panels", d.UID, d.Title, len(d.Panels))
	}
	ids, taken := map[int]string{}, map[[2]int]string{}
	type rule struct {
		Record string `yaml:"record"`
		Expr   string `yaml:"expr"`
	}
	var queries []rule
	for _, p := range d.Panels {
		if p.Title == "" || ids[p.ID] != "" {
			t.Errorf("panel %d %q: no title, or %q has its id", p.ID, p.Title, ids[p.ID])
		}
		ids[p.ID] = p.Title
		if p.GridPos.W < 1 || p.GridPos.H < 1 || p.GridPos.X < 0 || p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%s: does not fit: %+v", p.Title, p.GridPos)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if taken[at] != "" {
					t.Fatalf("%s lies on %s", p.Title, taken[at])
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if len(p.Targets) == 0 || p.Datasource != source {
			t.Errorf("%s: %d queries, data source %+v", p.Title, len(p.Targets), p.Datasource)
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.RefID == "" || refs[target.RefID] || target.Datasource != source {
				t.Errorf("%s: query %+v", p.Title, target)
			}
			refs[target.RefID] = true
			expr := variable.ReplaceAllStringFunc(target.Expr, func(name string) string {
				if !variables[name[1:]] {
					t.Errorf("%s: %s is no variable", p.Title, name)
				}
				if name == "$__rate_interval" {
					return "5m"
				}
				return ".*"
			})
			queries = append(queries, rule{fmt.Sprintf("q%d:%s", p.ID, target.RefID), expr})
		}
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": queries}}})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if out := tool(t, "", "", "promtool", "check", "rules", path); !strings.Contains(out, fmt.Sprintf("%d rules found", len(queries))) {
		t.Errorf("promtool: %s", out)
	}
}

var variable = regexp.MustCompile(`\$[a-z_]+`)
