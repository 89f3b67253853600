package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
)

func command(t *testing.T, environ []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errOut bytes.Buffer
	code = run(t.Context(), args, environ, &out, &errOut)
	return code, out.String(), errOut.String()
}

// 2 is for what restarting cannot help, and says how it is called right.
func TestExitCodes(t *testing.T) {
	t.Parallel()
	set := []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=y", "HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:1", "HC_OBJECTS=Account"}
	for _, c := range []struct {
		environ []string
		args    string
		code    int
		says    string
	}{
		{set, "nonsense", 2, "unknown command"},
		{set, "stats", 2, "is it status?"},
		{set, "status --nonsense", 2, "unknown flag"},
		{set, "run extra", 2, "takes no argument"},
		{set, "check --json --postgres-setup", 2, "give one of"},
		{set, "reload", 2, "reload takes one object"},
		{set, "retry", 2, "or --all"},
		{set, "retry --all 42", 2, "or --all"},
		{set, "verify Account Contact", 2, "verify takes one object"},
		{set, "approve A B", 2, "approve takes one object"},
		{set, "objects A B", 2, "takes one object"},
		{set, "objects --env", 2, "need an object"},
		{nil, "status", 2, "DATABASE_URL: not set"},
		{nil, "check", 2, ""},
		{nil, "check --salesforce-setup", 2, "HC_OBJECTS"},
		{set, "status", 1, "127.0.0.1"},
		{set, "check", 1, ""},
		{append([]string{"DATABASE_URL=postgres://me:hunter2@127.0.0.1:1/none?sslmode=yes"}, set[1:]...), "check", 2, ""},
		{append([]string{"DATABASE_URL=postgres://me:hunter2@127.0.0.1:1/none?sslmode=yes"}, set[1:]...), "run", 2, "sslmode is invalid"},
		{set[:1], "status", 1, "127.0.0.1"},
		{set[:1], "errors", 1, "127.0.0.1"},
		{set[:1], "retry --all", 1, "127.0.0.1"},
		{set[:1], "reload Account", 1, "127.0.0.1"},
		{set, "reload account", 1, "127.0.0.1"},
		{set, "reload Contact", 2, "HC_OBJECTS: Contact is not mapped: mapped are Account"},
		{set, "verify Contact", 2, "HC_OBJECTS: Contact is not mapped: mapped are Account"},
		{set[:1], "approve", 1, "127.0.0.1"},
		{set[:1], "adopt", 1, "127.0.0.1"},
		{set[:1], "pause", 1, "127.0.0.1"},
		{append(set[:1:1], "HC_SCHEMA=a b"), "status", 2, "HC_SCHEMA"},
		{set[:1], "verify", 2, "HC_SALESFORCE_CLIENT_ID"},
		{nil, "version", 0, ""},
		{nil, "check --postgres-setup", 0, ""},
		{[]string{"HC_OBJECTS=Account"}, "check --salesforce-setup", 0, ""},
		{append(set, "HC_HTTP_ADDR="), "healthcheck", 0, ""},
		{append(set, "HC_HTTP_ADDR=127.0.0.1:1"), "healthcheck", 1, "127.0.0.1:1"},
		{nil, "completion bash", 0, ""},
		{nil, "--help", 0, ""},
	} {
		code, _, stderr := command(t, c.environ, strings.Fields(c.args)...)
		if code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("hcbridge %s exits with %d and says %q, want %d and %q", c.args, code, stderr, c.code, c.says)
		}
	}
}

// A proxy that is there for Salesforce is not for what asks the bridge next door.
func TestHealthCheckPassesNoProxy(t *testing.T) { //nolint:paralleltest // it changes the default transport
	bridge := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer bridge.Close()
	standard := http.DefaultTransport
	t.Cleanup(func() { http.DefaultTransport = standard })
	http.DefaultTransport = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, errors.New("by proxy") }}
	code, _, stderr := command(t, []string{
		"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=y", "HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:1",
		"HC_OBJECTS=Account", "HC_HTTP_ADDR=" + bridge.Listener.Addr().String(),
	}, "healthcheck")
	if code != 0 {
		t.Errorf("exit code %d: %s", code, stderr)
	}
}

