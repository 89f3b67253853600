package standby

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/test/org"
)

// doors lead to one org, one for each process, and note who came in which order.
// Who asks what the objects are does no work: a process that stands by does, too.
type doors struct {
	org *org.Server

	mu   sync.Mutex
	came []request
	asks []request // what the objects are
}

// request is one that arrived, of the process of that name.
type request struct {
	name, what string
	at         time.Time
}

// open returns the address of a door for the process of that name.
func (d *doors) open(t *testing.T, name string) string {
	var own string
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the process was killed meanwhile
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		switch {
		case strings.HasPrefix(r.URL.Path, "/services/oauth2/token"):
			// The org names its own address as that of the instance.
			answer := httptest.NewRecorder()
			d.org.ServeHTTP(answer, r)
			for key, values := range answer.Header() {
				if key != "Content-Length" {
					w.Header()[key] = values
				}
			}
			w.WriteHeader(answer.Code)
			_, _ = io.WriteString(w, strings.ReplaceAll(answer.Body.String(), d.org.URL(), own))
			return
		case strings.HasSuffix(r.URL.Path, "/composite") && bytes.Contains(body, []byte(`/describe"`)) && !bytes.Contains(body, []byte(`/query`)):
			d.org.ServeHTTP(w, r)
			d.ask(name, r.URL.Path)
			return
		case strings.HasPrefix(r.URL.Path, "/services/data/"), bytes.Contains(body, []byte("/meta/handshake")):
			d.note(name, r.Method+" "+r.URL.Path)
		}
		d.org.ServeHTTP(w, r)
	}))
	own = s.URL
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return own
}

func (d *doors) note(name, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.came = append(d.came, request{name: name, what: what, at: time.Now()})
}

func (d *doors) ask(name, what string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asks = append(d.asks, request{name: name, what: what, at: time.Now()})
}

// asked reports whether the process of that name has asked what the objects are
// after a moment.
func (d *doors) asked(name string, after time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.ContainsFunc(d.asks, func(r request) bool { return r.name == name && r.at.After(after) })
}

// order returns who came since the last call, and forgets it.
func (d *doors) order() []request {
	d.mu.Lock()
	defer d.mu.Unlock()
	came := d.came
	d.came = nil
	return came
}

// behind are the requests of old that came after the first of another.
func behind(came []request, old string) []request {
	first := slices.IndexFunc(came, func(r request) bool { return r.name != old })
	if first < 0 {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(came[first:]), func(r request) bool { return r.name != old })
}
