package salesforce

import (
	"context"
	"net/http"
)

// Version is a version of the API that the org offers.
type Version struct {
	Version string `json:"version"` // for example "64.0"
	Label   string `json:"label"`
	URL     string `json:"url"`
}

// Versions lists the API versions that the org offers. It costs no call and sends
// no token, but needs a session to know the org's host.
func (c *Client) Versions(ctx context.Context) ([]Version, error) {
	var v []Version
	a, err := c.call(ctx, request{op: "versions", method: http.MethodGet, path: "/services/data/", free: true}, &v)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 {
		return nil, c.mismatch(a, "no versions")
	}
	return v, nil
}

// Allowance is one of the org's limits and what is left of it.
type Allowance struct {
	Max       int `json:"Max"`
	Remaining int `json:"Remaining"`
}

// Limits returns the org's allowances by name, for example "DailyApiRequests" or
// "DailyDurableStreamingApiEvents"; they are accurate within five minutes. Names
// vary between orgs and versions.
//
// REST API Developer Guide, "Limits".
func (c *Client) Limits(ctx context.Context) (map[string]Allowance, error) {
	var v map[string]Allowance
	a, err := c.call(ctx, request{op: "limits", method: http.MethodGet, path: c.base() + "/limits/"}, &v)
	if err != nil {
		return nil, err
	}
	if len(v) == 0 {
		return nil, c.mismatch(a, "no limits")
	}
	return v, nil
}
