package peers

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/test/npm"
	"hcbridge/test/org"
)

//go:embed js
var scripts embed.FS

// patience bounds a script or a command of the CLI.
const patience = 2 * time.Minute

const (
	// cliVersion is that of the Salesforce CLI.
	cliVersion = "2.146.3"
	// cliNode is the oldest Node.js, by its major version, that can run it, and
	// cliNodeVersion the one that is taken where only an older one is installed,
	// as Debian 12 has it.
	cliNode        = 20
	cliNodeVersion = "22.23.3"
)

// Folders of installed programs, each made once per process.
var (
	clients = sync.OnceValues(func() (string, error) {
		list, err := scripts.ReadFile("js/package.json")
		if err != nil {
			return "", err
		}
		return npm.Packages("peers", list)
	})
	// The CLI comes with a list of the exact versions of all it depends on, but
	// npm minds that list only in the folder it installs for.
	cli = sync.OnceValues(func() (string, error) {
		return npm.Folder("sf-"+cliVersion, func(dir string) error {
			if err := npm.Run(dir, "npm", "pack", "@salesforce/cli@"+cliVersion); err != nil {
				return err
			}
			if err := npm.Run(dir, "tar", "-xzf", "salesforce-cli-"+cliVersion+".tgz", "--strip-components=1"); err != nil {
				return err
			}
			return npm.Run(dir, "npm", "install", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts")
		})
	})
	// The program that runs the CLI.
	node = sync.OnceValues(func() (string, error) {
		out, err := exec.CommandContext(context.Background(), "node", "--version").Output()
		if err != nil {
			return "", fmt.Errorf("node --version: %w", err)
		}
		var major int
		if _, err := fmt.Sscanf(string(out), "v%d.", &major); err != nil || major >= cliNode {
			return "node", err
		}
		name := "node-" + runtime.GOOS + "-" + strings.Replace(runtime.GOARCH, "amd64", "x64", 1)
		dir, err := npm.Folder(name+"-"+cliNodeVersion, func(dir string) error {
			if err := npm.Run(dir, "npm", "pack", name+"@"+cliNodeVersion); err != nil {
				return err
			}
			return npm.Run(dir, "tar", "-xzf", name+"-"+cliNodeVersion+".tgz", "--strip-components=1")
		})
		return filepath.Join(dir, "bin", "node"), err
	})
)

// script is a running program of js.
type script struct {
	t     *testing.T
	name  string
	in    io.WriteCloser
	lines chan line
	log   *buffer
	done  chan error
}

// line is one thing that a script says.
type line struct {
	step string
	text []byte
}

// run starts a script with an org's address and credentials in its
// environment. It ends with the test.
func run(t *testing.T, o *org.Server, name string, environ ...string) *script {
	t.Helper()
	dir, err := clients()
	if err != nil {
		t.Fatal(err)
	}
	// Node looks for packages in the folders above a script.
	home, err := os.MkdirTemp(dir, "run-") //nolint:usetesting // has to be inside dir
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	files, err := scripts.ReadDir("js")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := scripts.ReadFile("js/" + f.Name())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(home, f.Name()), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "node", name)
	cmd.Dir = home
	cmd.Env = append(os.Environ(),
		"ORG_URL="+o.URL(), "ORG_USER="+org.DefaultUsername, "ORG_PASSWORD="+org.DefaultPassword,
		"CLIENT_ID="+org.DefaultClientID, "CLIENT_SECRET="+org.DefaultClientSecret, "NO_PROXY=*", "no_proxy=*")
	cmd.Env = append(cmd.Env, environ...)
	s := &script{t: t, name: name, lines: make(chan line, 10_000), log: &buffer{}, done: make(chan error, 1)}
	cmd.Stderr = s.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if s.in, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.lines)
		in := bufio.NewScanner(out)
		in.Buffer(nil, 1<<24)
		for in.Scan() {
			var l struct {
				Step string `json:"step"`
			}
			_ = json.Unmarshal(in.Bytes(), &l)
			s.lines <- line{step: l.Step, text: []byte(in.Text())}
		}
		s.done <- cmd.Wait()
	}()
	t.Cleanup(func() {
		cancel()
		for range s.lines {
		}
	})
	return s
}

// next waits for the next thing the script says, which must be step, and
// reads it into facts.
func (s *script) next(step string, facts any) {
	s.t.Helper()
	l, ok := <-s.lines
	if !ok {
		s.t.Fatalf("%s ended before %q: %v\n%s", s.name, step, <-s.done, s.log)
	}
	if l.step != step {
		s.t.Fatalf("%s says %s instead of %q\n%s", s.name, l.text, step, s.log)
	}
	if facts != nil {
		if err := json.Unmarshal(l.text, facts); err != nil {
			s.t.Fatalf("%s says %s: %v", s.name, l.text, err)
		}
	}
}

// is waits for step and compares what it says with want, a JSON object without
// the step.
func (s *script) is(step, want string) {
	s.t.Helper()
	var got, expected map[string]any
	s.next(step, &got)
	delete(got, "step")
	if err := json.Unmarshal([]byte(want), &expected); err != nil {
		s.t.Fatal(err)
	}
	a, _ := json.Marshal(got)
	b, _ := json.Marshal(expected)
	if string(a) != string(b) {
		s.t.Errorf("%s %s:\n got %s\nwant %s", s.name, step, a, b)
	}
}

// tell gives the script its next command.
func (s *script) tell(command string) {
	s.t.Helper()
	if _, err := io.WriteString(s.in, command+"\n"); err != nil {
		s.t.Fatal(err)
	}
}

// stop tells the script to end.
func (s *script) stop() { _ = s.in.Close() }

// ended waits for the script to end well, with nothing left to say.
func (s *script) ended() {
	s.t.Helper()
	s.stop()
	for l := range s.lines {
		s.t.Errorf("%s says %s at its end", s.name, l.text)
	}
	if err := <-s.done; err != nil {
		s.t.Errorf("%s: %v\n%s", s.name, err, s.log)
	}
}

// buffer keeps what a script writes to stderr.
type buffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
