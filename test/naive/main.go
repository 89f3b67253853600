// Command naive makes mistakes on purpose. Each of its variants is the way of doing
// something that comes to mind first, and that loses, doubles or delays changes in
// the end. One after another is put into a copy of the repository, and the test that
// is named beside it must fail: so it is known that the tests can.
//
//	go run ./test/naive [-only REGEXP] [-list] [-sound=false] [-limit 2m]
//
// First all the named tests must pass as they are. It prints a line for each variant
// and ends with status 1 unless all were found.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"syscall"
	"time"
)

func main() {
	only := flag.String("only", "", "regular expression of \"name package\"; empty for all")
	list := flag.Bool("list", false, "print the variants and do nothing")
	sound := flag.Bool("sound", true, "see first that the tests pass without a variant")
	limit := flag.Duration("limit", 2*time.Minute, "time for one test, without building it")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	ok, err := run(ctx, os.Stdout, options{*only, *list, *sound, *limit})
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "naive:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

type options struct {
	only        string
	list, sound bool
	limit       time.Duration
}

// run reports whether all variants were found.
func run(ctx context.Context, out io.Writer, o options) (ok bool, err error) {
	all, err := load("test/naive/variants")
	if err != nil {
		return false, fmt.Errorf("run it in the root of the repository: %w", err)
	}
	wanted, err := regexp.Compile(o.only)
	if err != nil {
		return false, err
	}
	all = slices.DeleteFunc(all, func(v variant) bool { return !wanted.MatchString(v.name + " " + v.pkg) })
	if o.list {
		for _, v := range all {
			fmt.Fprintf(out, "%-36s %s: %s\n", v.name, v.breaks, v.why)
		}
		return true, nil
	}
	dir, err := os.MkdirTemp("", "naive")
	if err != nil {
		return false, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := copyTree(ctx, dir); err != nil {
		return false, err
	}
	if o.sound {
		if err := seeSound(ctx, out, dir, all, o.limit); err != nil {
			return false, err
		}
	}
	found := 0
	for _, v := range all {
		began := time.Now()
		verdict, output, err := try(ctx, dir, v, o.limit)
		if err != nil {
			return false, fmt.Errorf("%s: %w", v.name, err)
		}
		fmt.Fprintf(out, "%-10s %-36s %4.0f s  %s\n", verdict, v.name, time.Since(began).Seconds(), v.breaks)
		if verdict == caught {
			found++
			continue
		}
		fmt.Fprintf(out, "%s\n", tail(output, 2000))
	}
	fmt.Fprintf(out, "%d of %d found\n", found, len(all))
	return found == len(all), nil
}

// seeSound runs all named tests on the unchanged copy: a test that is red anyway
// finds nothing.
func seeSound(ctx context.Context, out io.Writer, dir string, all []variant, limit time.Duration) error {
	patterns := map[string][]string{}
	var packages []string
	for _, v := range all {
		if patterns[v.pkg] == nil {
			packages = append(packages, v.pkg)
		}
		if !slices.Contains(patterns[v.pkg], v.run) {
			patterns[v.pkg] = append(patterns[v.pkg], v.run)
		}
	}
	for _, pkg := range packages {
		began := time.Now()
		whole := variant{name: "sound", pkg: pkg, run: join(patterns[pkg])}
		verdict, output, err := test(ctx, dir, whole, 5*limit)
		if err != nil {
			return err
		}
		if verdict != missed {
			return fmt.Errorf("%s: the tests do not pass as they are (%s):\n%s", pkg, verdict, tail(output, 4000))
		}
		fmt.Fprintf(out, "sound      %-36s %4.0f s\n", pkg, time.Since(began).Seconds())
	}
	return nil
}