// Once there is a log nothing but its lines is on standard error, the reason of the end
// included.
func TestLogIsAllJSON(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	code, _, stderr := command(t, []string{
		"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=y", "HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:1",
		"HC_OBJECTS=Account", "HC_HTTP_ADDR=" + l.Addr().String(),
	}, "run")
	if code != 2 || !strings.Contains(stderr, "HC_HTTP_ADDR") {
		t.Errorf("exit code %d: %s", code, stderr)
	}
	for line := range strings.Lines(stderr) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// Settings that end a run before it has begun are told in its log, too, whatever they say
// of the log; not where people read it, and not of other commands.
func TestSettingsRefused(t *testing.T) {
	t.Parallel()
	wrong := []string{"HC_OBJECTS=Account", "HC_POLL_INTERVAL=never", "HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=y", "HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:1", "HC_LOG_LEVEL=loud"}
	for _, format := range []string{"json", "xml", ""} {
		for _, args := range [][]string{nil, {"run"}} {
			code, _, stderr := command(t, append(wrong[:len(wrong):len(wrong)], "HC_LOG_FORMAT="+format), args...)
			var told []string
			for text := range strings.Lines(stderr) {
				var line struct{ Time, Level, Component, Event, Variable, Error string }
				if err := json.Unmarshal([]byte(text), &line); err != nil || line.Time == "" || line.Level != "error" || line.Component != "config" || line.Event != "settings_refused" || line.Error == "" {
					t.Errorf("%s: logged %s", format, text)
				}
				told = append(told, line.Variable)
			}
			want := []string{"DATABASE_URL", "HC_LOG_LEVEL", "HC_POLL_INTERVAL"}
			if format == "xml" {
				want = slices.Insert(want, 1, "HC_LOG_FORMAT")
			}
			if code != 2 || !slices.Equal(told, want) {
				t.Errorf("%s: exit code %d, told of %v, want %v", format, code, told, want)
			}
		}
	}
	for _, args := range []string{"run", "status"} {
		format := map[string]string{"run": " Console", "status": "json"}[args]
		if code, _, stderr := command(t, append(wrong[:len(wrong):len(wrong)], "HC_LOG_FORMAT="+format), args); code != 2 || !strings.HasPrefix(stderr, "hcbridge: DATABASE_URL: not set") {
			t.Errorf("%s: exit code %d: %s", args, code, stderr)
		}
	}
}

// Whoever reads the help sees an example of every command that takes anything.
func TestHelpHasExamples(t *testing.T) {
	t.Parallel()
	p := &program{}
	for _, c := range p.root().Commands() {
		if c.Hidden || slices.Contains([]string{"help", "completion", "version", "pause", "resume"}, c.Name()) {
			continue
		}
		if c.Example == "" || c.Long == "" {
			t.Errorf("%s has no example or no explanation", c.Name())
		}
		for line := range strings.Lines(c.Long + "\n" + c.Example) {
			if len([]rune(line)) > 140 {
				t.Errorf("a line of the help of %s is too long: %s", c.Name(), line)
			}
		}
	}
}

// What the image's health check runs is a command like the others.
func TestHelpListsEveryCommand(t *testing.T) {
	t.Parallel()
	_, stdout, _ := command(t, nil, "--help")
	for _, c := range (&program{}).root().Commands() {
		if !strings.Contains(stdout, "\n  "+c.Name()+" ") {
			t.Errorf("the help does not list %s", c.Name())
		}
	}
}

func TestMany(t *testing.T) {
	t.Parallel()
	for n, want := range map[int]string{0: "0 entries are", 1: "1 entry is", 2: "2 entries are"} {
		if got := many(n, "entry is", "entries are"); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

// Without a terminal nothing is coloured, and no bar is drawn.
func TestNoTerminalNoColours(t *testing.T) {
	t.Parallel()
	_, stdout, stderr := command(t, []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none", "HC_SALESFORCE_CLIENT_ID=x", "HC_SALESFORCE_CLIENT_SECRET=y", "HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:1", "HC_OBJECTS=Account"}, "check")
	if !strings.Contains(stdout, "✗ Postgres") || strings.Contains(stdout+stderr, "\x1b") {
		t.Errorf("printed %q", stdout)
	}
}

// The documented shapes, with the configuration's problems among the findings.
func TestJSON(t *testing.T) {
	t.Parallel()
	code, stdout, _ := command(t, []string{"HC_POLL_INTERVAL=never"}, "check", "--json")
	var findings []checkFinding
	if err := json.Unmarshal([]byte(stdout), &findings); err != nil || code != 2 {
		t.Fatalf("exit code %d, %v: %s", code, err, stdout)
	}
	if !slices.ContainsFunc(findings, func(f checkFinding) bool { return f.Level == "bad" && f.Part == "HC_POLL_INTERVAL" }) {
		t.Errorf("found %v", findings)
	}
	_, stdout, _ = command(t, nil, "version", "--json")
	var v map[string]string
	if err := json.Unmarshal([]byte(stdout), &v); err != nil || !strings.HasPrefix(v["go"], "go1.") || v["version"] == "" || v["commit"] == "" {
		t.Errorf("version: %v, %s", err, stdout)
	}
}

// Object names complete without a database and without an org.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for args, want := range map[string]string{
		"reload A":       "Account\n:4\n",
		"verify ":        "Account\nInvoice__c\n:4\n",
		"approve inv":    "Invoice__c\n:4\n",
		"reload Account": "Account\n:4\n",
		"reload x y":     ":4\n",
	} {
		_, stdout, _ := command(t, []string{"HC_OBJECTS=Account,Invoice__c"}, append([]string{cobra.ShellCompRequestCmd}, strings.Split(args, " ")...)...)
		if stdout != want {
			t.Errorf("%q completes to %q, want %q", args, stdout, want)
		}
	}
}

// A watched terminal gets one line that is drawn over itself, no wider than it
// is; a log gets a line now and then.
func TestProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	b := &progress{w: &out, bar: true, width: 40, event: "reload"}
	b.at("Account", 50, 200)
	b.clear()
	if got, want := out.String(), "\rAccount [████░░░░░░░░░░░░░░░] 50 of 200\x1b[K\r\x1b[K"; got != want {
		t.Errorf("drawn %q, want %q", got, want)
	}
	out.Reset()
	b = &progress{w: &out, log: zerolog.New(&out), event: "reload", said: time.Now()}
	b.at("Account", 50, 200)
	if out.Len() > 0 {
		t.Errorf("said at once: %s", out.String())
	}
	b.said = time.Now().Add(-sayEvery)
	b.at("Account", 50, 200)
	b.clear()
	if got := out.String(); got != `{"level":"info","event":"reload","object":"Account","rows":50,"of":200,"message":"reload"}`+"\n" {
		t.Errorf("logged %q", got)
	}
}
