package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// progressEvery is how often a line is printed where there is no terminal.
const progressEvery = 5 * time.Second

// progress shows how far long work has come, on standard error: a bar that is
// drawn over itself on a terminal, a line now and then otherwise.
type progress struct {
	w     io.Writer
	what  string
	bar   bool
	began time.Time
	said  time.Time
	drawn bool
}

func (p *program) progress(what string) *progress {
	now := time.Now()
	return &progress{w: p.stderr, what: what, bar: isTerminal(p.stderr), began: now, said: now}
}

// isTerminal reports whether somebody watches w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// at shows that n of total are done; total 0 is not known yet.
func (b *progress) at(n, total int64) {
	every := progressEvery
	if b.bar {
		every = 100 * time.Millisecond
	}
	if time.Since(b.said) < every {
		return
	}
	b.said = time.Now()
	if b.bar {
		const width = 40
		full := 0
		if total > 0 {
			full = int(min(n, total) * width / total)
		}
		_, _ = fmt.Fprintf(b.w, "\r%s [%s%s] %d of %d", b.what, strings.Repeat("█", full), strings.Repeat(" ", width-full), n, total)
		b.drawn = true
		return
	}
	_, _ = fmt.Fprintf(b.w, "%s: %d of %d\n", b.what, n, total)
}

// done says that all is done, and how long it took.
func (b *progress) done() {
	b.end()
	_, _ = fmt.Fprintf(b.w, "%s: done in %s\n", b.what, time.Since(b.began).Round(100*time.Millisecond))
}

// end leaves the line of the bar.
func (b *progress) end() {
	if b.drawn {
		b.drawn = false
		_, _ = fmt.Fprintln(b.w)
	}
}
