package main

import (
	"bufio"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hcbridge/test/org"
	"hcbridge/test/org/control"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// program is a running orgsim.
type program struct {
	t    *testing.T
	env  map[string]string
	http *http.Client
}

// start runs orgsim with args on a free port and reads its environment.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	out, in := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, append([]string{"-addr", "127.0.0.1:0", "-log-level", "error"}, args...), in, io.Discard)
		_ = in.Close()
	}()
	transport := &http.Transport{}
	p := &program{t: t, env: map[string]string{}, http: &http.Client{Transport: transport, Timeout: 10 * time.Second}}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		stop()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "=")
		if ok {
			p.env[name] = strings.Trim(value, "'")
		}
		if name == "HC_OBJECTS" {
			return p
		}
	}
	t.Fatal("orgsim ended before it printed its environment")
	return nil
}

func (p *program) do(method, path, body string) (int, string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), method, p.env["HC_SALESFORCE_LOGIN_URL"]+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if strings.HasPrefix(path, "/services/oauth2") {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

func (p *program) want(method, path, body string, status int, part string) {
	p.t.Helper()
	if got, text := p.do(method, path, body); got != status || !strings.Contains(text, part) {
		p.t.Errorf("%s %s answered %d %s, want %d with %q", method, path, got, text, status, part)
	}
}

func TestEnvironmentLogsIn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		auth string
		form func(env map[string]string) string
	}{
		{"client_credentials", func(env map[string]string) string {
			return "grant_type=client_credentials&client_id=" + env["HC_SALESFORCE_CLIENT_ID"] + "&client_secret=" + env["HC_SALESFORCE_CLIENT_SECRET"]
		}},
		{"password", func(env map[string]string) string {
			return "grant_type=password&client_id=" + env["HC_SALESFORCE_CLIENT_ID"] + "&client_secret=" + env["HC_SALESFORCE_CLIENT_SECRET"] +
				"&username=" + env["HC_SALESFORCE_USERNAME"] + "&password=" + env["HC_SALESFORCE_PASSWORD"]
		}},
		{"refresh_token", func(env map[string]string) string {
			return "grant_type=refresh_token&client_id=" + env["HC_SALESFORCE_CLIENT_ID"] + "&refresh_token=" + env["HC_SALESFORCE_REFRESH_TOKEN"]
		}},
	} {
		t.Run(c.auth, func(t *testing.T) {
			t.Parallel()
			p := start(t, "-auth", c.auth, "-security-token", "TOKEN")
			if p.env["HC_SALESFORCE_AUTH"] != c.auth {
				t.Errorf("HC_SALESFORCE_AUTH is %q", p.env["HC_SALESFORCE_AUTH"])
			}
			p.want("POST", "/services/oauth2/token", c.form(p.env), 200, `"access_token":"00D`)
		})
	}

	t.Run("jwt", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "key.pem")
		p := start(t, "-auth", "jwt", "-jwt-key", path)
		if p.env["HC_SALESFORCE_JWT_KEY_FILE"] != path || p.env["HC_SALESFORCE_USERNAME"] != org.DefaultUsername {
			t.Errorf("got %v", p.env)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		if _, err := x509.ParsePKCS8PrivateKey(block.Bytes); err != nil {
			t.Error(err)
		}
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the key file is %v, %v", info.Mode(), err)
		}
		start(t, "-auth", "jwt", "-jwt-key", path) // reads what is there
	})
}

