package container

import (
	"archive/tar"
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// image is built once; every test has containers of its own.
var image *engine

const tag, release = "localhost/hcbridge:test", "v9.8.7"

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	image, err = newEngine()
	if image != nil {
		defer image.close()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	build := exec.Command("../../scripts/image.sh", "hcbridge", tag, release) //nolint:noctx // the whole run has a limit
	build.Env = append(os.Environ(), "PATH="+image.bin+":"+os.Getenv("PATH"))
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "scripts/image.sh: %v\n%s", err, out)
		return 1
	}
	return pgtest.Main(m)
}

// What the image says of itself, and all that is in it.
func TestImage(t *testing.T) {
	t.Parallel()
	code, out, errOut := image.podman(t, "image", "inspect", tag)
	var list []struct {
		Size        int64
		Healthcheck struct{ Test []string }
		Config      struct {
			User, StopSignal     string
			Entrypoint, Cmd, Env []string
			ExposedPorts         map[string]any
			Labels               map[string]string
		}
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 1 {
		t.Fatalf("inspect exits with %d: %v\n%s%s", code, err, out, errOut)
	}
	i, c := list[0], list[0].Config
	t.Logf("%.1f MB", float64(i.Size)/1e6)
	if i.Size > 25e6 {
		t.Errorf("%d bytes, want less than 25 MB", i.Size)
	}
	if c.User != "65532:65532" || c.StopSignal != "SIGTERM" || !slices.Equal(c.Entrypoint, []string{"/hcbridge"}) || !slices.Equal(c.Cmd, []string{"run"}) {
		t.Errorf("configuration %+v", c)
	}
	if !slices.Equal(i.Healthcheck.Test, []string{"CMD", "/hcbridge", "healthcheck"}) {
		t.Errorf("health check %v", i.Healthcheck.Test)
	}
	if _, ok := c.ExposedPorts["8080/tcp"]; !ok || !slices.Contains(c.Env, "HC_HTTP_ADDR=:8080") {
		t.Errorf("ports %v, environment %v", c.ExposedPorts, c.Env)
	}
	for name, want := range map[string]string{"title": "hcbridge", "version": release, "licenses": "Apache-2.0"} {
		if got := c.Labels["org.opencontainers.image."+name]; got != want {
			t.Errorf("label %s is %q, want %q", name, got, want)
		}
	}

	_, id, _ := image.podman(t, "create", tag)
	archive := filepath.Join(t.TempDir(), "image.tar")
	if code, _, errOut := image.podman(t, "export", "--output", archive, strings.TrimSpace(id)); code != 0 {
		t.Fatal(errOut)
	}
	file, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var files []string
	for r := tar.NewReader(file); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Size > 0 {
			files = append(files, h.Name)
		}
	}
	slices.Sort(files)
	if want := []string{"etc/ssl/certs/ca-certificates.crt", "hcbridge"}; !slices.Equal(files, want) {
		t.Errorf("the image holds %v, want %v", files, want)
	}
}

// Without settings it says what is missing and ends with 2, so that whoever
// restarts it can tell.
func TestWithoutSettings(t *testing.T) {
	t.Parallel()
	code, _, errOut := image.podman(t, slices.Concat([]string{"run", "--rm"}, limits, host, []string{tag})...)
	if code != 2 || !strings.Contains(errOut, "DATABASE_URL") || !strings.Contains(errOut, "HC_SALESFORCE_CLIENT_ID") {
		t.Errorf("exit code %d: %s", code, errOut)
	}
	code, out, errOut := image.podman(t, slices.Concat([]string{"run", "--rm"}, host, []string{tag, "version"})...)
	if code != 0 || !strings.Contains(out, release) || strings.Contains(out, "unknown") {
		t.Errorf("version: exit code %d: %s%s", code, out, errOut)
	}
}

