package pgtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

var errPortTaken = errors.New("port was taken by another program")

// initdb makes an empty cluster in f.data(): UTF-8, and ICU's English sort
// order where the build has ICU, since that is what real databases have: code
// that relies on byte order must say so. Passwords are checked by MD5 where the
// build has it: tests connect thousands of times, and SCRAM, which is slow on
// purpose, takes 12 ms of processor for each under the race detector.
func initdb(ctx context.Context, bin string, f *folder, user runAs, password string) error {
	if err := f.write("password", password); err != nil {
		return err
	}
	args := []string{
		"--pgdata=" + f.data(), "--username=postgres", "--pwfile=" + f.path("password"),
		"--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions",
	}
	icu := []string{"--locale-provider=icu", "--icu-locale=en-US"}
	var err error
	for _, more := range [][]string{append(icu, "--auth=md5"), append(icu, "--auth=scram-sha-256"), {"--auth=md5"}, {"--auth=scram-sha-256"}} {
		if err = command(ctx, bin, "initdb", f, user, slices.Concat(args, more)); err == nil {
			return nil
		}
		if err := os.RemoveAll(f.data()); err != nil {
			return fmt.Errorf("data of a failed initdb: %w", err)
		}
	}
	return err
}

// command runs one of the programs in bin to its end.
func command(ctx context.Context, bin, name string, f *folder, user runAs, args []string) error {
	cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...)
	cmd.Dir = f.dir // the caller's may be closed to user
	cmd.Env = environ()
	cmd.SysProcAttr = sysProcAttr(user)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s in %s: %w: %s", name, f.dir, err, bytes.TrimSpace(out))
	}
	return nil
}

// environ is ours without the variables that libpq and PostgreSQL listen to.
func environ() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool {
		return strings.HasPrefix(entry, "PG") || strings.HasPrefix(entry, "LC_") || strings.HasPrefix(entry, "LANG")
	})
}

// launch starts the server process and waits until it takes connections.
func (s *Server) launch(ctx context.Context) error {
	log, err := s.folder.openLog()
	if err != nil {
		return err
	}
	defer log.Close()
	offset, err := log.Seek(0, 2)
	if err != nil {
		return fmt.Errorf("server log: %w", err)
	}

	cmd := exec.Command(filepath.Join(s.bin, "postgres"), s.arguments()...) //nolint:noctx // it outlives the caller's context
	cmd.Dir = s.folder.dir
	cmd.Env = append(environ(), s.options.Env...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = serverProcAttr(s.user)
	_ = os.Remove(s.folder.pidFile()) // or the state of an earlier life is read
	p := &process{cmd: cmd, started: make(chan error, 1), done: make(chan struct{})}
	go p.supervise()
	if err := <-p.started; err != nil {
		return fmt.Errorf("start of %s: %w", cmd.Path, err)
	}

	ctx, cancel := context.WithTimeoutCause(ctx, s.options.ReadyIn, fmt.Errorf("not ready in %s", s.options.ReadyIn))
	defer cancel()
	if err := s.awaitReady(ctx, p); err != nil {
		_ = p.stop(Immediate) // it failed anyway
		tail := s.folder.logFrom(offset)
		if strings.Contains(tail, "could not bind IPv4 address") {
			return errPortTaken
		}
		return fmt.Errorf("%s: %w; its log ends:\n%s", cmd.Path, err, tail)
	}
	s.process = p
	return nil
}

// arguments is the server's whole configuration beyond PostgreSQL's defaults.
func (s *Server) arguments() []string {
	onOff := map[bool]string{true: "on", false: "off"}[s.options.Fsync]
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    s.base.Port(),
		"unix_socket_directories": s.folder.socketDir(),
		"max_connections":         "200",
		"fsync":                   onOff,
		"full_page_writes":        onOff,
		"timezone":                "UTC",
		"log_timezone":            "UTC",
	}
	maps.Copy(settings, s.options.Settings)
	args := []string{"-D", s.folder.data()}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		args = append(args, "-c", name+"="+settings[name])
	}
	return args
}

// awaitReady waits until the server has written in its pid file that it takes
// connections: no connection attempt is needed, and none is logged.
func (s *Server) awaitReady(ctx context.Context, p *process) error {
	const statusLine = 7 // PostgreSQL's pidfile.h: LOCK_FILE_LINE_PM_STATUS, from 0 here
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if text, err := os.ReadFile(s.folder.pidFile()); err == nil {
			lines := strings.Split(string(text), "\n")
			if len(lines) > statusLine && slices.Contains([]string{"ready", "standby"}, strings.TrimSpace(lines[statusLine])) {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-p.done:
			return errors.New("server ended")
		case <-tick.C:
		}
	}
}

// A process is one life of a server.
type process struct {
	cmd     *exec.Cmd
	started chan error
	done    chan struct{} // closed when it has ended
}

// supervise starts the process and waits for its end, on one thread: the
// parent-death signal is sent when the thread that started a process ends
// (prctl(2), PR_SET_PDEATHSIG), so that thread must live as long.
func (p *process) supervise() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(p.done)
	err := p.cmd.Start()
	p.started <- err
	if err == nil {
		_ = p.cmd.Wait() // why it ended is in its log
	}
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// stop ends the process and waits for it; what does not end in 30 s is killed.
func (p *process) stop(mode Mode) error {
	signal := syscall.SIGINT
	if mode == Immediate {
		signal = syscall.SIGQUIT
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop of the server: %w", err)
	}
	timer := time.NewTimer(30 * time.Second)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill() // it may have ended just now
		<-p.done
		return errors.New("server did not stop in 30 s and was killed")
	}
}
