package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// fields are what is mapped; with Id and SystemModstamp they make an event of
// about 500 bytes.
const fields = "Id,SystemModstamp,FirstName,LastName,Email,Phone,Title,Department,Birthdate,DoNotCall"

const topic = "/topic/hc_Contact"

// feed is a server of one channel that speaks as much of long-polling as a
// client needs. Events are rendered before they are wanted.
type feed struct {
	limit int // events an answer has at most

	mu         sync.Mutex
	events     [][]byte // rendered, waiting
	more       chan struct{}
	subscribed chan struct{}
	once       sync.Once
}

func newFeed(limit int) *feed {
	return &feed{limit: limit, more: make(chan struct{}, 1), subscribed: make(chan struct{})}
}

// await waits for the subscription.
func (f *feed) await(t *testing.T) {
	t.Helper()
	select {
	case <-f.subscribed:
	case <-time.After(30 * time.Second):
		t.Fatal("nobody subscribes")
	}
}

// push makes events available, in order.
func (f *feed) push(events ...[]byte) {
	f.mu.Lock()
	f.events = append(f.events, events...)
	f.mu.Unlock()
	select {
	case f.more <- struct{}{}:
	default:
	}
}

func (f *feed) take() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := min(len(f.events), f.limit)
	out := f.events[:n:n]
	f.events = f.events[n:]
	return out
}

// event renders the i-th change: of record n, stamped second seconds after the
// epoch of the bench.
func event(i, n int, at time.Time) []byte {
	stamp := epoch.Add(time.Duration(i) * time.Second).Format("2006-01-02T15:04:05.000Z")
	return fmt.Appendf(nil, `{"data":{"event":{"createdDate":%q,"replayId":%d,"type":"updated"},"sobject":{"Id":%q,"SystemModstamp":%q,`+
		`"FirstName":"First %d","LastName":"Last name of %d","Email":"somebody.%d@example.com","Phone":"+49 30 %07d","Title":"Head of change number %d",`+
		`"Department":"Department of the %d streets","Birthdate":"1980-02-03","DoNotCall":%t,"IsDeleted":false}},"channel":%q}`,
		at.UTC().Format("2006-01-02T15:04:05.000000000Z"), i+1, sfid(n), stamp, i, n, i, i%10_000_000, i, i%97, i%2 == 0, topic)
}

var epoch = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// sfid is an id of 18 characters; n in capitals would need other last three.
func sfid(n int) string { return fmt.Sprintf("003%012dAAA", n) }

func (f *feed) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var messages []struct{ Channel, ID, Subscription string }
	if err := json.NewDecoder(r.Body).Decode(&messages); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	answer := []byte{'['}
	for i, m := range messages {
		if i > 0 {
			answer = append(answer, ',')
		}
		switch m.Channel {
		case "/meta/handshake":
			answer = fmt.Appendf(answer, `{"channel":%q,"id":%q,"clientId":"c1","successful":true,"version":"1.0","supportedConnectionTypes":["long-polling"],`+
				`"ext":{"replay":true},"advice":{"reconnect":"retry","timeout":110000,"interval":0}}`, m.Channel, m.ID)
		case "/meta/connect":
			for _, e := range f.wait(r.Context()) {
				answer = append(append(answer, e...), ',')
			}
			answer = fmt.Appendf(answer, `{"channel":%q,"id":%q,"clientId":"c1","successful":true}`, m.Channel, m.ID)
		default:
			answer = fmt.Appendf(answer, `{"channel":%q,"id":%q,"clientId":"c1","successful":true,"subscription":%q}`, m.Channel, m.ID, m.Subscription)
			if m.Subscription == topic {
				f.once.Do(func() { close(f.subscribed) })
			}
		}
	}
	_, _ = w.Write(append(answer, ']'))
}

// wait holds a poll until there are events, but not for ever.
func (f *feed) wait(ctx context.Context) [][]byte {
	timer := time.NewTimer(20 * time.Second)
	defer timer.Stop()
	for {
		if events := f.take(); len(events) > 0 {
			return events
		}
		select {
		case <-f.more:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return nil
		}
	}
}

// poll asks a feed once and returns its answer and when each event was made.
func poll(ctx context.Context, url string) (body []byte, sent []time.Time, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`[{"channel":"/meta/connect","id":"1","clientId":"c1"}]`))
	if err != nil {
		return nil, nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	if body, err = io.ReadAll(resp.Body); err != nil {
		return nil, nil, err
	}
	for rest := body; ; {
		_, after, ok := bytes.Cut(rest, []byte(`"createdDate":"`))
		if !ok {
			return body, sent, nil
		}
		text, after, _ := bytes.Cut(after, []byte(`"`))
		at, err := time.Parse(time.RFC3339Nano, string(text))
		if err != nil {
			return nil, nil, err
		}
		sent, rest = append(sent, at), after
	}
}

func splitLines(b []byte) []string { return strings.Split(string(b), "\n") }
