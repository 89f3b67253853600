package deploy

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

type ruleFile struct {
	Groups []struct {
		Rules []struct{ Alert, Expr string }
	}
}

func rules(t *testing.T) ruleFile {
	t.Helper()
	var file ruleFile
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/hcbridge.rules.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	return file
}

func ruleExprs(t *testing.T) (list []string) {
	t.Helper()
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			list = append(list, r.Expr)
		}
	}
	return list
}

// Prometheus loads the alert rules, and they fire when they should, and not
// when they should not.
func TestAlerts(t *testing.T) {
	t.Parallel()
	const dir = root + "deploy/prometheus"
	tool(t, dir, "", "promtool", "check", "rules", "--lint=all", "--lint-fatal", "hcbridge.rules.yaml")
	tool(t, dir, "", "promtool", "test", "rules", "hcbridge.test.yaml")

	var tests struct {
		Tests []struct {
			AlertRuleTest []struct {
				Alertname string
				ExpAlerts []any `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "deploy/prometheus/hcbridge.test.yaml")), &tests); err != nil {
		t.Fatal(err)
	}
	fires, silent := map[string]bool{}, map[string]bool{}
	for _, c := range tests.Tests {
		for _, a := range c.AlertRuleTest {
			fires[a.Alertname] = fires[a.Alertname] || len(a.ExpAlerts) > 0
			silent[a.Alertname] = silent[a.Alertname] || len(a.ExpAlerts) == 0
		}
	}
	n := 0
	for _, g := range rules(t).Groups {
		for _, r := range g.Rules {
			n++
			if !fires[r.Alert] || !silent[r.Alert] {
				t.Errorf("%s is not tested both to fire and not to", r.Alert)
			}
		}
	}
	if n < 10 {
		t.Errorf("only %d alerts", n)
	}
}
