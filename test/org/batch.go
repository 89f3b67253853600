package org

import (
	"encoding/json"
	"fmt"
	"net/http"
)

// runBatch serves POST /composite/batch: subrequests one after another, each
// independent, each counted as a call. Their URLs start at the version.
// (REST API Developer Guide, "Composite Batch".)
func (c *call) runBatch() answer {
	var req struct {
		HaltOnError   bool `json:"haltOnError"`
		BatchRequests []struct {
			Method    string          `json:"method"`
			URL       string          `json:"url"`
			RichInput json.RawMessage `json:"richInput"`
		} `json:"batchRequests"`
	}
	if err := c.decode(&req); err != nil {
		return failed(err)
	}
	if len(req.BatchRequests) > maxSubrequests {
		return fail(http.StatusBadRequest, "LIMIT_EXCEEDED",
			fmt.Sprintf("The number of subrequests %d exceeds the limit of %d", len(req.BatchRequests), maxSubrequests))
	}
	results, bad := make([]object, len(req.BatchRequests)), false
	for i, sub := range req.BatchRequests {
		var a answer
		if i > 0 {
			c.s.spend() // the first is the request itself
		}
		switch next, refused := c.child(sub.Method, "/services/data/"+sub.URL, sub.RichInput); {
		case bad && req.HaltOnError:
			a = fail(http.StatusPreconditionFailed, "BATCH_PROCESSING_HALTED", "Batch processing was halted because a preceding request failed.")
		case refused != nil:
			a = *refused
		default:
			a = next.run()
		}
		bad = bad || a.status >= 400
		results[i] = object{{"statusCode", a.status}, {"result", a.body}}
	}
	return ok(object{{"hasErrors", bad}, {"results", results}})
}
