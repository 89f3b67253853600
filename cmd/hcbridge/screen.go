package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"hcbridge/internal/status"
)

// screen is a terminal with a log and, below it, a bar for long work of the bridge:
// loads, and the sending of what has waited. Without a bar it is the log alone. Its
// methods may be called at once.
type screen struct {
	w io.Writer

	mu  sync.Mutex
	bar string // as drawn; "" = none
}

// Write writes lines of the log above the bar.
func (s *screen) Write(lines []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bar == "" {
		return s.w.Write(lines) //nolint:wrapcheck // as if it were not there
	}
	text := bytes.Join([][]byte{[]byte("\r" + clearLine), lines, []byte(s.bar)}, nil)
	_, err := s.w.Write(text)
	return len(lines), err //nolint:wrapcheck // as above
}

// draw shows a bar in place of the one before, none if it is empty.
func (s *screen) draw(bar string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bar == s.bar {
		return
	}
	s.bar = bar
	_, _ = fmt.Fprint(s.w, "\r"+bar+clearLine)
}

// follow shows what the board tells of long work, until the function it returns is
// called.
func (s *screen) follow(board *status.Board) (stop func()) {
	ended, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		defer s.draw("")
		ticker := time.NewTicker(drawEvery)
		defer ticker.Stop()
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				s.draw(longWork(board.Snapshot().Objects, width(s.w)))
			}
		}
	}()
	return func() { close(ended); <-done }
}

// longWork is the bar of what is under way: loads, or else what is sent.
func longWork(objects []status.Object, width int) string {
	var loads, sends work
	for _, o := range objects {
		if o.State == status.ReloadTable && o.ToLoad > 0 {
			loads.add(o.Object, o.Loaded, o.ToLoad)
		}
		if o.Backlog > 0 {
			sends.add(o.Object, max(0, o.Backlog-o.PendingWrites), o.Backlog)
		}
	}
	switch {
	case loads.objects > 0:
		return loads.bar("loading", width)
	case sends.objects > 0:
		return sends.bar("sending", width)
	}
	return ""
}

// work is how far the same is done of several objects.
type work struct {
	name     string
	objects  int
	n, total int64
}

func (w *work) add(object string, n, total int64) {
	if w.name = object; w.objects > 0 {
		w.name = fmt.Sprintf("%d objects", w.objects+1)
	}
	w.objects++
	w.n, w.total = w.n+n, w.total+total
}

func (w *work) bar(verb string, width int) string { return bar(verb+" "+w.name, w.n, w.total, width) }
