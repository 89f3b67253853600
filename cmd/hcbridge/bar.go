package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/rs/zerolog"
)

// sayEvery is how often long work tells how far it is.
const (
	sayEvery  = 5 * time.Second
	drawEvery = 100 * time.Millisecond
	barWidth  = 40
)

// bar shows the progress of long work on standard error: a bar on a terminal, a
// log line every few seconds otherwise.
type bar struct {
	w     io.Writer
	log   zerolog.Logger
	event string
	tty   bool
	said  time.Time
}

// newBar returns a bar that logs event.
func newBar(w io.Writer, log zerolog.Logger, event string) *bar {
	f, ok := w.(*os.File)
	return &bar{w: w, log: log, event: event, tty: ok && isatty.IsTerminal(f.Fd()), said: time.Now()}
}

// of returns a function that shows how far the work on what has come.
func (b *bar) of(what string) func(done, total int64) {
	return func(done, total int64) {
		every := sayEvery
		if b.tty {
			every = drawEvery
		}
		if time.Since(b.said) < every {
			return
		}
		b.said = time.Now()
		if !b.tty {
			b.log.Info().Str("event", b.event).Str("object", what).Int64("rows", done).Int64("of", total).Msg(b.event)
			return
		}
		filled := int(barWidth * min(done, total) / max(total, 1))
		_, _ = fmt.Fprintf(b.w, "\r%s [%s%s] %d of %d\x1b[K", what, strings.Repeat("#", filled), strings.Repeat(".", barWidth-filled), done, total)
	}
}

// clear takes the bar off the terminal.
func (b *bar) clear() {
	if b.tty {
		_, _ = fmt.Fprint(b.w, "\r\x1b[K")
	}
}
