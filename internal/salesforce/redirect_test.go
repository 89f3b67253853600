package salesforce

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
)

// Go's own client forwards the Authorization header to the same host over plain
// http, to its other ports and to its sub-domains. None of them may get it.
func TestBearerNeverFollowsARedirect(t *testing.T) {
	t.Parallel()
	const login, home = "https://login.salesforce.com", "https://acme.my.salesforce.com"
	targets := map[string]string{
		"same host":   home + "/elsewhere",
		"http":        "http://acme.my.salesforce.com/",
		"other port":  home + ":8443/",
		"sub-domain":  "https://x.acme.my.salesforce.com/",
		"sibling":     "https://other.my.salesforce.com/",
		"other host":  "https://evil.tld/",
		"userinfo":    "https://acme.my.salesforce.com@evil.tld/",
		"IPv6":        "https://[::1]/",
		"trailing":    "https://acme.my.salesforce.com./",
		"IDN":         "https://аcme.my.salesforce.com/",
		"schemeless":  "//evil.tld/",
		"not a URL":   "https://%zz",
		"no location": "",
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		for name, target := range targets {
			for _, method := range []string{http.MethodGet, http.MethodPost} {
				synctest.Test(t, func(t *testing.T) {
					c := newClient(t, login, func(cfg *Config) {
						cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
							switch origin := r.URL.Scheme + "://" + r.URL.Host; {
							case origin == login && r.URL.Path == tokenPath:
								writeGrant(w, home, canaryToken)
							case origin == home && strings.HasPrefix(r.URL.Path, "/services/data/v66.0"):
								if target != "" {
									w.Header().Set("Location", target)
								}
								w.WriteHeader(status)
							default:
								t.Errorf("%d to %s: request for %s reached %s with %q", status, name, r.Method, r.URL, r.Header.Get("Authorization"))
							}
						})
					})
					var err error
					if method == http.MethodGet {
						_, err = c.Limits(t.Context())
					} else {
						_, err = c.Create(t.Context(), "Account", map[string]any{"Name": "x"})
					}
					e := asError(t, err)
					if name == "not a URL" { // the standard library gives up on it
						if e.Class != Transient {
							t.Errorf("%d to %s: %s", status, name, e.Class)
						}
						return
					}
					if e.Class != Transient || e.Status != status || e.InDoubt { // it was not carried out
						t.Errorf("%d to %s: %s in doubt %t", status, name, e.Class, e.InDoubt)
					}
				})
			}
		}
	}
}

// The same over real sockets, where another port is another server.
func TestRedirectOverSockets(t *testing.T) {
	t.Parallel()
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("reached with %q", r.Header.Get("Authorization"))
	}))
	t.Cleanup(thief.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		o := newOrg(t)
		o.api = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+"/steal", status) }
		_, err := o.client().Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
		e := asError(t, err)
		if e.Class != Transient || e.Status != status {
			t.Errorf("%d: %v", status, err)
		}
		o.grant = func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, thief.URL+"/steal", status) }
		_, err = o.client().Login(t.Context())
		if ClassOf(err) != Transient {
			t.Errorf("login, %d: %v", status, err)
		}
	}
}

// The transport is the second fence: it holds even where a request is misbuilt.
func TestTransportRefusesOtherHosts(t *testing.T) {
	t.Parallel()
	reached := false
	p := pinned{roundTrip(func(*http.Request) (*http.Response, error) { reached = true; return nil, http.ErrServerClosed }), nil}
	for _, target := range []string{"http://acme.my.salesforce.com/", "https://x.acme.my.salesforce.com/", "https://acme.my.salesforce.com:444/", "https://acme.my.salesforce.com./"} {
		u, _ := url.Parse(target)
		ctx := withPin(t.Context(), "https://acme.my.salesforce.com")
		r := (&http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}).WithContext(ctx)
		if _, err := p.RoundTrip(r); err == nil || reached { //nolint:bodyclose // there is none
			t.Errorf("%s was let through", target)
		}
		if _, err := p.RoundTrip(r.WithContext(context.Background())); err == nil || reached { //nolint:bodyclose // there is none
			t.Errorf("%s was let through without a pin", target)
		}
	}
}

func TestLinksAreUsedByTheirPathOnly(t *testing.T) {
	t.Parallel()
	const first = `{"totalSize":3,"done":false,"nextRecordsUrl":%q,"records":[{"Id":"001M000000qfPySIAU"}]}`
	for link, want := range map[string]string{
		"/services/data/v66.0/query/01gB000003OCxSPIA1-2000":                 "/services/data/v66.0/query/01gB000003OCxSPIA1-2000",
		"https://evil.tld/services/data/v66.0/query/01gB000003OCxSPIA1-2000": "/services/data/v66.0/query/01gB000003OCxSPIA1-2000",
		"//evil.tld/services/data/v66.0/query/01gB000003OCxSPIA1-2000?x=y":   "/services/data/v66.0/query/01gB000003OCxSPIA1-2000",
		"https://u:p@evil.tld/services/data/v66.0/query/x":                   "/services/data/v66.0/query/x",
		"/services/data/v66.0/../../oauth2/revoke":                           "",
		"/services/data/v66.0/%2e%2e/%2e%2e/oauth2/revoke":                   "",
		"/secur/logout.jsp":                     "",
		"javascript:alert(1)":                   "",
		"":                                      "",
		"@evil.tld/services/data/v66.0/query/x": "",
		".evil.tld/services/data/v66.0/query/x": "",
	} {
		o := newOrg(t)
		o.answers(200, fmt.Sprintf(first, link))
		c := o.client()
		p, err := c.Query(t.Context(), "SELECT Id FROM Account", QueryOpts{})
		if want == "" {
			expect(t, err, Transient, "", false)
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", link, err)
		}
		p.Next = link // even if the caller stored the link itself
		if _, err = c.Next(t.Context(), p); err != nil {
			t.Fatalf("%s: %v", link, err)
		}
		if r, _ := o.last(); r.RequestURI != want {
			t.Errorf("%s: asked %s, want %s", link, r.RequestURI, want)
		}
	}
}
