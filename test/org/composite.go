package org

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"hcbridge/test/org/sobject"
)

// What one composite request may hold. (REST API Developer Guide, "Composite".)
const (
	maxSubrequests = 25
	maxHeavy       = 5 // query, queryAll and collections among them
)

// composite passes a call below /composite to its resource.
func (c *call) composite(seg []string) answer {
	switch {
	case len(seg) == 0:
		switch {
		case c.sub:
			return fail(http.StatusBadRequest, "INVALID_INPUT", "composite requests cannot be nested")
		case c.method == http.MethodGet:
			return ok(object{{"batch", c.base() + "/composite/batch"}, {"sobjects", c.base() + "/composite/sobjects"}})
		}
		return c.only(c.runComposite, http.MethodPost)
	case seg[0] == "sobjects":
		return c.collections(seg[1:])
	case seg[0] == "batch" && len(seg) == 1 && !c.sub:
		return c.only(c.runBatch, http.MethodPost)
	}
	return notFound()
}

// subrequest is one element of a composite request.
type subrequest struct {
	Method      string            `json:"method"`
	URL         string            `json:"url"`
	ReferenceID string            `json:"referenceId"`
	Body        json.RawMessage   `json:"body"`
	HTTPHeaders map[string]string `json:"httpHeaders"`
}

// subresult is what a subrequest led to.
type subresult struct {
	ref string
	answer
}

func (r subresult) json() object {
	headers := object{}
	if location := r.header.Get("Location"); location != "" {
		headers = append(headers, member{"Location", location})
	}
	return object{{"body", r.body}, {"httpHeaders", headers}, {"httpStatusCode", r.status}, {"referenceId", r.ref}}
}

var referenceForm = regexp.MustCompile(`^[A-Za-z0-9_]+$`)

// runComposite serves POST /composite: subrequests in order, each able to use
// what an earlier one answered. It is one call, and always answers 200.
func (c *call) runComposite() answer {
	var req struct {
		AllOrNone        bool         `json:"allOrNone"`
		CompositeRequest []subrequest `json:"compositeRequest"`
	}
	if err := c.decode(&req); err != nil {
		return failed(err)
	}
	if a, refused := checkComposite(c.version, req.CompositeRequest); refused {
		return a
	}
	if req.AllOrNone {
		// The rehearsal and the performance are one step to other writers.
		c.s.writing.Lock()
		defer c.s.writing.Unlock()
		c.locked = true
		results := c.rehearse(req.CompositeRequest)
		if anyFailed(results) {
			return compositeAnswer(rolledBack(results))
		}
	}
	return compositeAnswer(c.perform(req.CompositeRequest))
}

func checkComposite(version int, subs []subrequest) (answer, bool) {
	if len(subs) > maxSubrequests {
		return fail(http.StatusBadRequest, "LIMIT_EXCEEDED",
			fmt.Sprintf("The number of subrequests %d exceeds the limit of %d", len(subs), maxSubrequests)), true
	}
	seen, heavy := map[string]bool{}, 0
	for _, sub := range subs {
		if sub.ReferenceID == "" || version >= 52 && !referenceForm.MatchString(sub.ReferenceID) {
			return fail(http.StatusBadRequest, "INVALID_INPUT", "Provided referenceId ('"+sub.ReferenceID+"') must contain only letters, digits and underscores"), true
		}
		if seen[sub.ReferenceID] {
			return fail(http.StatusBadRequest, "INVALID_INPUT", "Duplicate referenceId '"+sub.ReferenceID+"'"), true
		}
		seen[sub.ReferenceID] = true
		if strings.Contains(sub.URL, "/query") || strings.Contains(sub.URL, "/composite/sobjects") {
			heavy++
		}
	}
	if heavy > maxHeavy {
		return fail(http.StatusBadRequest, "LIMIT_EXCEEDED",
			fmt.Sprintf("The number of query and collection subrequests %d exceeds the limit of %d", heavy, maxHeavy)), true
	}
	return answer{}, false
}

// perform runs the subrequests against c's org and returns their results.
func (c *call) perform(subs []subrequest) []subresult {
	results := make([]subresult, 0, len(subs))
	values := map[string]any{}
	for _, sub := range subs {
		a := c.performOne(sub, values)
		results = append(results, subresult{sub.ReferenceID, a})
		if a.status < 300 {
			values[sub.ReferenceID] = plain(a.body)
		}
	}
	return results
}

