package salesforce

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
)

func TestInstancePolicy(t *testing.T) {
	t.Parallel()
	mustLogin := func(raw string) *url.URL {
		u, err := parseLogin(raw)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	cloud := mustLogin("https://login.salesforce.com")
	for raw, want := range map[string]string{
		"https://na1.salesforce.com":                         "https://na1.salesforce.com",
		"https://Acme.My.Salesforce.com:443/":                "https://acme.my.salesforce.com",
		"https://acme--uat.sandbox.my.salesforce.com":        "https://acme--uat.sandbox.my.salesforce.com",
		"https://acme.my.salesforce.mil":                     "https://acme.my.salesforce.mil",
		"https://acme.cloudforce.com":                        "https://acme.cloudforce.com",
		"https://acme.force.com":                             "https://acme.force.com",
		"https://login.salesforce.com":                       "https://login.salesforce.com",
		"http://na1.salesforce.com":                          "",
		"https://salesforce.com":                             "",
		"https://evilsalesforce.com":                         "",
		"https://x.salesforce.com.evil.tld":                  "",
		"https://gs1.evil":                                   "",
		"https://evil.tld/x.salesforce.com":                  "",
		"https://evil.tld#.salesforce.com":                   "",
		"https://evil.tld?.salesforce.com":                   "",
		"https://evil.tld\\.salesforce.com":                  "",
		"https://evil.tld%2f.salesforce.com":                 "",
		"https://x.salesforce.com@evil.tld":                  "",
		"https://evil.tld:443@x.salesforce.com":              "",
		"https://x.salesforce.com:8443":                      "",
		"https://x.salesforce.com:":                          "",
		"https://x.salesforce.com.":                          "",
		"https://x..salesforce.com":                          "",
		"https://.salesforce.com":                            "",
		"https://-x.salesforce.com":                          "",
		"https://x.salesforce.com/path":                      "",
		"https://x.salesforce.com?a=b":                       "",
		"https://x.salesforce.com\r\nHost: evil":             "",
		"https://ѕ.salesforce.com":                           "",
		"https://x.ѕalesforce.com":                           "",
		"https://10.0.0.1":                                   "",
		"https://127.0.0.1":                                  "",
		"https://[::1]":                                      "",
		"https://[::ffff:169.254.169.254]":                   "",
		"https://localhost":                                  "",
		"https://169.254.169.254":                            "",
		"https://0x7f.1":                                     "",
		"https:x.salesforce.com":                             "",
		"//x.salesforce.com":                                 "",
		"x.salesforce.com":                                   "",
		"file:///etc/passwd":                                 "",
		"":                                                   "",
		"https://" + strings.Repeat("a.", 200) + "force.com": "",
	} {
		got := ""
		if u, err := checkInstance(cloud, raw); err == nil {
			got = u.String()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", raw, got, want)
		}
	}

	local := mustLogin("http://127.0.0.1:8099")
	for raw, ok := range map[string]bool{
		"http://127.0.0.1:8100": true, "http://localhost:8099": true, "https://[::1]:9": true,
		"https://na1.salesforce.com": false, "http://10.0.0.1": false, "http://127.0.0.1.evil.tld": false,
		"http://u@127.0.0.1": false, "http://localhost.evil.tld": false,
	} {
		if _, err := checkInstance(local, raw); (err == nil) != ok {
			t.Errorf("from loopback %q: %v", raw, err)
		}
	}

	own := mustLogin("https://sso.acme.example:8443")
	if _, err := checkInstance(own, "https://sso.acme.example:8443"); err != nil {
		t.Errorf("the login host itself: %v", err)
	}
	if _, err := checkInstance(own, "https://sso.acme.example"); err == nil {
		t.Error("another port of the login host was accepted")
	}
}

func TestUntrustedInstanceIsPermanentAndGetsNothing(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.grant = func(w http.ResponseWriter, _ *http.Request) {
		writeGrant(w, "https://x.salesforce.com.evil.tld", canaryToken)
	}
	_, err := o.client().Limits(t.Context())
	expect(t, err, Permanent, CodeNotAllowedByHost, false)
	if strings.Contains(err.Error(), "evil") {
		t.Errorf("the error repeats what was sent: %v", err)
	}
}

func FuzzInstancePolicy(f *testing.F) {
	for _, s := range []string{
		"https://na1.salesforce.com", "https://x.salesforce.com.evil.tld", "https://a@b.salesforce.com", "https://[::1]",
		"https://x.salesforce.com:443/", "https://x.salesforce.com\\@evil.tld", "HTTPS://X.FORCE.COM", "https://1.2.3.4",
	} {
		f.Add(s)
	}
	login, _ := parseLogin("https://login.salesforce.com")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := checkInstance(login, raw)
		if err != nil {
			return
		}
		// The oracle looks at the accepted result by itself, and at how a second
		// reader, who splits by hand, sees the input.
		host := u.Host
		if u.Scheme != "https" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.Opaque != "" {
			t.Fatalf("%q became %q", raw, u)
		}
		if _, err := netip.ParseAddr(host); err == nil || strings.ContainsAny(host, ":@/\\%[]") || strings.HasSuffix(host, ".") {
			t.Fatalf("%q became host %q", raw, host)
		}
		labels := strings.Split(host, ".")
		tail := strings.Join(labels[max(0, len(labels)-2):], ".")
		if len(labels) < 3 || !strings.Contains(" salesforce.com force.com cloudforce.com database.com salesforce.mil sfcrmproducts.cn ", " "+tail+" ") {
			t.Fatalf("%q became foreign host %q", raw, host)
		}
		byHand := strings.ToLower(raw)
		byHand = strings.TrimSuffix(strings.TrimSuffix(strings.TrimPrefix(byHand, "https://"), "/"), ":443")
		if byHand != host {
			t.Fatalf("%q became %q, by hand %q", raw, host, byHand)
		}
		again, err := checkInstance(login, u.String())
		if err != nil || again.String() != u.String() {
			t.Fatalf("%q is not stable: %v", u, err)
		}
	})
}
