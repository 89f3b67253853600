// Package control is the simulated org's remote control over HTTP: what a
// person with curl, or a test in another language, does to it from outside.
// GET on [Path] lists it all with examples.
package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/org/truth"
)

// Path is where the control belongs on the org's server.
const Path = "/_org/"

// control serves what a person, or a test in another language, does to the org
// from outside: other people's edits, faults, and a look at the counters.
type control struct {
	s     *org.Server
	truth func() *truth.Log // listens from the first call on
	mux   *http.ServeMux
}

// New returns the control of s, to be mounted at [Path].
func New(s *org.Server) http.Handler {
	c := &control{s: s, truth: sync.OnceValue(func() *truth.Log { return truth.Listen(s) }), mux: http.NewServeMux()}
	for pattern, fn := range map[string]func(*http.Request) (any, error){
		"POST /_org/records/{object}":        c.insert,
		"GET /_org/records/{object}/{id}":    c.get,
		"PATCH /_org/records/{object}/{id}":  c.update,
		"DELETE /_org/records/{object}/{id}": c.remove,
		"POST /_org/undelete/{object}/{id}":  c.undelete,
		"POST /_org/purge/{object}/{id}":     c.purge,
		"GET /_org/faults":                   c.faults,
		"POST /_org/faults":                  c.fault,
		"DELETE /_org/faults":                c.do(s.ClearFaults),
		"POST /_org/forget":                  c.do(s.Forget),
		"POST /_org/expire-replay":           c.do(s.ExpireReplay),
		"POST /_org/expire-locators":         c.do(s.ExpireLocators),
		"POST /_org/revoke-tokens":           c.do(s.RevokeTokens),
		"POST /_org/deny-pushtopics":         c.toggle(s.DenyPushTopics),
		"POST /_org/mute":                    c.toggle(s.Mute),
		"POST /_org/daily-limit":             c.number(s.DailyLimit),
		"POST /_org/topic-limit":             c.number(s.TopicLimit),
		"POST /_org/hide-field":              c.hide,
		"POST /_org/cdc/select":              c.selectEntities,
		"POST /_org/cdc/gap":                 c.gapEvents,
		"POST /_org/cdc/convert":             c.convert,
		"POST /_org/cdc/overflow-above":      c.number(s.OverflowAbove),
		"POST /_org/add-field":               c.addField,
		"POST /_org/remove-field":            c.removeField,
		"POST /_org/change-field":            c.changeField,
		"POST /_org/deny-object":             c.denyObject,
		"POST /_org/hide-record":             c.hideRecord,
		"POST /_org/merge/{object}/{id}":     c.merge,
		"GET /_org/state":                    c.state,
		"GET /_org/requests":                 c.requests,
		"GET /_org/truth":                    c.whole,
	} {
		c.mux.HandleFunc(pattern, answer(fn))
	}
	c.mux.HandleFunc("GET /_org/{$}", c.help)
	c.mux.HandleFunc("GET /_org", c.help)
	return c.mux
}

// errRequest is a body that cannot be understood.
var errRequest = errors.New("request not understood")

func answer(fn func(*http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		status := http.StatusOK
		body, err := fn(r)
		var refused *sobject.Error
		switch {
		case errors.As(err, &refused):
			status = refused.Status
			body = map[string]any{"error": refused.Message, "code": refused.Code, "fields": refused.Fields}
		case err != nil:
			status = http.StatusBadRequest
			body = map[string]any{"error": err.Error()}
		}
		w.Header().Set("Content-Type", "application/json;charset=UTF-8")
		w.WriteHeader(status)
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(body) // a client that has gone needs no answer
	}
}

// read decodes a JSON body; an empty one leaves v as it is.
func read(r *http.Request, v any) error {
	d := json.NewDecoder(io.LimitReader(r.Body, 16<<20))
	d.UseNumber()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: %w", errRequest, err)
	}
	return nil
}

type done struct {
	OK bool `json:"ok"`
}

func (c *control) do(fn func()) func(*http.Request) (any, error) {
	return func(*http.Request) (any, error) {
		fn()
		return done{true}, nil
	}
}

// toggle reads {"on": false}; without a body it turns on.
func (c *control) toggle(fn func(bool)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		body := struct{ On bool }{true}
		if err := read(r, &body); err != nil {
			return nil, err
		}
		fn(body.On)
		return map[string]bool{"on": body.On}, nil
	}
}

// number reads {"limit": 100}.
func (c *control) number(fn func(int)) func(*http.Request) (any, error) {
	return func(r *http.Request) (any, error) {
		body := struct{ Limit *int }{}
		if err := read(r, &body); err != nil {
			return nil, err
		}
		if body.Limit == nil {
			return nil, fmt.Errorf("%w: want {\"limit\": 100}", errRequest)
		}
		fn(*body.Limit)
		return map[string]int{"limit": *body.Limit}, nil
	}
}

func (c *control) insert(r *http.Request) (any, error) {
	var fields map[string]any
	if err := read(r, &fields); err != nil {
		return nil, err
	}
	id, err := c.s.Insert(r.PathValue("object"), fields)
	return map[string]string{"id": id}, err
}

func (c *control) update(r *http.Request) (any, error) {
	var fields map[string]any
	if err := read(r, &fields); err != nil {
		return nil, err
	}
	return done{true}, c.s.Update(r.PathValue("object"), r.PathValue("id"), fields)
}

