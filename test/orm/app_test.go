package orm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"
)

// patience bounds the life of an app.
const patience = 4 * time.Minute

// app is a running program that answers commands.
type app struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Scanner
	log *syncBuffer
}

// start runs the program of an app until the test ends.
func start(t *testing.T, url string, p program) *app {
	t.Helper()
	cmd, err := p.command(t)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c := exec.CommandContext(ctx, cmd.path, cmd.args...)
	c.Dir = cmd.dir
	zone := "America/New_York" // no app should depend on where it runs
	if p.utc {
		zone = "UTC"
	}
	c.Env = append(os.Environ(), "DATABASE_URL="+url, "TZ="+zone, "PYTHONDONTWRITEBYTECODE=1")
	a := &app{t: t, log: &syncBuffer{}}
	c.Stderr = a.log
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	a.in, a.out = in, bufio.NewScanner(out)
	a.out.Buffer(nil, 1<<20)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		defer cancel()
		_ = in.Close()
		for a.out.Scan() {
		}
		if err := c.Wait(); err != nil {
			t.Errorf("the app ends with %v\n%s", err, a.log)
		}
	})
	return a
}

// do gives the app a command and reads its answer into said, which may be nil.
func (a *app) do(what string, arg map[string]any, said any) {
	a.t.Helper()
	line := map[string]any{"do": what}
	for k, v := range arg {
		line[k] = v
	}
	b, err := json.Marshal(line)
	if err != nil {
		a.t.Fatal(err)
	}
	if _, err := a.in.Write(append(b, '\n')); err != nil {
		a.t.Fatalf("%s: %v\n%s", what, err, a.log)
	}
	if !a.out.Scan() {
		a.t.Fatalf("%s: the app ends: %v\n%s", what, a.out.Err(), a.log)
	}
	var refused struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal(a.out.Bytes(), &refused); err != nil {
		a.t.Fatalf("%s: the app says %q: %v", what, a.out.Text(), err)
	}
	if refused.Error != "" {
		a.t.Fatalf("%s %v: %s", what, arg, refused.Error)
	}
	if said == nil {
		return
	}
	if err := json.Unmarshal(a.out.Bytes(), said); err != nil {
		a.t.Fatalf("%s: the app says %s: %v", what, a.out.Text(), err)
	}
}

// syncBuffer is what an app writes to stderr.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
