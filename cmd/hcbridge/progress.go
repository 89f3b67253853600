package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
)

// How often long work tells how far it is: on a terminal, and in a log.
const (
	drawEvery = 100 * time.Millisecond
	sayEvery  = 5 * time.Second
)

// progress shows how far long work has come, on standard error: a bar that is
// drawn over itself on a terminal, a log line every few seconds otherwise.
type progress struct {
	w     io.Writer
	log   zerolog.Logger
	event string
	width int  // of the terminal
	bar   bool // somebody watches
	began time.Time
	said  time.Time
	drawn bool
}

// progress shows work that the log calls event.
func (p *program) progress(cfg *config.Config, event string) *progress {
	now := time.Now()
	return &progress{
		w: p.stderr, log: p.logger(cfg).With().Str("component", "hcbridge").Logger(), event: event,
		bar: isTerminal(p.stderr) && p.getenv("TERM") != "dumb", width: p.width(), began: now, said: now,
	}
}

// at shows that n of total rows of an object are done; total 0 is not known yet.
func (b *progress) at(object string, n, total int64) {
	every := sayEvery
	if b.bar {
		every = drawEvery
	}
	if time.Since(b.said) < every {
		return
	}
	b.said = time.Now()
	if !b.bar {
		b.log.Info().Str("event", b.event).Str("object", object).Int64("rows", n).Int64("of", total).Msg(b.event)
		return
	}
	text := fmt.Sprintf(" %d", n)
	if total > 0 {
		text = fmt.Sprintf(" %d of %d", n, total)
	}
	size := 40
	if b.width > 0 {
		size = min(size, b.width-len(object)-len(text)-4)
	}
	bar := ""
	if size > 4 {
		full := 0
		if total > 0 {
			full = int(int64(size) * min(n, total) / total)
		}
		bar = " [" + strings.Repeat("█", full) + strings.Repeat("░", size-full) + "]"
	}
	_, _ = fmt.Fprintf(b.w, "\r%s%s%s\x1b[K", object, bar, text)
	b.drawn = true
}

// clear takes the bar off the terminal.
func (b *progress) clear() {
	if b.drawn {
		b.drawn = false
		_, _ = fmt.Fprint(b.w, "\r\x1b[K")
	}
}

// took is how long it took.
func (b *progress) took() time.Duration { return time.Since(b.began).Round(100 * time.Millisecond) }
