package salesforce

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"
)

// Deadlines of single requests. A request that the org works on for 10 minutes
// holds one of its 25 places for long requests; 130 s covers the 2 minutes that a
// query may run.
const (
	restDeadline = 130 * time.Second
	authDeadline = 30 * time.Second
	bulkIdle     = 60 * time.Second // without a byte of a result
)

// autoAssign is the header that says whether an insert applies assignment rules.
const autoAssign = "Sforce-Auto-Assign"

// request is one HTTP request to the instance.
type request struct {
	op     string // for errors and logs; never a value
	method string
	path   string // escaped path and query, from the first slash
	body   []byte // JSON, unless header has another Content-Type
	header map[string]string
	write  bool // changes records: a lost answer leaves it in doubt
	stream bool // the body is CSV and is handed on unread
	bare   bool // a success has no body
	free   bool // needs no session and costs no call
}

// answer is a success.
type answer struct {
	req    request
	status int
	header http.Header
	body   []byte        // JSON; nil if there was none or it is a stream
	stream *resultReader // only for request.stream
}

// do sends r with the present session. When the org refuses the token, and only
// then, it gets another and sends r once more: a 401 says that nothing was done.
func (c *Client) do(ctx context.Context, r request) (*answer, error) {
	if together(ctx, r) {
		return c.doTogether(ctx, r)
	}
	if len(r.path) > maxPath && !r.stream && !r.write && r.method == http.MethodGet {
		return c.doLong(ctx, r)
	}
	return c.guarded(r, func() (*answer, error) { return c.doOne(ctx, r) })
}

// doOne is do for one request of its own.
func (c *Client) doOne(ctx context.Context, r request) (*answer, error) {
	s, err := c.Token(ctx, "")
	if err != nil {
		return nil, err
	}
	a, failure := c.send(ctx, s, r)
	if failure == nil {
		return a, nil
	}
	if !refreshable(failure) {
		return nil, failure
	}
	if s, err = c.Token(ctx, s.Token); err != nil {
		return nil, err
	}
	if a, failure = c.send(ctx, s, r); failure != nil {
		return nil, failure
	}
	return a, nil
}

// refreshable reports whether another token may help. With these two messages the
// org refuses the kind of session, not the token, and any new one as well.
func refreshable(e *Error) bool {
	return e.Status == http.StatusUnauthorized &&
		!strings.Contains(e.Message, "Connected app is not attached to Agent") &&
		!strings.Contains(e.Message, "This session is not valid for use with the REST API")
}

// send sends r once, to the session's instance and with its token.
func (c *Client) send(ctx context.Context, s Session, r request) (*answer, *Error) {
	start := time.Now()
	a, err := c.exchange(ctx, s, r)
	entry := c.log.Debug().Str("event", "call").Str("op", r.op).Dur("took_ms", time.Since(start))
	if err != nil {
		entry.Int("status", err.Status).Str("code", err.Code).Stringer("class", err.Class).Msg(r.op)
		return nil, err
	}
	entry.Int("status", a.status).Msg(r.op)
	return a, nil
}

func (c *Client) exchange(parent context.Context, s Session, r request) (*answer, *Error) {
	var unsent atomic.Bool // set only when we know that no byte left
	ctx := httptrace.WithClientTrace(withPin(parent, s.InstanceURL), &httptrace.ClientTrace{
		GetConn: func(string) { unsent.Store(true) },
		GotConn: func(httptrace.GotConnInfo) { unsent.Store(false) },
	})
	ctx, cancel := context.WithCancelCause(ctx)
	limit := restDeadline
	if d, ok := parent.Value(withinKey{}).(time.Duration); ok {
		limit = d
	}
	watch := time.AfterFunc(limit, func() { cancel(lateError{limit}) })

	req := c.prepare(ctx, r)
	if !r.free {
		req.SetAuthToken(s.Token)
		c.usage.calls.Add(1)
	}
	resp, err := req.Execute(r.method, s.InstanceURL+r.path)
	if err != nil {
		watch.Stop()
		cancel(nil)
		if unsent.Load() && parent.Err() == nil {
			c.doubtInstance(s) // the instance may have moved
		}
		return nil, c.lost(parent, ctx, r, err, !unsent.Load())
	}
	raw := resp.RawResponse
	c.clock.note(raw.Header)
	c.usage.note(raw.Header)
	if r.stream && raw.StatusCode == http.StatusOK {
		watch.Stop()
		return c.openStream(parent, ctx, cancel, r, raw)
	}
	defer cancel(nil)
	defer watch.Stop()
	defer func() { _ = raw.Body.Close() }()
	body, err := readCapped(raw.Body, c.cap)
	if err != nil {
		return nil, c.cut(parent, ctx, r, raw.StatusCode, err)
	}
	a, failure := c.judge(s, r, raw, body)
	if failure == nil && !r.free {
		c.trustInstance(s)
	}
	return a, failure
}