func (c *call) performOne(sub subrequest, values map[string]any) answer {
	target, err := substitute(sub.URL, values)
	if err != nil {
		return failed(err)
	}
	body, err := substituteBody(sub.Body, values)
	if err != nil {
		return failed(err)
	}
	next, refused := c.child(sub.Method, target, body)
	if refused != nil {
		return *refused
	}
	for name, value := range sub.HTTPHeaders {
		next.header.Set(name, value)
	}
	return next.run()
}

// child makes the call of a subrequest from a URL with "/services/data/vNN.0".
func (c *call) child(method, target string, body []byte) (*call, *answer) {
	u, err := url.Parse(target)
	if err != nil {
		a := notFound()
		return nil, &a
	}
	r := &http.Request{Method: method, URL: u}
	normalise(r)
	seg := segments(r)
	if !under(seg, "services", "data") || len(seg) < 4 {
		a := notFound()
		return nil, &a
	}
	version, refused := parseVersion(seg[2])
	if refused != nil {
		return nil, refused
	}
	next := *c
	next.method, next.seg, next.query, next.body = strings.ToUpper(method), seg[3:], u.Query(), body
	next.version, next.sub = version, true
	next.header = http.Header{"Sforce-Call-Options": c.header["Sforce-Call-Options"]}
	return &next, nil
}

var reference = regexp.MustCompile(`@\{([A-Za-z0-9_]+)((?:\.[A-Za-z0-9_]+|\[\d+\])*)\}`)

// substitute replaces @{ref.path} by what the subrequest ref answered.
func substitute(text string, values map[string]any) (string, *sobject.Error) {
	var failure *sobject.Error
	out := reference.ReplaceAllStringFunc(text, func(match string) string {
		parts := reference.FindStringSubmatch(match)
		value, found := walk(values[parts[1]], parts[2])
		if !found {
			path := strings.TrimPrefix(parts[2], ".")
			failure = &sobject.Error{
				Status: http.StatusBadRequest, Code: "PROCESSING_HALTED",
				Message: "Invalid reference specified. No value for " + path + " found in " + parts[1],
			}
			return match
		}
		return fmt.Sprint(value)
	})
	return out, failure
}

// substituteBody replaces references inside the strings of a JSON body.
func substituteBody(body json.RawMessage, values map[string]any) ([]byte, *sobject.Error) {
	if !strings.Contains(string(body), "@{") {
		return body, nil
	}
	v := plain(body)
	var failure *sobject.Error
	var visit func(any) any
	visit = func(v any) any {
		switch v := v.(type) {
		case string:
			text, err := substitute(v, values)
			if err != nil {
				failure = err
			}
			return text
		case map[string]any:
			for k, e := range v {
				v[k] = visit(e)
			}
		case []any:
			for i, e := range v {
				v[i] = visit(e)
			}
		}
		return v
	}
	out, err := appendJSON(nil, visit(v))
	if err != nil {
		return body, parseError(err.Error())
	}
	return out, failure
}

// walk follows a path such as ".records[0].AccountId"; names are case-sensitive.
func walk(v any, path string) (any, bool) {
	for path != "" {
		var found bool
		if path[0] == '[' {
			text, rest, _ := strings.Cut(path[1:], "]")
			i, _ := strconv.Atoi(text) // the pattern lets only digits through
			items, _ := v.([]any)
			if i >= len(items) {
				return nil, false
			}
			v, path = items[i], rest
			continue
		}
		end := strings.IndexAny(path[1:], ".[")
		if end < 0 {
			end = len(path) - 1
		}
		members, _ := v.(map[string]any)
		if v, found = members[path[1:1+end]]; !found {
			return nil, false
		}
		path = path[1+end:]
	}
	return v, v != nil
}

// plain turns an answer's body into maps, slices and scalars.
func plain(body any) any {
	text, err := appendJSON(nil, body)
	if err != nil || len(text) == 0 {
		return nil
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	var v any
	if d.Decode(&v) != nil {
		return nil
	}
	return v
}

func anyFailed(results []subresult) bool {
	for _, r := range results {
		if r.status >= 400 {
			return true
		}
	}
	return false
}

// rolledBack keeps the answers of what failed by itself and tells the others
// that they were undone.
func rolledBack(results []subresult) []subresult {
	for i, r := range results {
		if r.status < 400 {
			results[i].answer = fail(http.StatusBadRequest, "PROCESSING_HALTED",
				"The transaction was rolled back since another operation in the same transaction failed.")
		}
	}
	return results
}

func compositeAnswer(results []subresult) answer {
	list := make([]object, len(results))
	for i, r := range results {
		list[i] = r.json()
	}
	return ok(object{{"compositeResponse", list}})
}
