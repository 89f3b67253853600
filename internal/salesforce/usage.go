package salesforce

import (
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
)

// Usage is the org's count of API calls in the last 24 hours.
type Usage struct {
	Used  int // by all clients of the org, as of the newest answer; 0 before the first
	Limit int // 0 before the first answer
	Calls int // made by this Client since New
}

type usage struct {
	calls atomic.Int64
	org   atomic.Pointer[[2]int]
}

// note reads Sforce-Limit-Info, for example
// "api-usage=25/5000; per-app-api-usage=17/250(appName=sample)".
//
// REST API Developer Guide, "Limit Info Header".
func (u *usage) note(h http.Header) {
	for part := range strings.FieldsFuncSeq(h.Get("Sforce-Limit-Info"), func(r rune) bool { return r == ';' || r == ',' }) {
		value, ok := strings.CutPrefix(strings.TrimSpace(part), "api-usage=")
		if !ok {
			continue
		}
		used, limit, _ := strings.Cut(value, "/")
		n, err1 := strconv.Atoi(used)
		m, err2 := strconv.Atoi(limit)
		if err1 == nil && err2 == nil && n >= 0 && m > 0 {
			u.org.Store(&[2]int{n, m})
		}
	}
}

// Usage returns the newest meter reading; every REST answer carries one, and none
// costs a call.
func (c *Client) Usage() Usage {
	out := Usage{Calls: int(c.usage.calls.Load())}
	if p := c.usage.org.Load(); p != nil {
		out.Used, out.Limit = p[0], p[1]
	}
	return out
}
