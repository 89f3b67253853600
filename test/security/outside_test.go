package security

import (
	"crypto/sha256"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"hcbridge/test/rig"
)

// A proxy of the environment sees which host is asked for and nothing else: what
// goes through it is encrypted, and the way to this machine does not pass it (T30 of docs/threat-model.md).
func TestProxySeesTheHostAlone(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen []string
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // it ends with the server
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		all := []string{r.Method + " " + r.RequestURI + " " + string(body)}
		for name, values := range r.Header {
			all = append(all, name+": "+strings.Join(values, ", "))
		}
		mu.Lock()
		seen = append(seen, strings.Join(all, "\n"))
		mu.Unlock()
		w.WriteHeader(http.StatusBadGateway)
	}))
	proxy.Listener.Close()
	proxy.Listener = l
	proxy.Start()
	t.Cleanup(proxy.Close)
	r := rig.New(t, "HTTPS_PROXY="+proxy.URL, "HTTP_PROXY="+proxy.URL)
	r.Env["HC_SALESFORCE_LOGIN_URL"] = "https://acme.my.salesforce.com"
	code, out, errOut := r.Command("check")
	if code == 0 {
		t.Errorf("check succeeds without Salesforce:\n%s%s", out, errOut)
	}
	mu.Lock()
	defer mu.Unlock()
	if len(seen) == 0 {
		t.Fatalf("the proxy was not used:\n%s%s", out, errOut)
	}
	for _, request := range seen {
		if !strings.HasPrefix(request, "CONNECT acme.my.salesforce.com:443 ") {
			t.Errorf("the proxy saw %s", request)
		}
		for _, what := range r.Secrets(request) {
			t.Errorf("the proxy saw %s", what)
		}
	}
}

// The same source makes the same program, wherever it is built (T22 of docs/threat-model.md).
func TestBuildIsReproducible(t *testing.T) {
	t.Parallel()
	build := func(folder string) [32]byte {
		t.Helper()
		name := filepath.Join(t.TempDir(), "hcbridge")
		cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -X main.version=test", "-o", name, "./cmd/hcbridge")
		cmd.Dir = folder
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return sha256.Sum256(text)
	}
	other := t.TempDir()
	for _, name := range []string{"go.mod", "go.sum", "cmd", "config", "bayeux", "internal", "outbox", "pgsink", "pushtopic"} {
		if out, err := exec.CommandContext(t.Context(), "cp", "-R", filepath.Join("../..", name), other).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	if build("../..") != build(other) {
		t.Error("built in another folder it is another program")
	}
}

// What ships has no debug endpoints, and no code but its own and that of a few
// libraries, none of which reads the network's data without bounds that are known
// here (S22, S31).
func TestWhatShips(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}} {{with .Module}}{{.Path}}{{end}}{{else}}{{.ImportPath}} std{{end}}", "hcbridge/cmd/hcbridge").Output()
	if err != nil {
		t.Fatal(err)
	}
	modules := map[string]bool{}
	for line := range strings.Lines(string(out)) {
		name, module, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch name {
		case "net/http/pprof", "plugin", "net/http/httptest", "testing":
			t.Errorf("%s is part of the program", name)
		}
		if strings.HasPrefix(name, "hcbridge/test/") || strings.HasPrefix(name, "hcbridge/cmd/orgsim") {
			t.Errorf("%s is part of the program", name)
		}
		if module != "std" {
			modules[module] = true
		}
	}
	if len(modules) < 10 || len(modules) > 30 {
		t.Errorf("%d modules are part of the program", len(modules))
	}
}

// A finding fails the check, none passes it, and so does a check that cannot reach
// its data, which says so (T14 and T22 of docs/threat-model.md).
func TestVulnerabilityCheck(t *testing.T) {
	t.Parallel()
	const unreachable = "govulncheck: fetching vulnerabilities: Get \"https://vuln.go.dev/index/modules.json.gz\": dial tcp: lookup vuln.go.dev: no such host"
	for name, c := range map[string]struct {
		out  string
		exit string
		want int
		says string
	}{
		"none":        {"No vulnerabilities found.", "0", 0, "No vulnerabilities found."},
		"finding":     {"=== Symbol Results ===\n\nVulnerability #1: GO-2024-2606\n    SQL injection in github.com/jackc/pgx", "3", 3, "GO-2024-2606"},
		"unreachable": {unreachable, "1", 0, "could not reach its data"},
		"broken":      {"govulncheck: loading packages: there are errors", "1", 1, "loading packages"},
		"both":        {"Vulnerability #1: GO-2024-2606\n" + unreachable, "3", 3, "GO-2024-2606"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := filepath.Join(t.TempDir(), "govulncheck")
			if err := os.WriteFile(fake, []byte("#!/bin/sh\ncat <<'EOF'\n"+c.out+"\nEOF\nexit "+c.exit+"\n"), 0o755); err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), "../../scripts/vuln.sh", fake)
			out, _ := cmd.CombinedOutput()
			if code := cmd.ProcessState.ExitCode(); code != c.want || !strings.Contains(string(out), c.says) {
				t.Errorf("exit code %d, want %d:\n%s", code, c.want, out)
			}
		})
	}
}
