package deploy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/rig"
)

// A bridge that is started as the Procfile says, by a shell and with PORT,
// serves there. Its metrics are as Prometheus wants them, have every name that the
// alerts and the dashboard ask for, and nothing of a record.
func TestProcfileAndMetrics(t *testing.T) {
	t.Parallel()
	kind, line, ok := strings.Cut(strings.TrimSpace(read(t, "deploy/Procfile")), ": ")
	if !ok || kind != "web" || strings.Contains(line, "\n") {
		t.Fatalf("the Procfile is not one process of type web: %s: %s", kind, line)
	}
	addr := rig.FreeAddr(t)
	_, port, _ := strings.Cut(addr, ":")
	r := rig.New(t, "PORT="+port, "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_HTTP_TOKEN=token", "PATH="+filepath.Dir(rig.Binary())+":"+os.Getenv("PATH"))
	cmd := exec.Command("/bin/sh", "-c", line) //nolint:noctx // our own Procfile, and it is ended by a signal
	cmd.Env = r.Environ()
	log := &rig.Buffer{}
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	r.Must(cmd.Start())
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		if t.Failed() {
			t.Logf("log:\n%s", log.Tail(10_000))
		}
	})
	get := func(path string) (int, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, http.NoBody)
		if err != nil {
			return 0, "", err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, "", err
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, string(body), err
	}
	r.Eventually("ready", 30*time.Second, func() error {
		code, body, err := get("/readyz")
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("/readyz answers %d: %s", code, body)
		}
		return err
	})

	// Everything that is told only once it has happened: an event, a write, a stop
	// and a change that waits.
	const canary = "Canary Ltd"
	id := r.Insert("Account", map[string]any{"Name": canary})
	r.Exec(`INSERT INTO salesforce.account (name) VALUES ($1)`, canary)
	r.Equal("Account")
	held := r.SF.Fault(org.Fault{Method: "POST", Path: "/sobjects", Verb: org.Hold, Before: true})
	r.Exec(`INSERT INTO salesforce.account (name) VALUES ($1)`, canary)
	var waiting string
	r.Eventually("a change that waits", 30*time.Second, func() error {
		var err error
		if _, waiting, err = get("/metrics"); err == nil && !strings.Contains(waiting, "\nhcbridge_oldest_pending_write_timestamp_seconds{") {
			err = errors.New("not in /metrics")
		}
		return err
	})
	held.Release()
	r.Equal("Account")
	if code, out, errOut := r.Command("pause"); code != 0 {
		t.Fatalf("pause: %s%s", out, errOut)
	}
	r.Eventually("paused", 20*time.Second, func() error {
		code, body, err := get("/readyz")
		if err == nil && (code != http.StatusServiceUnavailable || !strings.Contains(body, `"part": "pause"`)) {
			err = fmt.Errorf("/readyz answers %d: %s", code, body)
		}
		return err
	})

	used := map[string]string{}
	for where, exprs := range map[string][]string{"the alerts": ruleExprs(t), "the dashboard": panelExprs(t)} {
		for _, expr := range exprs {
			for _, name := range metricName.FindAllString(expr, -1) {
				used[name] = where
			}
		}
	}
	if len(used) < 25 {
		t.Fatalf("only %d metrics are used: the search is broken", len(used))
	}
	var body string
	r.Eventually("every metric", 60*time.Second, func() error {
		var err error
		if _, body, err = get("/metrics"); err != nil {
			return err
		}
		var missing []string
		for _, name := range slices.Sorted(maps.Keys(used)) {
			all := waiting + "\n" + body
			if !strings.Contains(all, "\n"+name+"{") && !strings.Contains(all, "\n"+name+" ") {
				missing = append(missing, name+" of "+used[name])
			}
		}
		if len(missing) > 0 {
			return errors.New("not in /metrics: " + strings.Join(missing, ", "))
		}
		return nil
	})
	if out := tool(t, "", body, "promtool", "check", "metrics"); strings.Contains(out, "hcbridge_") {
		t.Errorf("promtool: %s", out)
	}
	for _, secret := range []string{canary, id, id[:15]} {
		if strings.Contains(body, secret) {
			t.Errorf("the metrics hold %q, which is of a record", secret)
		}
	}

	r.Must(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("SIGTERM to the process of the Procfile: %v", err)
	}
}

var metricName = regexp.MustCompile(`\b(hcbridge|process|go)_[a-z_]+`)