func (c *control) remove(r *http.Request) (any, error) {
	return done{true}, c.s.Delete(r.PathValue("object"), r.PathValue("id"))
}

func (c *control) undelete(r *http.Request) (any, error) {
	return done{true}, c.s.Undelete(r.PathValue("object"), r.PathValue("id"))
}

func (c *control) purge(r *http.Request) (any, error) {
	return done{true}, c.s.Purge(r.PathValue("object"), r.PathValue("id"))
}

func (c *control) get(r *http.Request) (any, error) {
	ob := c.s.Object(r.PathValue("object"))
	if ob == nil {
		return nil, sobject.ErrNotFound()
	}
	rec, found := c.s.Get(ob.Name, r.PathValue("id"))
	if !found {
		return nil, sobject.ErrNotFound()
	}
	out := map[string]any{}
	for i, f := range ob.Fields {
		out[f.Name] = f.JSON(rec.At(ob, i))
	}
	return out, nil
}

// fault reads an [org.Fault] whose delay is a Go duration ("2s").
func (c *control) fault(r *http.Request) (any, error) {
	var body struct {
		org.Fault
		Delay string `json:"delay"`
	}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if body.Delay != "" {
		d, err := time.ParseDuration(body.Delay)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errRequest, err)
		}
		body.Fault.Delay = d
	}
	if _, err := c.s.TryFault(body.Fault); err != nil {
		return nil, fmt.Errorf("%w: %w", errRequest, err)
	}
	return done{true}, nil
}

func (c *control) faults(*http.Request) (any, error) {
	type entry struct {
		org.Fault
		Delay string `json:"delay,omitempty"`
		Hits  int    `json:"hits"`
	}
	list := []entry{}
	for _, f := range c.s.Faults() {
		e := entry{Fault: f.Rule(), Hits: f.Hits()}
		if e.Fault.Delay > 0 {
			e.Delay = e.Fault.Delay.String()
		}
		list = append(list, e)
	}
	return list, nil
}

// hide reads {"object": "Account", "field": "Phone", "on": true}.
func (c *control) hide(r *http.Request) (any, error) {
	body := struct {
		Object, Field string
		On            bool
	}{On: true}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if ob := c.s.Object(body.Object); ob == nil || ob.Field(body.Field) == nil {
		return nil, fmt.Errorf("%w: no field %s.%s", errRequest, body.Object, body.Field)
	}
	if body.On {
		c.s.HideField(body.Object, body.Field)
	} else {
		c.s.ShowField(body.Object, body.Field)
	}
	return done{true}, nil
}

// hideRecord reads {"object": "Contact", "id": "003...", "on": true}.
func (c *control) hideRecord(r *http.Request) (any, error) {
	body := struct {
		Object, ID string
		On         bool
	}{On: true}
	if err := read(r, &body); err != nil {
		return nil, err
	}
	if body.On {
		c.s.HideRecord(body.Object, body.ID)
	} else {
		c.s.ShowRecord(body.Object, body.ID)
	}
	return done{true}, nil
}

// merge reads {"losers": ["001..."]} and merges them into the record.
func (c *control) merge(r *http.Request) (any, error) {
	var body struct{ Losers []string }
	if err := read(r, &body); err != nil {
		return nil, err
	}
	return done{true}, c.s.As(org.DefaultOther).Merge(r.PathValue("object"), r.PathValue("id"), body.Losers...)
}

func (c *control) state(*http.Request) (any, error) {
	used, limit := c.s.Usage()
	counts := map[string]int{}
	for _, ob := range c.s.Org().Store().Objects() {
		if n := c.s.Org().Store().Len(ob.Name); n > 0 {
			counts[ob.Name] = n
		}
	}
	stream := c.s.Stream()
	faults, err := c.faults(nil)
	return map[string]any{
		"url":     c.s.URL(),
		"org_id":  c.s.ID(),
		"records": counts,
		"calls":   c.s.Calls(),
		"writes":  c.s.WritesBy(),
		"api":     map[string]int{"used": used, "limit": limit},
		"stream": map[string]int{
			"clients": stream.Clients(), "parked": stream.Parked(),
			"handshakes": stream.Handshakes(), "delivered": stream.Delivered(),
		},
		"faults": faults,
	}, err
}

// requests lists the newest requests without their bodies.
func (c *control) requests(*http.Request) (any, error) {
	type entry struct {
		At     time.Time `json:"at"`
		Kind   string    `json:"kind"`
		Method string    `json:"method"`
		Path   string    `json:"path"`
		Status int       `json:"status"`
		Fault  org.Verb  `json:"fault,omitempty"`
		TookMS int64     `json:"took_ms"`
	}
	list := []entry{}
	for _, r := range c.s.Requests() {
		list = append(list, entry{r.At, r.Kind, r.Method, r.Path, r.Status, r.Fault, r.Took.Milliseconds()})
	}
	return list, nil
}

// whole answers the records of ?objects=Account,Contact and all that happened since
// it was asked for the first time.
func (c *control) whole(r *http.Request) (any, error) {
	return c.truth().Snapshot(strings.Split(r.URL.Query().Get("objects"), ",")), nil
}

func (c *control) help(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, strings.ReplaceAll(Help, "URL", "http://"+r.Host)) // a client that has gone needs no answer
}