// It runs from a read-only root, without capabilities, as a user that the image
// does not know, with secrets as files; answers its health check; writes
// nothing; and ends on its stop signal.
func TestRun(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{DailyLimit: 1_000_000}).Start()
	t.Cleanup(sf.Close)
	url := pgtest.URL(t)
	pool := pgtest.Open(t, url)
	port := freePort(t)
	secrets := t.TempDir()
	if err := os.Chmod(secrets, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"database-url": url, "client-secret": org.DefaultClientSecret, "password": org.DefaultPassword, "token": "t0ken-canary"} {
		if err := os.WriteFile(filepath.Join(secrets, name), []byte(text+"\n"), 0o444); err != nil {
			t.Fatal(err)
		}
	}
	env := map[string]string{
		"DATABASE_URL_FILE":                "/run/secrets/hcbridge/database-url",
		"HC_SALESFORCE_LOGIN_URL":          sf.URL(),
		"HC_SALESFORCE_CLIENT_ID":          org.DefaultClientID,
		"HC_SALESFORCE_CLIENT_SECRET_FILE": "/run/secrets/hcbridge/client-secret",
		"HC_SALESFORCE_USERNAME":           org.DefaultUsername,
		"HC_SALESFORCE_PASSWORD_FILE":      "/run/secrets/hcbridge/password",
		"HC_HTTP_TOKEN_FILE":               "/run/secrets/hcbridge/token",
		"HC_HTTP_ADDR":                     ":" + port,
		"HC_OBJECTS":                       "Account",
		"HC_OBJECT_ACCOUNT_ACCESS":         "read_write",
		"TZ":                               "Asia/Kathmandu",
	}
	options := slices.Concat(limits, host, []string{"--volume=" + secrets + ":/run/secrets/hcbridge:ro"})
	for _, name := range slices.Sorted(maps.Keys(env)) {
		options = append(options, "--env="+name+"="+env[name])
	}
	once := func(args ...string) (int, string, string) {
		return image.podman(t, slices.Concat([]string{"run", "--rm"}, options, []string{tag}, args)...)
	}

	if code, out, errOut := once("check"); code != 0 {
		t.Errorf("check: exit code %d\n%s%s", code, out, errOut)
	}
	if code, _, errOut := once("healthcheck"); code != 1 {
		t.Errorf("the health check of nothing exits with %d: %s", code, errOut)
	}

	const name = "bridge"
	if code, _, errOut := image.podman(t, slices.Concat([]string{"run", "--detach", "--name", name}, options, []string{tag})...); code != 0 {
		t.Fatalf("run: exit code %d: %s", code, errOut)
	}
	logs := func() string {
		_, out, errOut := image.podman(t, "logs", name)
		return out + errOut
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log:\n%s", logs())
		}
	})
	eventually(t, "ready", func() error {
		resp, err := http.Get("http://127.0.0.1:" + port + "/readyz") //nolint:noctx // the test has a limit
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		body, _ := io.ReadAll(resp.Body)
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%d: %s", resp.StatusCode, body)
		}
		return nil
	})
	health := func() int {
		code, _, _ := image.podman(t, "exec", name, "/hcbridge", "healthcheck")
		return code
	}
	if code := health(); code != 0 {
		t.Errorf("the health check of a running bridge exits with %d", code)
	}

	// Both ways.
	if _, err := sf.Insert("Account", map[string]any{"Name": "From Salesforce"}); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO salesforce.account (name) VALUES ('From Postgres')`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two rows with a record", func() error {
		var n int
		if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM salesforce.account WHERE sfid IS NOT NULL`).Scan(&n); err != nil {
			return err
		}
		if n != 2 {
			return fmt.Errorf("%d rows", n)
		}
		return nil
	})

	// Who it is, and what it may and holds.
	_, out, _ := image.podman(t, "inspect", "--format", "{{.State.Pid}}", name)
	proc := "/proc/" + strings.TrimSpace(out)
	status := fields(t, proc+"/status")
	for field, want := range map[string]string{
		"Uid": "12345 12345 12345 12345", "Gid": "12345 12345 12345 12345", "NoNewPrivs": "1",
		"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "0000000000000000",
	} {
		if got := status[field]; got != want {
			t.Errorf("%s of the process is %q, want %q", field, got, want)
		}
	}
	if mounts, err := os.ReadFile(proc + "/mounts"); err != nil || strings.Contains(string(mounts), " /tmp ") || !readOnly(string(mounts)) {
		t.Errorf("the root is not read only, or there is a /tmp: %v\n%s", err, mounts)
	}
	descriptors, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range descriptors {
		if to, err := os.Readlink(proc + "/fd/" + fd.Name()); err == nil && strings.HasPrefix(to, "/") && !strings.HasPrefix(to, "/dev/") && !strings.HasPrefix(to, "/sys/fs/cgroup/") {
			t.Errorf("it holds the file %s", to)
		}
	}
	_, inspected, _ := image.podman(t, "inspect", name)
	environ, err := os.ReadFile(proc + "/environ")
	if err != nil {
		t.Fatal(err)
	}
	log := logs()
	for _, secret := range []string{"t0ken-canary", org.DefaultClientSecret, org.DefaultPassword, url} {
		for where, text := range map[string]string{"description": inspected, "environment": string(environ), "log": log} {
			if strings.Contains(text, secret) {
				t.Errorf("the container's %s holds a secret", where)
			}
		}
	}
	if !strings.Contains(log, "+05:45") {
		t.Errorf("the log does not follow TZ: %s", log)
	}

	// One that hangs is not healthy.
	pid := 0
	if _, err := fmt.Sscan(filepath.Base(proc), &pid); err != nil {
		t.Fatal(err)
	}
	_ = syscall.Kill(pid, syscall.SIGSTOP)
	code := health()
	_ = syscall.Kill(pid, syscall.SIGCONT)
	if code != 1 {
		t.Errorf("the health check of a bridge that stands still exits with %d", code)
	}

	// It wrote nothing, and ends by its own stop signal.
	if _, out, _ := image.podman(t, "diff", name); written(out) != "" {
		t.Errorf("it has written: %s", out)
	}
	began := time.Now()
	if code, _, errOut := image.podman(t, "stop", "--time", "60", name); code != 0 {
		t.Errorf("stop: exit code %d: %s", code, errOut)
	}
	_, out, _ = image.podman(t, "inspect", "--format", "{{.State.ExitCode}}", name)
	if took := time.Since(began); strings.TrimSpace(out) != "0" || took > 30*time.Second {
		t.Errorf("it ended with %s after %s", strings.TrimSpace(out), took)
	}
}

// written leaves out the points that the runtime mounts things on.
func written(diff string) string {
	var list []string
	for line := range strings.Lines(diff) {
		_, path, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch top, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/"); top {
		case "etc", "run", "dev", "proc", "sys":
			if path != "/etc" && strings.HasPrefix(path, "/etc/ssl") {
				list = append(list, path)
			}
		default:
			list = append(list, path)
		}
	}
	return strings.Join(list, " ")
}

func readOnly(mounts string) bool {
	for line := range strings.Lines(mounts) {
		if f := strings.Fields(line); len(f) > 3 && f[1] == "/" {
			return slices.Contains(strings.Split(f[3], ","), "ro")
		}
	}
	return false
}

func fields(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	m := map[string]string{}
	for s := bufio.NewScanner(file); s.Scan(); {
		name, value, _ := strings.Cut(s.Text(), ":")
		m[name] = strings.Join(strings.Fields(value), " ")
	}
	return m
}

func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	for began := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Since(began) > 2*time.Minute {
			t.Fatalf("%s: %v", what, err)
		}
	}
}
