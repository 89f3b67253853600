package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

const (
	// liveEvery is the least time between two looks: more is not seen.
	liveEvery = 250 * time.Millisecond
	// beatEvery is how often something is said even if nothing has changed.
	beatEvery = 2 * time.Second
	// liveWrite bounds a write to a page that reads no more.
	liveWrite = 10 * time.Second
	// maxLive is how many pages may listen.
	maxLive = 50
)

// liveParts are the templates that are also the ids of the page's parts.
var liveParts = []string{"flow", "connection", "objects", "activity", "errors"}

// live sends the parts of the page as server-sent events: each when its text has
// changed, and a beat in between, by which the page knows that it is not stale.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	if s.listening.Add(1) > maxLive {
		s.listening.Add(-1)
		http.Error(w, "too many pages listen", http.StatusServiceUnavailable)
		return
	}
	defer s.listening.Add(-1)
	defer s.cfg.Board.Watch()()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // the server's would end the request
	sent := map[string][]byte{}
	var said time.Time
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		changed := s.cfg.Board.Changed()
		v := s.view(r.Context())
		var out bytes.Buffer
		for _, name := range liveParts {
			html, err := render(name, v)
			if err != nil || bytes.Equal(html, sent[name]) {
				continue
			}
			sent[name] = html
			data, _ := json.Marshal(map[string]string{"id": name, "html": string(html)}) // strings always marshal
			fmt.Fprintf(&out, "event: part\ndata: %s\n\n", data)
		}
		if out.Len() == 0 && time.Since(said) >= beatEvery {
			out.WriteString("event: beat\ndata: {}\n\n")
		}
		if out.Len() > 0 {
			said = time.Now()
			_ = control.SetWriteDeadline(said.Add(liveWrite))
			if _, err := w.Write(out.Bytes()); err != nil || control.Flush() != nil {
				return
			}
		}
		pause.Reset(liveEvery)
		select {
		case <-r.Context().Done():
			return
		case <-pause.C:
		}
		select {
		case <-r.Context().Done():
			return
		case <-changed:
		case <-tick.C:
		}
	}
}
