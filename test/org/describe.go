package org

import (
	"fmt"
	"net/http"
	"time"

	"hcbridge/test/org/sobject"
)

// versions serves GET /services/data/.
func (s *Server) versions(r *http.Request) answer {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return notAllowed(r.Method, "GET", "HEAD")
	}
	list := make([]object, 0, NewestVersion-OldestVersion+1)
	for v := OldestVersion; v <= NewestVersion; v++ {
		list = append(list, object{
			{"label", release(v)},
			{"url", fmt.Sprintf("/services/data/v%d.0", v)},
			{"version", fmt.Sprintf("%d.0", v)},
		})
	}
	return ok(list)
}

// release names a version: 61 is Summer '24, and there are three a year.
func release(version int) string {
	n := version - 62 + 3*25 // Winter '25 is 62
	return fmt.Sprintf("%s '%02d", [...]string{"Winter", "Spring", "Summer"}[n%3], n/3)
}

// resources serves GET /services/data/vNN.0/.
func (c *call) resources() answer {
	base := c.base()
	o := object{{"identity", c.s.identityURL(c.sess.user)}}
	for _, name := range []string{"sobjects", "query", "queryAll", "composite", "limits", "jobs", "tooling"} {
		o = append(o, member{name, base + "/" + name})
	}
	return ok(o)
}

// sobjects passes a call below /sobjects to its resource.
func (c *call) sobjects(seg []string) answer {
	if len(seg) == 0 {
		return c.only(c.describeGlobal, http.MethodGet)
	}
	ob := c.object(seg[0])
	if ob == nil {
		return notFound()
	}
	switch len(seg) {
	case 1:
		switch c.method {
		case http.MethodPost:
			return c.create(ob)
		case http.MethodGet, http.MethodHead:
			return ok(object{
				{"objectDescribe", ob.DescribeAt(c.versionText(), false, nil)},
				{"recentItems", []any{}},
			})
		}
		return notAllowed(c.method, "GET", "HEAD", "POST")
	case 2:
		switch seg[1] {
		case "describe":
			return c.only(func() answer { return c.describe(ob) }, http.MethodGet)
		case "deleted":
			return c.only(func() answer { return c.deleted(ob) }, http.MethodGet)
		case "updated":
			return c.only(func() answer { return c.updated(ob) }, http.MethodGet)
		}
		if c.method == http.MethodPost && seg[1] == "Id" {
			return c.upsert(ob, "Id", "")
		}
		return c.row(ob, seg[1])
	case 3:
		if ob.Name == streamingChannel && seg[2] == "push" {
			return c.only(func() answer { return c.push(ob, seg[1]) }, http.MethodPost)
		}
		return c.byExternalID(ob, seg[1], seg[2])
	}
	return notFound()
}

func (c *call) versionText() string { return fmt.Sprintf("%d.0", c.version) }

func (c *call) describeGlobal() answer {
	var list []map[string]any
	for _, ob := range c.store.Objects() {
		if c.object(ob.Name) != nil {
			list = append(list, ob.DescribeAt(c.versionText(), false, nil))
		}
	}
	return ok(object{{"encoding", "UTF-8"}, {"maxBatchSize", maxCollection}, {"sobjects", list}})
}

// describe serves GET /sobjects/X/describe. The schema counts as modified when
// it was defined last. (REST API Developer Guide, "Conditional Request Headers".)
func (c *call) describe(ob *sobject.Object) answer {
	changed := c.s.schemaChanged()
	if since, err := http.ParseTime(c.header.Get("If-Modified-Since")); err == nil && !changed.After(since) {
		return answer{status: http.StatusNotModified}
	}
	a := ok(ob.DescribeAt(c.versionText(), true, func(f *sobject.Field) bool { return c.visible(ob, f) }))
	a.header = http.Header{"Last-Modified": {changed.UTC().Format(http.TimeFormat)}}
	return a
}

func (s *Server) schemaChanged() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.defined
}
