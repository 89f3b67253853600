package salesforce

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
)

// Caps on bodies, counted after decompression: a few hundred KiB of gzip unpack
// to hundreds of MiB. The largest honest answers are 2,000 records read back.
const (
	maxBody = 64 << 20
	maxAuth = 1 << 20

	// maxDepth bounds nesting; an honest answer has about ten levels.
	maxDepth = 64
)

var errTooBig = errors.New("answer too big")

// readCapped reads to the end, or fails: a body that is cut or over limit is
// never returned in part.
func readCapped(r io.Reader, limit int64) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(body)) > limit {
		return nil, fmt.Errorf("%w: over %d bytes", errTooBig, limit)
	}
	return body, nil
}

// notJSON says why an answer cannot be JSON, "" if it can. Salesforce's edge
// answers with HTML pages, some with status 200; they never reach the decoder.
func notJSON(h http.Header, body []byte) string {
	if ct := h.Get("Content-Type"); ct != "" {
		media, _, err := mime.ParseMediaType(ct)
		if err != nil || media != "application/json" && !strings.HasSuffix(media, "+json") {
			return "not JSON but " + plain(media)
		}
	}
	trimmed := bytes.TrimLeft(body, " \t\r\n")
	switch {
	case len(trimmed) == 0:
		return "empty"
	case trimmed[0] != '{' && trimmed[0] != '[':
		return "not JSON"
	case tooDeep(trimmed):
		return "nested too deep"
	default:
		return ""
	}
}

// plain keeps of a header's value what is safe to repeat.
func plain(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("/+-.", r) {
			return r
		}
		return -1
	}, s)
	return s[:min(len(s), 40)]
}

// tooDeep counts brackets outside strings. It runs before the decoder, whose
// recursion would otherwise be as deep as a stranger likes.
func tooDeep(body []byte) bool {
	depth, quoted := 0, false
	for i := 0; i < len(body); i++ {
		switch b := body[i]; {
		case quoted && b == '\\':
			i++
		case b == '"':
			quoted = !quoted
		case quoted:
		case b == '{' || b == '[':
			if depth++; depth > maxDepth {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

// unreadable is an answer that is not what the API sends. Its body is named by
// length and hash only: it may hold anything.
func (c *Client) unreadable(r request, status int, why string, body []byte) *Error {
	e := &Error{
		Op: r.op, Status: status, Class: Transient, InDoubt: r.write && !untouched(status),
		Err: fmt.Errorf("answer unreadable: %s (%d bytes, sha256 %x)", why, len(body), sha256.Sum256(body)),
	}
	switch {
	case status == http.StatusUnauthorized:
		e.Class = Auth
	case status == http.StatusTooManyRequests:
		e.Class, e.Brief = Limit, true
	case tooLarge(status):
		e.Class = Permanent
	}
	return e
}

// decode reads a successful answer into v, which keeps numbers as they were written
// only where it says so by its types. What does not fit is unreadable, and a write so
// answered is in doubt.
func (c *Client) decode(a *answer, v any) *Error {
	if a.body == nil {
		return c.unreadable(a.req, a.status, "empty", nil)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return c.unreadable(a.req, a.status, "not the JSON expected", a.body)
	}
	return nil
}

// mismatch is a well-formed answer to something else.
func (c *Client) mismatch(a *answer, why string) *Error {
	return c.unreadable(a.req, a.status, why, a.body)
}

// call is do and decode in one.
func (c *Client) call(ctx context.Context, r request, v any) (*answer, error) {
	a, err := c.do(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := c.decode(a, v); err != nil {
		return nil, err
	}
	return a, nil
}
