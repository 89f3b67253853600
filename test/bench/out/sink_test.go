package out

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// sink is the least Salesforce: it logs anybody in, agrees to every update, and
// notes when the request of a probe came in.
type sink struct {
	url    string
	rows   atomic.Int64
	calls  atomic.Int64
	probes chan arrival

	mu   sync.Mutex
	gone chan struct{} // closed when want rows have come
	want int64
}

// arrival is a request with the value of a probe.
type arrival struct {
	value string
	at    time.Time
}

// probeID is the record whose changes are timed.
const probeID = "003000000000001AAA"

func newSink(t *testing.T) *sink {
	s := &sink{probes: make(chan arrival, 64)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /services/oauth2/token", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"access_token":"t","instance_url":%q,"id":"%s/id/00D000000000001AAA/005000000000001AAA","token_type":"Bearer"}`, s.url, s.url)
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"username":"bench@example.com","preferred_username":"bench@example.com"}`))
	})
	mux.HandleFunc("PATCH /services/data/v64.0/composite/sobjects", s.update)
	mux.HandleFunc("POST /services/data/v64.0/composite", s.composite)
	srv := httptest.NewServer(mux)
	s.url = srv.URL
	t.Cleanup(srv.Close)
	return s
}

type update struct {
	ID string `json:"Id"`
	F3 string `json:"f3"`
}

// collection is the body of a request to update records.
type collection struct{ Records []update }

func (s *sink) update(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var body collection
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(s.agree(nil, body, at))
	s.count(len(body.Records))
}

// composite takes several collections at once.
func (s *sink) composite(w http.ResponseWriter, r *http.Request) {
	at := time.Now()
	var body struct {
		CompositeRequest []struct {
			ReferenceID string `json:"referenceId"`
			Body        collection
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	n := 0
	answer := []byte(`{"compositeResponse":[`)
	for i, part := range body.CompositeRequest {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = append(s.agree(append(answer, `{"body":`...), part.Body, at), `,"httpHeaders":{},"httpStatusCode":200,"referenceId":`...)
		answer = fmt.Appendf(answer, "%q}", part.ReferenceID)
		n += len(part.Body.Records)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(answer, "]}"...))
	s.count(n)
}

// agree appends the answer to a collection, and tells of the probe.
func (s *sink) agree(answer []byte, c collection, at time.Time) []byte {
	answer = append(answer, '[')
	for i, record := range c.Records {
		if i > 0 {
			answer = append(answer, ',')
		}
		answer = fmt.Appendf(answer, `{"id":%q,"success":true,"errors":[]}`, record.ID)
		if record.ID == probeID {
			s.probes <- arrival{record.F3, at}
		}
	}
	return append(answer, ']')
}

func (s *sink) count(records int) {
	s.calls.Add(1)
	n := s.rows.Add(int64(records))
	s.mu.Lock()
	if s.gone != nil && n >= s.want {
		close(s.gone)
		s.gone = nil
	}
	s.mu.Unlock()
}

// after returns a channel that is closed once n more rows have come.
func (s *sink) after(n int) <-chan struct{} {
	gone := make(chan struct{})
	s.mu.Lock()
	s.gone, s.want = gone, s.rows.Load()+int64(n)
	s.mu.Unlock()
	return gone
}
