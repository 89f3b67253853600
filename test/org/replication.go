package org

import (
	"net/http"
	"strings"
	"time"

	"hcbridge/test/org/sobject"
)

// How far back the replication resources reach, and what they return at most.
// (REST API Developer Guide, "sObject Get Deleted", "sObject Get Updated".)
const (
	deletedReach = 15 * 24 * time.Hour
	updatedReach = 30 * 24 * time.Hour
	maxIDs       = 600_000
)

// window is a request's start and end, to the minute, and the moment up to
// which the answer is complete.
type window struct{ start, end, covered time.Time }

func (c *call) window(ob *sobject.Object, reach, least time.Duration, tooOld string) (window, *sobject.Error) {
	bad := func(message string) (window, *sobject.Error) {
		return window{}, &sobject.Error{Status: http.StatusBadRequest, Code: "INVALID_REPLICATION_DATE", Message: message}
	}
	start, okStart := parseTime(c.query.Get("start"))
	end, okEnd := parseTime(c.query.Get("end"))
	if !okStart || !okEnd {
		return window{}, &sobject.Error{Status: http.StatusBadRequest, Code: "MALFORMED_QUERY", Message: "start and end must be ISO 8601 date-times"}
	}
	if !ob.Replicateable {
		return window{}, &sobject.Error{Status: http.StatusBadRequest, Code: "INVALID_TYPE", Message: "entity type " + ob.Name + " does not support replication"}
	}
	now := c.s.opt.Now()
	w := window{start: start.UTC().Truncate(time.Minute), end: end.UTC().Truncate(time.Minute)}
	switch {
	case w.start.Before(now.Add(-reach).Truncate(time.Minute)):
		return bad(tooOld)
	case !w.start.Before(w.end):
		return bad("startDate must be before endDate")
	case w.end.Sub(w.start) <= least:
		return bad("startDate and endDate must be more than one minute apart")
	}
	w.covered = now.UTC().Add(-c.s.replicationLag()).Truncate(time.Minute)
	if w.covered.After(w.end) {
		w.covered = w.end
	}
	return w, nil
}

// parseTime reads the ISO 8601 forms that clients send. A "+" that a client
// forgot to escape arrives as a space.
func parseTime(text string) (time.Time, bool) {
	text = strings.Replace(text, " ", "+", 1)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999-0700", "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, true
		}
	}
	return time.Time{}, false
}

// deleted serves GET /sobjects/X/deleted.
func (c *call) deleted(ob *sobject.Object) answer {
	w, err := c.window(ob, deletedReach, time.Minute, "startDate before org replication enabled date")
	if err != nil {
		return failed(err)
	}
	log := c.s.org.Deletions(ob.Name, w.start, w.covered)
	if len(log) > maxIDs {
		return tooManyIDs()
	}
	list := make([]object, len(log))
	for i, d := range log {
		list[i] = object{{"id", d.ID}, {"deletedDate", d.At.UTC().Format(sobject.RESTTime)}}
	}
	return ok(object{
		{"deletedRecords", list},
		{"earliestDateAvailable", c.s.opt.Now().UTC().Add(-deletedReach).Truncate(time.Minute).Format(sobject.RESTTime)},
		{"latestDateCovered", w.covered.Format(sobject.RESTTime)},
	})
}

// updated serves GET /sobjects/X/updated: what SystemModstamp says, inserts
// included.
func (c *call) updated(ob *sobject.Object) answer {
	w, err := c.window(ob, updatedReach, 0, "startDate cannot be more than 30 days ago")
	if err != nil {
		return failed(err)
	}
	ids := []any{}
	c.store.ScanStamp(ob.Name, w.start, func(rec sobject.Record) bool {
		if rec.Stamp.After(w.covered) || len(ids) > maxIDs {
			return false
		}
		if !rec.Deleted {
			ids = append(ids, rec.ID)
		}
		return true
	})
	if len(ids) > maxIDs {
		return tooManyIDs()
	}
	return ok(object{{"ids", ids}, {"latestDateCovered", w.covered.Format(sobject.RESTTime)}})
}

func tooManyIDs() answer {
	return fail(http.StatusBadRequest, "EXCEEDED_ID_LIMIT", "too many ids in the requested period; shorten it")
}