func TestControl(t *testing.T) {
	t.Parallel()
	p := start(t, "-seed", "3")
	var made struct{ ID string }
	_, text := p.do("POST", "/_org/records/Account", `{"Name":"Acme","AnnualRevenue":12.5}`)
	if err := json.Unmarshal([]byte(text), &made); err != nil || made.ID == "" {
		t.Fatalf("insert answered %s", text)
	}
	record := "/_org/records/Account/" + made.ID
	p.want("PATCH", record, `{"Phone":"1"}`, 200, `"ok": true`)
	p.want("GET", record, "", 200, `"Phone": "1"`)
	p.want("DELETE", record, "", 200, `"ok": true`)
	p.want("PATCH", record, `{"Phone":"2"}`, 404, `"code": "ENTITY_IS_DELETED"`)
	p.want("POST", "/_org/undelete/Account/"+made.ID, "", 200, `"ok": true`)
	p.want("POST", "/_org/purge/Account/"+made.ID, "", 200, `"ok": true`)
	p.want("GET", record, "", 404, "NOT_FOUND")
	p.want("POST", "/_org/records/Account", `{`, 400, "not understood")

	p.want("POST", "/_org/faults", `{"verb":"slow","path":"/nothing","delay":"2s"}`, 200, `"ok": true`)
	p.want("POST", "/_org/faults", `{"verb":"explode"}`, 400, "unknown verb")
	p.want("POST", "/_org/faults", `{"verb":"reject","path":"oauth2/token","times":1}`, 200, `"ok": true`)
	p.want("POST", "/services/oauth2/token", "", 503, "SERVER_UNAVAILABLE")
	p.want("GET", "/_org/faults", "", 200, `"delay": "2s"`)
	p.want("GET", "/_org/faults", "", 200, `"hits": 1`)
	p.want("DELETE", "/_org/faults", "", 200, `"ok": true`)
	p.want("GET", "/_org/faults", "", 200, `[]`)

	for _, path := range []string{"forget", "expire-replay", "expire-locators", "revoke-tokens"} {
		p.want("POST", "/_org/"+path, "", 200, `"ok": true`)
	}
	for _, path := range []string{"mute", "deny-pushtopics"} {
		p.want("POST", "/_org/"+path, "", 200, `"on": true`)
		p.want("POST", "/_org/"+path, `{"on":false}`, 200, `"on": false`)
	}
	p.want("POST", "/_org/daily-limit", `{"limit":7}`, 200, `"limit": 7`)
	p.want("POST", "/_org/topic-limit", `{}`, 400, "want")
	p.want("POST", "/_org/hide-field", `{"object":"Account","field":"Phone"}`, 200, `"ok": true`)
	p.want("POST", "/_org/hide-field", `{"object":"Account","field":"Nope"}`, 400, "no field")
	p.want("POST", "/_org/cdc/select", `{"objects":["Account"]}`, 200, `"ok": true`)
	p.want("POST", "/_org/cdc/select", `{"objects":["PushTopic"]}`, 400, "no change events")
	p.want("POST", "/_org/cdc/gap", `{"object":"account"}`, 200, `"ok": true`)
	p.want("POST", "/_org/cdc/convert", `{"object":"Account"}`, 200, `"ok": true`)
	p.want("POST", "/_org/cdc/convert", `{"object":"Nope"}`, 400, "no object")
	p.want("GET", "/_org/state", "", 200, `"Contact": 3`)
	p.want("GET", "/_org/state", "", 200, `"limit": 7`)
	p.want("GET", "/_org/requests", "", 200, `"fault": "reject"`)
	p.want("GET", "/_org", "", 200, "curl -X POST   "+p.env["HC_SALESFORCE_LOGIN_URL"]+"/_org/forget")
}

// Every endpoint that GET /_org/ describes exists.
func TestHelpIsTrue(t *testing.T) {
	t.Parallel()
	p := start(t)
	for line := range strings.Lines(control.Help) {
		_, rest, ok := strings.Cut(line, "curl ")
		if !ok {
			continue
		}
		method := http.MethodGet
		if after, named := strings.CutPrefix(strings.TrimSpace(rest), "-X "); named {
			method, rest, _ = strings.Cut(after, " ")
		}
		path, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimSpace(rest), "URL"), " ")
		if status, text := p.do(method, strings.TrimSpace(path), "{}"); status == http.StatusMethodNotAllowed || strings.Contains(text, "page not found") {
			t.Errorf("%s %s answered %d %s", method, path, status, text)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-seed", "-1"}, {"-auth", "magic"}, {"-auth", "jwt"}, {"extra"}, {"-log-format", "xml"}, {"-log-level", "loud"}, {"-addr", "nowhere"}, {"-nope"},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil {
			t.Errorf("%v was accepted", args)
		}
	}
}

// A shell reads back what quote wrote.
func TestQuote(t *testing.T) {
	t.Parallel()
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"plain", "it's $HOME `x` \"y\" \\", "", "a\nb"} {
		out, err := exec.CommandContext(t.Context(), sh, "-c", "printf %s "+quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("got %q, %v, want %q", out, err, text)
		}
	}
}