// prepare builds the request without its token.
func (c *Client) prepare(ctx context.Context, r request) *resty.Request {
	req := c.http.R().SetContext(ctx).SetDoNotParseResponse(true).
		SetHeader("User-Agent", "hcbridge").
		SetHeader("Accept", "application/json").
		SetHeader("Sforce-Call-Options", "client=hcbridge").
		// The default is TRUE, with which an insert reassigns the owners of leads
		// and cases. REST API Developer Guide, "Assignment Rule Header".
		SetHeader(autoAssign, "FALSE").
		SetHeaders(r.header)
	if r.body != nil {
		if r.header["Content-Type"] == "" {
			req.SetHeader("Content-Type", "application/json; charset=UTF-8")
		}
		req.SetBody(r.body)
	}
	return req
}

// judge sorts an answer whose body has arrived in full.
func (c *Client) judge(s Session, r request, raw *http.Response, body []byte) (*answer, *Error) {
	status := raw.StatusCode
	if status > http.StatusMultipleChoices && status < 400 {
		c.doubtInstance(s)
		return nil, c.redirected(r, raw)
	}
	if status == http.StatusNoContent || r.bare && status == http.StatusCreated {
		return &answer{req: r, status: status, header: raw.Header}, nil
	}
	if why := notJSON(raw.Header, body); why != "" {
		if status == http.StatusNotFound || status == statusNoRoute {
			c.doubtInstance(s) // what is not there the API says in JSON
		} else {
			c.doubtPages(s)
		}
		return nil, c.unreadable(r, status, why, body)
	}
	if status < 200 || status > 299 {
		failure := c.failed(r, status, body)
		if failure.Code == codeMoved {
			c.doubtInstance(s)
		}
		return nil, failure
	}
	return &answer{req: r, status: status, header: raw.Header, body: body}, nil
}

// redirected refuses to follow. The REST API redirects nothing, so this is an
// edge, a login page, or an org that has moved.
func (c *Client) redirected(r request, raw *http.Response) *Error {
	to := "nowhere"
	if u, err := raw.Location(); err == nil && hostname(strings.ToLower(u.Hostname())) {
		to = u.Hostname()
	}
	return &Error{
		Op: r.op, Status: raw.StatusCode, Class: Transient,
		InDoubt: r.write && !untouched(raw.StatusCode),
		Err:     fmt.Errorf("redirect to %s refused", to),
	}
}

type withinKey struct{}

// Within has each request that is made with the context answered within d, instead of
// 130 s. Waiting for a session does not count: whoever logs in does so for all.
func Within(ctx context.Context, d time.Duration) context.Context {
	return context.WithValue(ctx, withinKey{}, d)
}

// lateError is the cause of a request that took too long.
type lateError struct{ limit time.Duration }

func (e lateError) Error() string { return fmt.Sprintf("no answer in %s", e.limit) }

// Is makes errors.Is(err, context.DeadlineExceeded) hold.
func (lateError) Is(target error) bool { return target == context.DeadlineExceeded }

// lost is a request without an answer.
func (c *Client) lost(parent, ctx context.Context, r request, err error, sent bool) *Error {
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, new(forbidden)) {
		sent = false
	}
	e := &Error{Op: r.op, Class: Transient, InDoubt: r.write && sent, Err: c.cause(parent, ctx, err)}
	if errors.Is(err, errPinned) {
		e.Class, e.InDoubt = Permanent, false
	}
	return e
}

// cut is an answer that ended before its end.
func (c *Client) cut(parent, ctx context.Context, r request, status int, err error) *Error {
	e := &Error{
		Op: r.op, Status: status, Class: Transient, InDoubt: r.write && !untouched(status),
		Err: fmt.Errorf("answer cut: %w", c.cause(parent, ctx, err)),
	}
	if errors.Is(err, errTooBig) && !r.write {
		e.Code, e.Class = CodeTooBig, Permanent // the same question has the same answer
	}
	if status == http.StatusUnauthorized {
		e.Class = Auth
	}
	return e
}

// cause finds the reason behind a transport's error: the end of the caller's
// context, our deadline, or the error itself without the URL, whose query holds
// values.
func (c *Client) cause(parent, ctx context.Context, err error) error {
	if parent.Err() != nil {
		return parent.Err()
	}
	if late := (lateError{}); errors.As(context.Cause(ctx), &late) {
		return late
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if text := err.Error(); c.scrub(text) != text {
		return errors.New(c.scrub(text))
	}
	return err
}
