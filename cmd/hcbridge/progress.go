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
		bar: p.watched(), width: width(p.stderr), began: now, said: now,
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
	_, _ = fmt.Fprint(b.w, "\r"+bar(object, n, total, b.width)+clearLine)
	b.drawn = true
}

// clearLine takes away what a terminal shows from the cursor to the end of its line.
const clearLine = "\x1b[K"

// bar is a line that shows that n of total are done, total 0 if it is not known. It
// fits into width, if that is not 0.
func bar(name string, n, total int64, width int) string {
	text := fmt.Sprintf(" %d", n)
	if total > 0 {
		text = fmt.Sprintf(" %d of %d", n, total)
	}
	size := 40
	if width > 0 {
		size = min(size, width-len(name)-len(text)-4)
	}
	bar := ""
	if size > 4 {
		full := 0
		if total > 0 {
			full = int(int64(size) * max(0, min(n, total)) / total)
		}
		bar = " [" + strings.Repeat("█", full) + strings.Repeat("░", size-full) + "]"
	}
	return name + bar + text
}

// clear takes the bar off the terminal.
func (b *progress) clear() {
	if b.drawn {
		b.drawn = false
		_, _ = fmt.Fprint(b.w, "\r"+clearLine)
	}
}

// took is how long it took.
func (b *progress) took() time.Duration { return time.Since(b.began).Round(100 * time.Millisecond) }
