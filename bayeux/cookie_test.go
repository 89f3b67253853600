package bayeux

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// Cookies are those of the server that set them, of its session, and small: what it
// sets for others is not kept, and a reply with huge headers is none (T29 of docs/threat-model.md).
func TestCookiesStayAtHome(t *testing.T) {
	t.Parallel()
	var got []string
	huge := false
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Cookie"))
		for _, c := range []string{
			"mine=1; Path=/", "theirs=1; Domain=evil.tld", "wide=1; Domain=com", "super=1; Domain=.1", "elsewhere=1; Path=/other",
			"__Host-x=1; Path=/; Domain=evil.tld", "noname", "=;=;",
		} {
			w.Header().Add("Set-Cookie", c)
		}
		if huge {
			w.Header().Add("Set-Cookie", "big="+strings.Repeat("x", 2<<20))
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "[]")
	}))
	t.Cleanup(s.Close)
	open := func() *longPolling {
		p, err := newLongPolling(newTransport(), s.URL+"/cometd/64.0", "token", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	p := open()
	for range 2 {
		if _, err := p.exchange(t.Context(), []byte("[]")); err != nil {
			t.Fatal(err)
		}
	}
	if got[0] != "" || got[1] != "mine=1" {
		t.Errorf("sent %q", got)
	}
	if _, err := open().exchange(t.Context(), []byte("[]")); err != nil || got[2] != "" {
		t.Errorf("another session sends %q (%v)", got[2], err)
	}
	huge = true
	if _, err := p.exchange(t.Context(), []byte("[]")); err == nil {
		t.Error("headers of 2 MiB were taken")
	}
}

// FuzzHeaders reads what a server may say beside a reply.
func FuzzHeaders(f *testing.F) {
	f.Add("mine=1; Path=/; Secure", "120", "application/json;charset=UTF-8")
	f.Add("x=\x00; Domain=evil.tld", "-1", "text/html; charset=\"")
	f.Add("", "99999999999999999999", "a/b/c;;")
	f.Fuzz(func(t *testing.T, cookie, retry, kind string) {
		if d := retryAfter(retry); d < 0 || d > maxInterval {
			t.Errorf("%q is %s", retry, d)
		}
		answer := roundTripper(func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Cookie"); strings.ContainsAny(got, "\r\n\x00") {
				t.Errorf("sent %q", got)
			}
			return &http.Response{
				StatusCode: http.StatusOK, Header: http.Header{"Set-Cookie": {cookie}, "Content-Type": {kind}},
				Body: io.NopCloser(strings.NewReader("[]")), ContentLength: 2, Request: r,
			}, nil
		})
		p, err := newLongPolling(answer, "https://acme.my.salesforce.com/cometd/64.0", "token", 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, _ = p.exchange(t.Context(), []byte("[]"))
		}
	})
}
