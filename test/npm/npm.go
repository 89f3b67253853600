// Package npm installs programs and libraries of the npm registry that tests need,
// once per user: they are kept in the user's cache.
package npm

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// within bounds a step of an installation.
const within = 5 * time.Minute

// Packages installs what a package.json lists and returns the folder that holds
// node_modules. It is named after name and the list. No script of a package runs.
func Packages(name string, list []byte) (string, error) {
	return Folder(fmt.Sprintf("%s-%x", name, sha256.Sum256(list))[:len(name)+17], func(dir string) error {
		if err := os.WriteFile(filepath.Join(dir, "package.json"), list, 0o600); err != nil {
			return err
		}
		return Run(dir, "npm", "install", "--no-audit", "--no-fund", "--no-package-lock", "--ignore-scripts")
	})
}

// Folder returns the folder of the user's cache that is named after what it
// holds, and lets fill make it if it is not there. It is built beside and
// renamed, so that a folder that exists is whole.
func Folder(name string, fill func(dir string) error) (string, error) {
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			return "", fmt.Errorf("%s is needed to run the third-party programs (Debian: apt-get install nodejs npm; macOS: brew install node): %w", tool, err)
		}
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("no folder for the third-party programs: %w", err)
	}
	dir := filepath.Join(cache, "hcbridge", name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return "", err
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "installing-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := fill(tmp); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, other := os.Stat(dir); other == nil {
			return dir, nil // another process was faster
		}
		return "", err
	}
	return dir, nil
}

// Run runs a step of an installation.
func Run(dir, name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
