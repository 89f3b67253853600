package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"hcbridge/test/freeport"
)

// engine is podman with images and containers of its own.
type engine struct {
	dir string // of everything
	bin string // of the commands podman and docker, for scripts
}

// base is what stands in for golang:1.26-bookworm.
const base = `FROM scratch
COPY . /
ENV PATH=/usr/local/go/bin:/bin GOMODCACHE=/go/pkg/mod GOCACHE=/cache GOTOOLCHAIN=local HOME=/root
`

func newEngine() (*engine, error) {
	dir, err := os.MkdirTemp("", "hcbridge-image-")
	if err != nil {
		return nil, err
	}
	e := &engine{dir: dir, bin: filepath.Join(dir, "bin")}
	podman, err := exec.LookPath("podman")
	if err != nil {
		return e, fmt.Errorf("%w; scripts/need.sh podman installs it", err)
	}
	runtime := ""
	for _, path := range []string{"runc", "/usr/sbin/runc"} {
		if path, err := exec.LookPath(path); err == nil {
			runtime = "--runtime " + path
		}
	}
	var paths [4]string
	for i, name := range []string{"GOROOT", "GOMODCACHE", "GOCACHE", "GOPROXY"} {
		out, err := exec.CommandContext(context.Background(), "go", "env", name).Output()
		if err != nil {
			return e, fmt.Errorf("go env: %w", err)
		}
		paths[i] = strings.TrimSpace(string(out))
	}
	global := fmt.Sprintf("--root %[1]s/root --runroot %[1]s/run --tmpdir %[1]s/tmp --storage-driver vfs --cgroup-manager cgroupfs --events-backend none %[2]s", dir, runtime)
	mounts := fmt.Sprintf("--volume %s:/usr/local/go:ro --volume %s:/go/pkg/mod --volume %s:/cache --env GOPROXY=%s", paths[0], paths[1], paths[2], paths[3])
	files := map[string]string{
		"bin/podman": fmt.Sprintf("#!/bin/sh\ncommand=$1\nshift\nif [ \"$command\" = build ]; then\n  set -- --isolation chroot --network host --pull=never --layers=false %s \"$@\"\nfi\nexec %s %s \"$command\" \"$@\"\n", mounts, podman, global),
		"bin/docker": "#!/bin/sh\nexit 1\n", // there may be a client without an engine, or an engine with images of others
	}
	for name, text := range files {
		if err := write(filepath.Join(dir, name), []byte(text), 0o755); err != nil {
			return e, err
		}
	}
	return e, e.standIn()
}

// standIn makes the image that the Dockerfile builds in.
func (e *engine) standIn() error {
	dir := filepath.Join(e.dir, "base")
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return fmt.Errorf("%w; scripts/need.sh podman installs it", err)
	}
	for from, to := range map[string]string{
		busybox:                              "bin/sh",
		"/etc/ssl/certs/ca-certificates.crt": "etc/ssl/certs/ca-certificates.crt",
	} {
		text, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(dir, to), text, 0o755); err != nil {
			return err
		}
	}
	for _, empty := range []string{"tmp", "root"} {
		if err := os.Mkdir(filepath.Join(dir, empty), 0o755); err != nil {
			return err
		}
	}
	if err := write(filepath.Join(e.dir, "base.Dockerfile"), []byte(base), 0o644); err != nil {
		return err
	}
	out, err := e.command(context.Background(), "build", "--file", filepath.Join(e.dir, "base.Dockerfile"), "--tag", "docker.io/library/golang:1.26-bookworm", dir).CombinedOutput()
	if err != nil {
		return fmt.Errorf("the image to build in: %w\n%s", err, out)
	}
	return nil
}

func write(path string, text []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, text, mode)
}

// close ends and removes everything.
func (e *engine) close() {
	if _, err := os.Stat(filepath.Join(e.bin, "podman")); err == nil {
		if out, err := e.command(context.Background(), "rm", "--all", "--force", "--time", "0").CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "podman rm: %v\n%s", err, out)
		}
	}
	if err := os.RemoveAll(e.dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func (e *engine) command(ctx context.Context, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, filepath.Join(e.bin, "podman"), args...)
}

// podman runs one command and returns its exit code and output.
func (e *engine) podman(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 2*time.Minute) // the end of a test looks at logs, too
	defer cancel()
	cmd := e.command(ctx, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("podman %v: %v\n%s", args, err, errOut.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
}

// limits are those that the manifests ask for, and a user that the image does not
// know.
var limits = []string{
	"--read-only", "--read-only-tmpfs=false", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=12345:12345",
	"--memory=256m", "--pids-limit=100",
}

// host is what this machine needs: its network, which is where the test's servers
// are, limits that a machine without CAP_SYS_RESOURCE can set, and no systemd.
var host = []string{"--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1000:1000", "--no-healthcheck"}

// freePort finds a port that is free now.
func freePort(t *testing.T) string {
	t.Helper()
	port, err := freeport.Find()
	if err != nil {
		t.Fatal(err)
	}
	return strconv.Itoa(port)
}
