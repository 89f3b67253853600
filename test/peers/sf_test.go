package peers

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"hcbridge/test/org"
)

// TestSalesforceCLI does a developer's daily work with Salesforce's own tool.
func TestSalesforceCLI(t *testing.T) {
	t.Parallel()
	o := filled(t, 4500, org.Options{})
	sf := newSalesforceCLI(t)

	sf.env = append(sf.env, "SF_ACCESS_TOKEN="+token(t, o))
	sf.gives(`{"username":"`+org.DefaultUsername+`","orgId":"`+o.ID()+`","isDevHub":false,"instanceApiVersion":"67.0"}`,
		"org", "login", "access-token", "--instance-url", o.URL(), "--alias", "peer", "--set-default", "--no-prompt")
	sf.gives(`{"id":"`+o.ID()+`","username":"`+org.DefaultUsername+`","apiVersion":"67.0","connectedStatus":"Connected","alias":"peer"}`,
		"org", "display")

	// A table is asked for twice: for its rows, and with columns=true for its columns.
	rows := strings.Split(sf.prints("data", "query", "--result-format", "csv",
		"--query", "SELECT Name, Owner.Name, AnnualRevenue FROM Account ORDER BY Name"), "\n")
	if len(rows) != 4501 || rows[0] != "Name,Owner.Name,AnnualRevenue" || rows[4500] != "peer-04499,Ada Admin," {
		t.Errorf("%d rows, from %q to %q", len(rows), rows[0], rows[len(rows)-1])
	}
	if got := sf.prints("data", "query", "--result-format", "csv", "--query", "SELECT COUNT(Id), MAX(Name) FROM Account"); got != "count(Id),max(Name)\n4500,peer-04499" {
		t.Errorf("totals are %q", got)
	}

	var describe struct {
		Name, KeyPrefix string
		Fields          []struct{ Name string }
	}
	sf.result(&describe, "sobject", "describe", "--sobject", "Account")
	var got, want []string
	for _, f := range describe.Fields {
		got = append(got, f.Name)
	}
	for _, f := range o.Object("Account").Fields {
		want = append(want, f.Name)
	}
	if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) || describe.Name != "Account" || describe.KeyPrefix != "001" {
		t.Errorf("%s %s has fields %q", describe.Name, describe.KeyPrefix, got)
	}

	var created struct{ ID string }
	sf.result(&created, "data", "create", "record", "--sobject", "Account", "--values", "Name='by hand' AnnualRevenue=12")
	if r, ok := o.Get("Account", created.ID); !ok || fmt.Sprint(r.Get(o.Object("Account"), "AnnualRevenue")) != "12" {
		t.Errorf("created %q: %v", created.ID, r)
	}

	sf.write("new.csv", "Name,External_Id__c\n\"say \"\"hi\"\",\nthen go\",sf-1\nplain,sf-2\n")
	sf.gives(`{"processedRecords":2,"successfulRecords":2,"failedRecords":0}`,
		"data", "import", "bulk", "--sobject", "Account", "--file", "new.csv", "--line-ending", "LF", "--wait", "1")
	sf.write("bad.csv", "Name,External_Id__c\n,sf-3\nlast,sf-4\n")
	if refused := sf.fails("data", "import", "bulk", "--sobject", "Account", "--file", "bad.csv", "--line-ending", "LF", "--wait", "1"); refused != "FailedRecordDetailsError" {
		t.Errorf("an import with one bad record ends with %s", refused)
	}
	sf.gives(`{"totalSize":3}`, "data", "export", "bulk", "--result-format", "csv", "--output-file", "out.csv", "--wait", "1",
		"--query", "SELECT External_Id__c, Name FROM Account WHERE External_Id__c LIKE 'sf-%' ORDER BY External_Id__c")
	if got := sf.read("out.csv"); got != "\"External_Id__c\",\"Name\"\n\"sf-1\",\"say \"\"hi\"\",\nthen go\"\n\"sf-2\",\"plain\"\n\"sf-4\",\"last\"\n" {
		t.Errorf("the export is %q", got)
	}

	var limits map[string]struct{ Max int }
	if err := json.Unmarshal([]byte(sf.prints("api", "request", "rest", "/services/data/v67.0/limits")), &limits); err != nil || limits["DailyApiRequests"].Max != 15000 {
		t.Errorf("limits %v, %v", limits, err)
	}

	for _, r := range o.Requests() {
		absent := strings.Contains(r.Query, "ScratchOrgInfo") || strings.Contains(r.Query, "SandboxProcess") // as in every org that makes no others
		if absent && r.Status != http.StatusBadRequest || !absent && r.Status >= http.StatusBadRequest {
			t.Errorf("%s %s?%s was answered %d", r.Method, r.Path, r.Query, r.Status)
		}
	}
}

