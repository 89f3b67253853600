package org

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"hcbridge/test/org/sobject"
)

// call is one authorized request to a resource of a version: a request of its
// own, or a subrequest of a composite one.
type call struct {
	s       *Server
	sess    *session
	version int
	method  string
	seg     []string // path behind /services/data/vNN.0
	query   url.Values
	header  http.Header
	body    []byte
	sub     bool      // inside a composite request
	locked  bool      // the caller of run holds s.writing
	org     committer // the org, or a rehearsal
	store   sobject.Store
}

// committer is where the transactions of a call go.
type committer interface {
	Commit(origin sobject.Origin, allOrNone bool, ops []sobject.Op) []sobject.Result
}

func newCall(s *Server, r *http.Request, sess *session, version int, seg []string) (*call, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read body: %w", err)
	}
	return &call{
		s: s, sess: sess, version: version, method: r.Method, seg: seg,
		query: r.URL.Query(), header: r.Header, body: body,
		org: s.org, store: s.sees(sess.user.ID, s.store),
	}, nil
}

// base is the path of the version: "/services/data/v66.0".
func (c *call) base() string { return fmt.Sprintf("/services/data/v%d.0", c.version) }

// run passes the call to its resource.
func (c *call) run() answer {
	name := ""
	if len(c.seg) > 0 {
		name = c.seg[0]
	}
	switch name {
	case "":
		return c.only(c.resources, http.MethodGet)
	case "sobjects":
		return c.sobjects(c.seg[1:])
	case "query", "queryAll":
		return c.only(func() answer { return c.queryResource(c.seg[1:], name == "queryAll") }, http.MethodGet)
	case "tooling":
		return c.tooling(c.seg[1:])
	case "limits":
		return c.only(func() answer { return c.limits(c.seg[1:]) }, http.MethodGet)
	case "composite":
		return c.composite(c.seg[1:])
	}
	return notFound()
}

// only runs fn if the method is an allowed one. HEAD is GET without a body.
func (c *call) only(fn func() answer, allowed ...string) answer {
	for _, m := range allowed {
		if c.method == m || m == http.MethodGet && c.method == http.MethodHead {
			return fn()
		}
	}
	if len(allowed) == 1 && allowed[0] == http.MethodGet {
		allowed = append(allowed, http.MethodHead)
	}
	return notAllowed(c.method, allowed...)
}

// decode reads the JSON body into v, keeping the digits of numbers.
func (c *call) decode(v any) *sobject.Error {
	if len(bytes.TrimSpace(c.body)) == 0 {
		return parseError("The HTTP entity body is required, but this request has no entity body.")
	}
	d := json.NewDecoder(bytes.NewReader(c.body))
	d.UseNumber()
	err := d.Decode(v)
	if err == nil {
		return nil
	}
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		line, column := position(c.body, syntax.Offset)
		char := byte(0)
		if i := int(syntax.Offset) - 1; i >= 0 && i < len(c.body) {
			char = c.body[i]
		}
		return parseError(fmt.Sprintf("Unexpected character ('%c' (code %d)): expected a valid value at [line:%d, column:%d]", char, char, line, column))
	case errors.As(err, &kind):
		line, column := position(c.body, kind.Offset)
		return parseError(fmt.Sprintf("Cannot deserialize instance of %s from VALUE_%s value at [line:%d, column:%d]",
			kind.Type, strings.ToUpper(kind.Value), line, column))
	}
	line, column := position(c.body, int64(len(c.body)))
	return parseError(fmt.Sprintf("Unexpected end-of-input at [line:%d, column:%d]", line, column+1))
}

func parseError(message string) *sobject.Error {
	return &sobject.Error{Status: http.StatusBadRequest, Code: "JSON_PARSER_ERROR", Message: message}
}

func position(body []byte, offset int64) (line, column int) {
	read := body[:min(int(offset), len(body))]
	line = 1 + bytes.Count(read, []byte("\n"))
	return line, len(read) - bytes.LastIndexByte(read, '\n') - 1
}

// object returns an object that the caller can see, or nil.
func (c *call) object(name string) *sobject.Object {
	ob := c.store.Object(name)
	if ob == nil || c.s.denies(ob.Name) {
		return nil
	}
	return ob
}

// visible reports whether the caller's field-level security shows a field.
func (c *call) visible(ob *sobject.Object, f *sobject.Field) bool {
	return !c.s.hides(c.sess.user.ID, ob, f)
}

// origin says who writes; the client name is that of Sforce-Call-Options,
// whose parts may be joined by "," or ";".
func (c *call) origin() sobject.Origin {
	o := sobject.Origin{UserID: c.sess.user.ID, API: "rest"}
	for part := range strings.FieldsFuncSeq(c.header.Get("Sforce-Call-Options"), func(r rune) bool { return r == ',' || r == ';' }) {
		if name, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && strings.EqualFold(name, "client") {
			o.Client = value
		}
	}
	return o
}

// sessionKey carries the session to the Bulk API handler.
type sessionKey struct{}

func withSession(ctx context.Context, sess *session) context.Context {
	return context.WithValue(ctx, sessionKey{}, sess)
}

func sessionOf(ctx context.Context) *session {
	sess, _ := ctx.Value(sessionKey{}).(*session)
	return sess
}
