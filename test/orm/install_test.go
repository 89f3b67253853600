package orm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	installer "hcbridge/test/npm"
)

// installation bounds a step of an installation.
const installation = 5 * time.Minute

// program is how an app is run.
type program struct {
	name    string // folder in testdata
	command func(t *testing.T) (invocation, error)
	utc     bool // the process has to run in UTC, as on Heroku

	path  string            // part of the search_path that it asks for
	tells bool              // it is told of values that the database sets, by RETURNING
	types map[string]string // of its values
}

// invocation is a command line and where it runs.
type invocation struct {
	path string
	args []string
	dir  string
}

// scripted is an app in a language whose packages the system has. The first
// interpreter that has them runs it: one of a version manager may hide the
// system's.
func scripted(file, probe string, flag string, interpreters ...string) func(t *testing.T) (invocation, error) {
	return func(t *testing.T) (invocation, error) {
		t.Helper()
		var why []string
		for _, interpreter := range interpreters {
			out, err := exec.CommandContext(t.Context(), interpreter, flag, probe).CombinedOutput()
			if err == nil {
				return invocation{path: interpreter, args: []string{filepath.Base(file)}, dir: filepath.Join("testdata", filepath.Dir(file))}, nil
			}
			why = append(why, fmt.Sprintf("%s: %v\n%s", interpreter, err, out))
		}
		return invocation{}, fmt.Errorf("what %s needs is not installed; scripts/need.sh ruby python does it or says how\n%s", file, strings.Join(why, "\n"))
	}
}

// npm is an app on packages of the npm registry. steps follow the installation,
// in its folder; what only they need is removed again.
func npm(name string, steps ...[]string) func(t *testing.T) (invocation, error) {
	return func(t *testing.T) (invocation, error) {
		t.Helper()
		dir, err := installed(name, ".mjs", func(dir string) error {
			install := []string{"npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts"}
			for _, step := range append([][]string{install}, steps...) {
				if err := run(dir, step...); err != nil {
					return err
				}
			}
			return run(dir, "npm", "prune", "--omit=dev", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
		})
		if err != nil {
			return invocation{}, err
		}
		// Node looks for packages in the folders of a script, and imports of generated
		// code are relative to it.
		text, err := os.ReadFile(filepath.Join("testdata", name, "app.mjs"))
		if err != nil {
			return invocation{}, err
		}
		script := filepath.Join(dir, fmt.Sprintf("app-%d.mjs", os.Getpid()))
		t.Cleanup(func() { _ = os.Remove(script) })
		return invocation{path: "node", args: []string{script}, dir: dir}, os.WriteFile(script, text, 0o600)
	}
}

// compiled is an app in Go, a module of its own.
func compiled(name string) func(t *testing.T) (invocation, error) {
	return func(t *testing.T) (invocation, error) {
		t.Helper()
		bin := filepath.Join(t.TempDir(), name)
		err := run(filepath.Join("testdata", name), "go", "build", "-o", bin, ".")
		return invocation{path: bin}, err
	}
}

// installed returns the folder of the user's cache that is named after the app
// and its files but those that end in except, and lets fill make it from them if
// it is not there.
func installed(name, except string, fill func(dir string) error) (string, error) {
	files := os.DirFS(filepath.Join("testdata", name))
	names, err := fs.Glob(files, "*")
	if err != nil {
		return "", err
	}
	texts, sum := map[string][]byte{}, sha256.New()
	for _, n := range names {
		if strings.HasSuffix(n, except) {
			continue
		}
		if texts[n], err = fs.ReadFile(files, n); err != nil {
			return "", err
		}
		fmt.Fprintf(sum, "%s %d %s", n, len(texts[n]), texts[n])
	}
	fmt.Fprint(sum, runtime.GOOS, runtime.GOARCH)
	return installer.Folder(fmt.Sprintf("orm-%s-%x", name, sum.Sum(nil)[:8]), func(dir string) error {
		for n, text := range texts {
			if err := os.WriteFile(filepath.Join(dir, n), text, 0o600); err != nil {
				return err
			}
		}
		return fill(dir)
	})
}

// run runs a step of an installation.
func run(dir string, words ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), installation)
	defer cancel()
	c := exec.CommandContext(ctx, words[0], words[1:]...)
	c.Dir = dir
	// Prisma's command line wants an engine that only its migrations use, from a
	// host of its own; any program will do for what is generated here.
	c.Env = append(os.Environ(), "PRISMA_SCHEMA_ENGINE_BINARY="+os.Args[0], "CHECKPOINT_DISABLE=1", "PRISMA_HIDE_UPDATE_MESSAGE=1")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(words, " "), err, out)
	}
	return nil
}
