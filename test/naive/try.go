package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// What becomes of a variant.
const (
	caught  = "found"
	missed  = "NOT FOUND"
	broken  = "BROKEN"   // it does not build, or there is no such test
	tooLong = "TOO LONG" // which is no proof, unless the variant says that it hangs
)

// buildTime is for building a test, which the limit of the test is not.
const buildTime = 10 * time.Minute

// copyTree copies what git knows, and what it would add, into dir.
func copyTree(ctx context.Context, dir string) error {
	list, err := exec.CommandContext(ctx, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimRight(string(list), "\x00"), "\x00") {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue // deleted, and not yet told to git
		}
		if err != nil {
			return err
		}
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(target, data, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// try puts a variant into the copy, tests it, and takes it out again.
func try(ctx context.Context, dir string, v variant, limit time.Duration) (verdict, output string, err error) {
	name := filepath.Join(dir, filepath.FromSlash(v.file))
	was, err := os.ReadFile(name)
	if err != nil {
		return "", "", err
	}
	text, err := v.apply(string(was))
	if err != nil {
		return broken, err.Error(), nil //nolint:nilerr // it is the verdict
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		return "", "", err
	}
	verdict, output, err = test(ctx, dir, v, limit)
	return verdict, output, errors.Join(err, os.WriteFile(name, was, 0o644))
}

// test runs a variant's test and judges its output.
func test(ctx context.Context, dir string, v variant, limit time.Duration) (verdict, output string, err error) {
	within, cancel := context.WithTimeout(ctx, buildTime+limit)
	defer cancel()
	// Without paths in it, what is built is known when it is built in another folder.
	cmd := exec.CommandContext(within, "go", "test", "-trimpath", "-vet=off", "-count=1", "-failfast", "-timeout", limit.String(), "-run", anchored(v.run), v.pkg)
	cmd.Dir = dir
	cmd.WaitDelay = 10 * time.Second
	raw, failure := cmd.CombinedOutput()
	if ctx.Err() != nil {
		return "", "", context.Cause(ctx)
	}
	var exit *exec.ExitError
	if failure != nil && !errors.As(failure, &exit) {
		return "", "", failure
	}
	return v.judge(string(raw), failure == nil), string(raw), nil
}

// judge reads the output of go test.
func (v variant) judge(output string, passed bool) string {
	switch {
	case strings.Contains(output, "[no tests to run]"),
		strings.Contains(output, "[build failed]"), strings.Contains(output, "[setup failed]"):
		return broken
	case passed:
		return missed
	case strings.Contains(output, "panic: test timed out"):
		if v.hangs {
			return caught
		}
		return tooLong
	case strings.Contains(output, "--- FAIL: "), strings.Contains(output, "panic: "):
		return caught
	default:
		return broken
	}
}

// anchored has each alternative of a pattern match whole names only at its first
// level: TestLoad is not TestLoadResumes.
func anchored(run string) string {
	parts := strings.Split(run, "|")
	for i, part := range parts {
		first, rest, sub := strings.Cut(part, "/")
		parts[i] = "^" + first + "$"
		if sub {
			parts[i] += "/" + rest
		}
	}
	return strings.Join(parts, "|")
}

func join(patterns []string) string { return strings.Join(patterns, "|") }

// tail is the end of a text, indented.
func tail(text string, most int) string {
	text = text[max(0, len(text)-most):]
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
