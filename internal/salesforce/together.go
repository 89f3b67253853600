package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What one composite request may hold, and how long its first read waits for
// others to join.
//
// REST API Developer Guide, "Composite".
const (
	maxTogether = 25
	maxHeavy    = 5 // query, queryAll and collections among them
	gatherFor   = 100 * time.Millisecond

	// maxPath keeps URI and headers together under 16,384 bytes ("Status Codes and
	// Error Responses").
	maxPath = 14_000
)

type togetherKey struct{}

// Together returns a context in which reads travel together: those that begin
// within a tenth of a second of each other, whoever makes them, are one call to
// the org. Each still succeeds or fails alone, except that a call which fails
// as a whole fails all of them.
//
// Queries, [Client.Retrieve] and what else is read by GET do so. It is for reads
// that can wait, in goroutines of their own. The org works on them one after the
// other, so a slow one delays the rest.
func Together(ctx context.Context) context.Context {
	return context.WithValue(ctx, togetherKey{}, true)
}

// together reports whether r is a read that may travel with others.
func together(ctx context.Context, r request) bool {
	on, _ := ctx.Value(togetherKey{}).(bool)
	return on && !r.free && !r.stream && !r.write && (r.method == http.MethodGet || strings.Contains(r.path, collections+"/"))
}

// packer gathers reads. The first one to arrive leads: it waits for others and
// then makes the call for all.
type packer struct {
	wait time.Duration // gatherFor but in tests

	mu       sync.Mutex
	full     chan struct{} // names the gathering that is open, nil if none is; closed when no more may join
	heavy    int           // of those in it
	gathered map[chan struct{}][]*passenger
}

type passenger struct {
	r    request
	done chan struct{}
	a    *answer
	err  *Error
	left bool // the leader went away, or the org takes no such call; ask alone

	whole bool // err is of the call as a whole
}

func isHeavy(r request) bool {
	return strings.Contains(r.path, "/query") || strings.Contains(r.path, collections)
}

// join adds r to the reads that are gathering, or begins a gathering that the
// caller must lead.
func (p *packer) join(r request) (me *passenger, lead bool, full chan struct{}) {
	me = &passenger{r: r, done: make(chan struct{})}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.full != nil && (len(p.gathered[p.full]) == maxTogether || isHeavy(r) && p.heavy == maxHeavy) {
		close(p.full) // off they go; the next ones gather anew
		p.full = nil
	}
	if p.full == nil {
		lead = true
		p.full, p.heavy = make(chan struct{}), 0
	}
	if p.gathered == nil {
		p.gathered = map[chan struct{}][]*passenger{}
	}
	p.gathered[p.full] = append(p.gathered[p.full], me)
	if isHeavy(r) {
		p.heavy++
	}
	return me, lead, p.full
}

// doTogether makes r part of one call.
func (c *Client) doTogether(ctx context.Context, r request) (*answer, error) {
	me, lead, full := c.packer.join(r)
	if lead {
		c.lead(ctx, full)
	}
	select {
	case <-me.done:
	case <-ctx.Done():
		return nil, &Error{Op: r.op, Class: Transient, Err: ctx.Err()}
	}
	switch {
	case me.left:
		return c.do(context.WithValue(ctx, togetherKey{}, false), r)
	case me.err != nil:
		return nil, me.err
	}
	return me.a, nil
}

// doLong sends a read whose URL is too long for the org's servers in the body of
// a composite request.
func (c *Client) doLong(ctx context.Context, r request) (*answer, error) {
	p := &passenger{r: r}
	c.composite(ctx, []*passenger{p})
	switch {
	case p.left: // no way around it then
		return nil, invalid(r.op, "%d bytes of URL, and the org takes no composite request", len(r.path))
	case p.err != nil:
		return nil, p.err
	}
	return p.a, nil
}

// lead waits for others and makes the call for all that have come.
func (c *Client) lead(ctx context.Context, full chan struct{}) {
	timer := time.NewTimer(c.packer.wait)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-full:
	case <-ctx.Done():
	}
	all := c.packer.depart(full)
	defer func() {
		for _, p := range all {
			close(p.done)
		}
	}()
	if len(all) == 1 || ctx.Err() != nil {
		for _, p := range all {
			p.left = true
		}
		return
	}
	c.composite(ctx, all)
}

// depart ends the gathering of a leader.
func (p *packer) depart(full chan struct{}) []*passenger {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.gathered[full]
	delete(p.gathered, full)
	if p.full == full {
		p.full = nil
	}
	return all
}

// composite carries out reads, or writes, as one request and hands out their
// answers. Writes stay in their order only as far as the org likes.
func (c *Client) composite(ctx context.Context, all []*passenger) {
	type sub struct {
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Ref     string            `json:"referenceId"`
		Headers map[string]string `json:"httpHeaders,omitempty"`
		Body    json.RawMessage   `json:"body,omitempty"`
	}
	write := all[0].r.write
	subs := make([]sub, len(all))
	for i, p := range all {
		subs[i] = sub{Method: p.r.method, URL: p.r.path, Ref: "r" + strconv.Itoa(i), Headers: p.r.header, Body: p.r.body}
		if write {
			subs[i].Headers = map[string]string{autoAssign: "FALSE"}
		}
	}
	fail := func(err error) {
		failure, ok := err.(*Error) //nolint:errorlint // do returns nothing else
		for _, p := range all {
			// What refuses the packing does not refuse each read.
			refused := !ok || failure.Class == Permanent && !failure.InDoubt
			if p.left = refused || ctx.Err() != nil && !write; !p.left {
				e := *failure
				e.Op = p.r.op
				p.err, p.whole = &e, true
			}
		}
	}
	const op = "composite"
	body, err := encode(op, map[string]any{"allOrNone": false, "compositeRequest": subs})
	if err != nil {
		fail(err)
		return
	}
	var out struct {
		Response []struct {
			Body   json.RawMessage `json:"body"`
			Status int             `json:"httpStatusCode"`
			Ref    string          `json:"referenceId"`
		} `json:"compositeResponse"`
	}
	a, err := c.call(ctx, request{op: op, method: http.MethodPost, path: c.base() + "/composite", body: body, write: write}, &out)
	if err != nil {
		fail(err)
		return
	}
	byRef := map[string]int{}
	for i, r := range out.Response {
		byRef[r.Ref] = i
	}
	for i, p := range all {
		at, ok := byRef["r"+strconv.Itoa(i)]
		if !ok {
			p.err = c.unreadable(p.r, a.status, "no answer in the composite", nil)
			continue
		}
		switch r := out.Response[at]; {
		case r.Status == http.StatusNoContent:
			p.a = &answer{req: p.r, status: r.Status, header: a.header}
		case r.Status < 200 || r.Status > 299:
			p.err = c.failed(p.r, r.Status, r.Body)
		default:
			p.a = &answer{req: p.r, status: r.Status, header: a.header, body: r.Body}
		}
	}
}
