package org

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"hcbridge/test/org/sobject"
)

// answer is what an endpoint says. It is a value, so that the composite
// resources can run other endpoints and embed what they say.
type answer struct {
	status int
	header http.Header
	body   any    // JSON; nil is no body
	text   string // plain text, used when body is nil
}

// member is one name and value of an [object].
type member struct {
	name  string
	value any
}

// object is a JSON object whose members keep their order.
type object []member

// MarshalJSON writes the members in order.
func (o object) MarshalJSON() ([]byte, error) { return appendJSON(nil, o) }

// get returns a member's value, nil if there is none.
func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// appendJSON appends the JSON form of v. It is json.Marshal without the
// escapes for HTML, which Salesforce does not make either, and without a
// second pass over nested objects: an answer may hold 2,000 records.
func appendJSON(b []byte, v any) ([]byte, error) {
	var err error
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int:
		return strconv.AppendInt(b, int64(v), 10), nil
	case string:
		return sobject.AppendText(b, v), nil
	case json.Number:
		return append(b, v...), nil
	case json.RawMessage:
		return append(b, v...), nil
	case object:
		b = append(b, '{')
		for i, m := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendQuote(b, m.name) // names are identifiers
			b = append(b, ':')
			if b, err = appendJSON(b, m.value); err != nil {
				return nil, fmt.Errorf("encode %s: %w", m.name, err)
			}
		}
		return append(b, '}'), nil
	case []object:
		return appendList(b, v)
	case []any:
		return appendList(b, v)
	case []json.RawMessage:
		return appendList(b, v)
	}
	return appendOther(b, v)
}

func appendList[T any](b []byte, list []T) ([]byte, error) {
	var err error
	b = append(b, '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = appendJSON(b, v); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func appendOther(b []byte, v any) ([]byte, error) {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return append(b, bytes.TrimSuffix(out.Bytes(), []byte("\n"))...), nil
}

func ok(body any) answer { return answer{status: http.StatusOK, body: body} }

func noContent() answer { return answer{status: http.StatusNoContent} }

// fail is a REST error: an array of one object, without a fields member.
func fail(status int, code, message string) answer {
	return failed(&sobject.Error{Status: status, Code: code, Message: message})
}

// failed is a REST error with the status of its first error.
// (REST API Developer Guide, "Status Codes and Error Responses".)
func failed(errs ...*sobject.Error) answer {
	list := make([]object, len(errs))
	for i, e := range errs {
		list[i] = object{{"message", e.Message}, {"errorCode", e.Code}}
		if e.Fields != nil {
			list[i] = append(list[i], member{"fields", e.Fields})
		}
	}
	status := errs[0].Status
	if status == 0 {
		status = http.StatusBadRequest
	}
	return answer{status: status, body: list}
}

func notFound() answer {
	return fail(http.StatusNotFound, "NOT_FOUND", "The requested resource does not exist")
}

func notAllowed(method string, allowed ...string) answer {
	a := fail(http.StatusMethodNotAllowed, "METHOD_NOT_ALLOWED",
		fmt.Sprintf("HTTP Method '%s' not allowed. Allowed are %s", method, strings.Join(allowed, ",")))
	a.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return a
}

// cookie is what every answer of the edge carries; its domain keeps clients of
// a loopback org from storing it.
const cookie = "BrowserId=tT0aVvQGEeyCWRMYlXnQdw; domain=.salesforce.com; path=/; expires=Thu, 31-Dec-2099 23:59:59 GMT; Max-Age=31536000"

// write sends a. Headers are those of recorded traffic; Vary is absent on
// errors and on empty answers, as there.
func (a answer) write(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-cache,must-revalidate,max-age=0,no-store,private")
	h.Add("Set-Cookie", cookie)
	h.Set("Strict-Transport-Security", "max-age=63072000; includeSubDomains")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-XSS-Protection", "1; mode=block")
	h.Set("X-Robots-Tag", "none")
	var body []byte
	switch {
	case a.body != nil:
		var err error
		if body, err = appendJSON(nil, a.body); err != nil {
			panic(fmt.Sprintf("org: encode answer: %v", err))
		}
		if r.Header.Get("X-PrettyPrint") == "1" {
			var b bytes.Buffer
			if json.Indent(&b, body, "", "  ") == nil {
				body = b.Bytes()
			}
		}
		h.Set("Content-Type", "application/json;charset=UTF-8")
	case a.text != "":
		body = []byte(a.text)
		h.Set("Content-Type", "text/html;charset=UTF-8")
	}
	for name, values := range a.header {
		h[name] = values
	}
	if len(body) > 0 && a.status < 300 {
		h.Set("Vary", "Accept-Encoding")
		if acceptsGzip(r) && len(body) > 512 {
			var b bytes.Buffer
			z := gzip.NewWriter(&b)
			_, _ = z.Write(body) // a bytes.Buffer takes every write
			_ = z.Close()
			body = b.Bytes()
			h.Set("Content-Encoding", "gzip")
		}
	}
	if a.status != http.StatusNoContent {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

func acceptsGzip(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
}
