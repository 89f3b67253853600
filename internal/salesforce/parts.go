package salesforce

import (
	"bytes"
	"context"
	"sync/atomic"
	"time"
)

// part is a collection of up to maxCollection records, and how many they are.
// Up to five travel in one composite request, which is one API call.
//
// REST API Developer Guide, "Composite": of its subrequests five may be
// collections, and each is carried out whatever becomes of the others.
type part struct {
	request

	records int
}

// singlyFor is how long collections travel singly after five at once did not come
// through: a request that runs too long holds one of the org's places for long
// requests, and may run into the end of its transaction's time.
const singlyFor = 10 * time.Minute

// packing remembers until when collections travel singly. The zero value is ready.
type packing struct{ until atomic.Int64 }

func (p *packing) singly() bool { return time.Now().UnixNano() < p.until.Load() }

func (p *packing) learn(err *Error) {
	if err.Class == Transient || err.Class == Permanent {
		p.until.Store(time.Now().Add(singlyFor).UnixNano())
	}
}

// saveParts sends parts, together if there are several and nothing speaks against
// it. None depends on another.
func (c *Client) saveParts(ctx context.Context, parts []part) ([]SaveResult, error) {
	if len(parts) == 1 || c.packing.singly() || refers(parts) {
		return c.saveSingly(ctx, parts)
	}
	all := make([]*passenger, len(parts))
	for i, p := range parts {
		all[i] = &passenger{r: p.request}
	}
	c.composite(ctx, all)
	if all[0].left { // refused before anything was done, for being packed
		c.packing.learn(&Error{Class: Permanent})
		return c.saveSingly(ctx, parts)
	}
	if all[0].whole {
		c.packing.learn(all[0].err)
		return nil, all[0].err
	}
	var results []SaveResult
	for i, p := range all {
		done, err := []SaveResult(nil), p.err
		if err == nil {
			done, err = c.results(p.a, parts[i].records)
		}
		if err != nil {
			c.packing.learn(err)
			done = failedAll(err, parts[i].records)
		}
		results = append(results, done...)
	}
	return results, nil
}

// refers reports whether a value looks like a reference to the answer of another
// subrequest, "@{name.field}", which a composite request would replace. Nothing
// escapes it.
func refers(parts []part) bool {
	for _, p := range parts {
		if bytes.Contains(p.body, []byte("@{")) {
			return true
		}
	}
	return false
}

// saveSingly sends one part after the other. What follows a part that failed as a
// whole, other than for what is in it, is not sent: it would fail as well.
func (c *Client) saveSingly(ctx context.Context, parts []part) ([]SaveResult, error) {
	var results []SaveResult
	for i, p := range parts {
		done, err := c.savePart(ctx, p)
		if err == nil {
			results = append(results, done...)
			continue
		}
		ofContent := err.Class == Permanent && !err.Barred()
		if i == 0 && (len(parts) == 1 || !err.InDoubt && !ofContent) {
			return nil, err
		}
		results = append(results, failedAll(err, p.records)...)
		if ofContent {
			continue
		}
		unsent := *err
		unsent.InDoubt = false
		for _, rest := range parts[i+1:] {
			results = append(results, failedAll(&unsent, rest.records)...)
		}
		return results, nil
	}
	return results, nil
}

func (c *Client) savePart(ctx context.Context, p part) ([]SaveResult, *Error) {
	a, err := c.do(ctx, p.request)
	if err != nil {
		return nil, err.(*Error) //nolint:errorlint,forcetypeassert // do returns nothing else
	}
	return c.results(a, p.records)
}

// failedAll is the same failure of n records.
func failedAll(err *Error, n int) []SaveResult {
	out := make([]SaveResult, n)
	for i := range out {
		out[i].Errors = []*Error{err}
	}
	return out
}