// salesforceCLI is the Salesforce CLI with a home of its own.
type salesforceCLI struct {
	t    *testing.T
	home string
	node string   // the program that runs it
	args []string // that start it
	env  []string
}

func newSalesforceCLI(t *testing.T) *salesforceCLI {
	t.Helper()
	dir, err := cli()
	if err != nil {
		t.Fatal(err)
	}
	program, err := node()
	if err != nil {
		t.Fatal(err)
	}
	c := &salesforceCLI{t: t, home: t.TempDir(), node: program}
	compat, err := scripts.ReadFile("js/node20.cjs")
	if err != nil {
		t.Fatal(err)
	}
	c.write("node20.cjs", string(compat))
	c.args = []string{"--no-deprecation", "--require", filepath.Join(c.home, "node20.cjs"), filepath.Join(dir, "bin", "run.js")}
	c.env = append(os.Environ(), "HOME="+c.home, "USERPROFILE="+c.home, "XDG_CACHE_HOME=", "XDG_CONFIG_HOME=", "XDG_DATA_HOME=",
		"NO_PROXY=*", "no_proxy=*", "NO_COLOR=1", "SF_DISABLE_TELEMETRY=true", "SF_AUTOUPDATE_DISABLE=true", "SF_SKIP_NEW_VERSION_CHECK=true",
		"SF_USE_GENERIC_UNIX_KEYCHAIN=true")
	return c
}

// run runs a command and returns what it prints, and its error if it ends with
// another status than 0.
func (c *salesforceCLI) run(args ...string) (string, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, c.node, append(slices.Clone(c.args), args...)...)
	cmd.Dir, cmd.Env = c.home, c.env
	var out, log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("sf %s: %w\n%s%s", strings.Join(args, " "), err, log.String(), out.String())
	}
	return strings.TrimSpace(out.String()), err
}

// prints returns what a command prints.
func (c *salesforceCLI) prints(args ...string) string {
	c.t.Helper()
	out, err := c.run(args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// result reads the result of a command.
func (c *salesforceCLI) result(v any, args ...string) {
	c.t.Helper()
	answer := struct{ Result any }{v}
	if err := json.Unmarshal([]byte(c.prints(append(args, "--json")...)), &answer); err != nil {
		c.t.Fatal(err)
	}
}

// gives compares the members of a command's result that want has.
func (c *salesforceCLI) gives(want string, args ...string) {
	c.t.Helper()
	var got, expected map[string]any
	c.result(&got, args...)
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		c.t.Fatal(err)
	}
	for name, v := range expected {
		if got[name] != v {
			c.t.Errorf("sf %s: %s is %v, want %v", strings.Join(args, " "), name, got[name], v)
		}
	}
}

// fails returns the name of the error in which a command ends.
func (c *salesforceCLI) fails(args ...string) string {
	c.t.Helper()
	out, err := c.run(append(args, "--json")...)
	var refused struct{ Name string }
	if json.Unmarshal([]byte(out), &refused) != nil || err == nil {
		c.t.Fatalf("sf %s did not fail: %v\n%s", strings.Join(args, " "), err, out)
	}
	return refused.Name
}

func (c *salesforceCLI) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.home, name), []byte(text), 0o600); err != nil {
		c.t.Fatal(err)
	}
}

func (c *salesforceCLI) read(name string) string {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.home, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}
