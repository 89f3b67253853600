package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// QueryOpts tunes a query. The zero value is a plain query with the org's page size.
type QueryOpts struct {
	All       bool // include deleted, merged and archived records
	BatchSize int  // records a page, 200 to 2,000; advice only; 0 = 2,000
}

// Page is part of a query's result.
type Page struct {
	Records   []json.RawMessage // objects with "attributes", numbers as the org wrote them
	TotalSize int               // of the whole query
	Done      bool              // false: there is more, see [Client.Next]
	Next      string            // path of the next page, good for 2 days
}

// wirePage has pointers where a missing key must be told from a zero.
type wirePage struct {
	TotalSize *int              `json:"totalSize"`
	Done      *bool             `json:"done"`
	Next      string            `json:"nextRecordsUrl"`
	Records   []json.RawMessage `json:"records"`
}

// Query runs a SOQL query and returns its first page. Pages may be shorter than
// asked for; only Done says whether there are more. One that does not fit
// in a URL travels in the body of a composite request.
//
// REST API Developer Guide, "Query".
func (c *Client) Query(ctx context.Context, soql string, o QueryOpts) (*Page, error) {
	resource := "/query?q="
	if o.All {
		resource = "/queryAll?q="
	}
	r := request{op: "query", method: http.MethodGet, path: c.base() + resource + url.QueryEscape(soql)}
	if o.BatchSize > 0 {
		size := min(max(o.BatchSize, 200), 2000)
		r.header = map[string]string{"Sforce-Query-Options": "batchSize=" + strconv.Itoa(size)}
	}
	return c.page(ctx, r)
}

// Next returns the page after p, nil if p is Done. After 2 days it fails with
// [CodeLocator].
func (c *Client) Next(ctx context.Context, p *Page) (*Page, error) {
	if p.Done {
		return nil, nil //nolint:nilnil // documented: there is no page and that is no error
	}
	path, ok := c.linkPath(p.Next)
	if !ok {
		return nil, invalid("query", "link to the next page is not a path of the API")
	}
	return c.page(ctx, request{op: "query", method: http.MethodGet, path: path})
}

// Count returns what "SELECT COUNT() FROM ..." counts.
func (c *Client) Count(ctx context.Context, soql string) (int, error) {
	p, err := c.Query(ctx, soql, QueryOpts{})
	if err != nil {
		return 0, err
	}
	return p.TotalSize, nil
}

func (c *Client) page(ctx context.Context, r request) (*Page, error) {
	var w wirePage
	a, err := c.call(ctx, r, &w)
	if err != nil {
		return nil, err
	}
	if w.Done == nil || w.TotalSize == nil || w.Records == nil {
		return nil, c.mismatch(a, "not a query result")
	}
	p := &Page{Records: w.Records, TotalSize: *w.TotalSize, Done: *w.Done}
	if p.Done {
		return p, nil
	}
	var ok bool
	if p.Next, ok = c.linkPath(w.Next); !ok {
		return nil, c.mismatch(a, "no link to the next page")
	}
	return p, nil
}

// linkPath takes from a link in an answer the path below the API's root, and
// nothing else: wherever the link points, the request goes to the pinned host.
func (c *Client) linkPath(link string) (string, bool) {
	u, err := url.Parse(link)
	if err != nil || u.Opaque != "" {
		return "", false
	}
	path := u.EscapedPath()
	if !strings.HasPrefix(path, "/services/data/v") || strings.Contains(u.Path, "..") || strings.ContainsAny(path, `\;@`) {
		return "", false
	}
	return path, true
}
