package org

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"hcbridge/test/org/sobject"
	"hcbridge/test/org/soql"
)

const (
	maxPage = 2000 // rows of one answer, REST API Developer Guide, "Query Options Header"
	minPage = 200
	// cursorLife is how long a locator works. (Salesforce Developer Limits,
	// "API Query Cursor Limits": two days.)
	cursorLife = 48 * time.Hour
	// maxCursors bounds what this server keeps; the oldest goes first.
	maxCursors = 256
)

// cursor is the snapshot behind a locator: the rows, as they were when the
// query ran.
type cursor struct {
	id   string
	rows []soql.Row
	size int // rows a page
	at   time.Time
}

// cursors are the open locators of an org.
type cursors struct {
	now func() time.Time

	mu    sync.Mutex
	count uint64
	list  []*cursor // oldest first
}

func newCursors(now func() time.Time) *cursors { return &cursors{now: now} }

func (cs *cursors) open(rows []soql.Row, size int) *cursor {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.count++
	cur := &cursor{id: sobject.MintID("01g", cs.count), rows: rows, size: size, at: cs.now()}
	if len(cs.list) == maxCursors {
		cs.list = append([]*cursor(nil), cs.list[1:]...)
	}
	cs.list = append(cs.list, cur)
	return cur
}

func (cs *cursors) find(id string) *cursor {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	for _, cur := range cs.list {
		if cur.id == id && cs.now().Sub(cur.at) < cursorLife {
			return cur
		}
	}
	return nil
}

func (cs *cursors) clear() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.list = nil
}

// queryResource serves /query and /queryAll. A locator works on both paths.
func (c *call) queryResource(seg []string, all bool) answer {
	switch len(seg) {
	case 0:
		return c.runQuery(all)
	case 1:
		return c.more(seg[0])
	}
	return notFound()
}

// tooling serves /tooling/query, where this org has none of the objects: no
// code, and no sandboxes. (Tooling API Developer Guide, "REST Resources".)
func (c *call) tooling(seg []string) answer {
	if len(seg) != 1 || seg[0] != "query" {
		return notFound()
	}
	c.store = sobject.NewMemory()
	return c.only(func() answer { return c.runQuery(false) }, http.MethodGet)
}

func (c *call) runQuery(all bool) answer {
	text := c.query.Get("q")
	if text == "" {
		return fail(http.StatusBadRequest, "MALFORMED_QUERY", "A query string has to be specified")
	}
	q, err := soql.Parse(text)
	if err != nil {
		return queryFailed(err)
	}
	if c.s.denies(q.From) {
		return fail(http.StatusBadRequest, "INVALID_TYPE", unsupportedType(q.From))
	}
	store := c.store
	if !all {
		store = c.s.unarchived(store)
	}
	rows, total, err := soql.Run(store, q, soql.Opts{All: all, Visible: c.visible})
	if err != nil {
		return queryFailed(err)
	}
	if c.query.Get("columns") == "true" {
		return ok(c.columns(q))
	}
	if len(rows) == 0 {
		return ok(object{{"totalSize", total}, {"done", true}, {"records", []any{}}})
	}
	size := c.pageSize()
	if len(rows) <= size {
		return ok(c.page(rows, total, ""))
	}
	cur := c.s.cursors.open(rows, size)
	return ok(c.page(rows[:size], total, c.locator(cur, size)))
}

// more serves the next page of a locator, "01g…-2000".
func (c *call) more(locator string) answer {
	id, text, _ := strings.Cut(locator, "-")
	from, err := strconv.Atoi(text)
	cur := c.s.cursors.find(id)
	if err != nil || cur == nil || from < 0 || from > len(cur.rows) {
		return fail(http.StatusBadRequest, "INVALID_QUERY_LOCATOR", "invalid query locator")
	}
	to, next := min(from+cur.size, len(cur.rows)), ""
	if to < len(cur.rows) {
		next = c.locator(cur, to)
	}
	return ok(c.page(cur.rows[from:to], len(cur.rows), next))
}

func (c *call) locator(cur *cursor, offset int) string {
	return fmt.Sprintf("%s/query/%s-%d", c.base(), cur.id, offset)
}

func (c *call) page(rows []soql.Row, total int, next string) object {
	records := make([]json.RawMessage, len(rows))
	for i, row := range rows {
		records[i] = row.JSON(c.base())
	}
	o := object{{"totalSize", total}, {"done", next == ""}}
	if next != "" {
		o = append(o, member{"nextRecordsUrl", next})
	}
	return append(o, member{"records", records})
}

// pageSize reads Sforce-Query-Options; the server's own cap may be lower.
func (c *call) pageSize() int {
	size := maxPage
	for part := range strings.FieldsFuncSeq(c.header.Get("Sforce-Query-Options"), func(r rune) bool { return r == ',' || r == ';' }) {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil && strings.EqualFold(name, "batchSize") {
			size = min(max(n, minPage), maxPage)
		}
	}
	return min(size, c.s.opt.PageSize)
}

// columns is the answer to ?columns=true, by which the Salesforce CLI learns
// the columns of a result.
func (c *call) columns(q *soql.Query) object {
	entity, prefix := q.From, ""
	if ob := q.Object(); ob != nil {
		entity, prefix = ob.Name, ob.KeyPrefix
	}
	hasID := slices.ContainsFunc(q.Columns(), func(name string) bool { return name == "Id" })
	return object{{"columnMetadata", q.Metadata()}, {"entityName", entity}, {"groupBy", false}, {"idSelected", hasID}, {"keyPrefix", prefix}}
}

func queryFailed(err error) answer {
	var refused *soql.Error
	if errors.As(err, &refused) {
		return fail(http.StatusBadRequest, refused.Code, refused.Message)
	}
	var other *sobject.Error
	if errors.As(err, &other) {
		return failed(other)
	}
	return fail(http.StatusInternalServerError, "UNKNOWN_EXCEPTION", err.Error())
}

func unsupportedType(name string) string {
	return "sObject type '" + name + "' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. " +
		"Please reference your WSDL or the describe call for the appropriate names."
}
