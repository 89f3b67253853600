package salesforce

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

func testKey(t *testing.T) (key *rsa.PrivateKey, pkcs1, pkcs8 string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs1 = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	pkcs8 = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return key, pkcs1, pkcs8
}

func TestForms(t *testing.T) {
	t.Parallel()
	for auth, want := range map[string]string{
		AuthPassword:          "client_id=3MVG9consumer&client_secret=" + canarySecret + "&grant_type=password&password=" + url.QueryEscape(canaryPassword) + "&username=sync%40acme.example",
		AuthRefreshToken:      "client_id=3MVG9consumer&client_secret=" + canarySecret + "&grant_type=refresh_token&refresh_token=5Aep861.refresh",
		AuthClientCredentials: "client_id=3MVG9consumer&client_secret=" + canarySecret + "&grant_type=client_credentials",
	} {
		o := newOrg(t)
		c := o.client(func(cfg *Config) { cfg.Auth, cfg.RefreshToken = auth, "5Aep861.refresh" })
		if _, err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		r, body := o.last()
		if r.Method != http.MethodPost || r.URL.String() != tokenPath || body != want {
			t.Errorf("%s: %s %s %s, want %s", auth, r.Method, r.URL, body, want)
		}
		if ct := r.Header.Get("Content-Type"); ct != "application/x-www-form-urlencoded" {
			t.Errorf("%s: Content-Type %s", auth, ct)
		}
		if r.Header.Get("Authorization") != "" {
			t.Errorf("%s: a bearer for the token host", auth)
		}
	}
}

func TestAssertion(t *testing.T) {
	t.Parallel()
	key, pkcs1, pkcs8 := testKey(t)
	for name, pemKey := range map[string]string{
		"PKCS1": pkcs1, "PKCS8": pkcs8, "one line": strings.ReplaceAll(strings.TrimSpace(pkcs8), "\n", `\n`),
	} {
		o := newOrg(t)
		c := o.client(func(cfg *Config) { cfg.Auth, cfg.JWTKey = AuthJWT, pemKey })
		if _, err := c.Login(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, body := o.last()
		form, _ := url.ParseQuery(body)
		if form.Get("grant_type") != "urn:ietf:params:oauth:grant-type:jwt-bearer" || len(form) != 2 {
			t.Fatalf("%s: form %s", name, body)
		}
		claims := jwt.MapClaims{}
		token, err := jwt.ParseWithClaims(form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
			jwt.WithValidMethods([]string{"RS256"}))
		if err != nil || !token.Valid {
			t.Fatalf("%s: %v", name, err)
		}
		exp, _ := claims.GetExpirationTime()
		if left := time.Until(exp.Time); left < time.Minute || left > 2*time.Minute+time.Second {
			t.Errorf("%s: expires in %s", name, left)
		}
		if claims["iss"] != "3MVG9consumer" || claims["sub"] != "sync@acme.example" || claims["aud"] != o.URL {
			t.Errorf("%s: claims %v", name, claims)
		}
	}
}

// A clock that is off must not keep the bridge from logging in, be it by ten minutes or
// by less than is corrected.
func TestAssertionFollowsTheServersClock(t *testing.T) {
	t.Parallel()
	key, _, pkcs8 := testKey(t)
	for skew, want := range map[time.Duration]int{-10 * time.Minute: 2, 10 * time.Minute: 2, -59 * time.Second: 1, 59 * time.Second: 1} {
		synctest.Test(t, func(t *testing.T) {
			attempts := 0
			c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
				cfg.Auth, cfg.JWTKey = AuthJWT, pkcs8
				cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
					attempts++
					_ = r.ParseForm()
					now := time.Now().Add(skew)
					w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
					claims := jwt.MapClaims{}
					_, err := jwt.ParseWithClaims(r.Form.Get("assertion"), claims, func(*jwt.Token) (any, error) { return &key.PublicKey, nil },
						jwt.WithTimeFunc(func() time.Time { return now }))
					exp, _ := claims.GetExpirationTime()
					if err != nil || exp.Sub(now) > 3*time.Minute {
						reply(w, 400, `{"error":"invalid_grant","error_description":"invalid assertion"}`)
						return
					}
					writeGrant(w, "http://127.0.0.1:9", canaryToken)
				})
			})
			if _, err := c.Login(t.Context()); err != nil {
				t.Errorf("skew %s: %v", skew, err)
			}
			if attempts != want {
				t.Errorf("skew %s: %d attempts, want %d", skew, attempts, want)
			}
			if off := c.ServerTime().Sub(time.Now().Add(skew)).Abs(); off > time.Second {
				t.Errorf("server time is %s off", off)
			}
		})
	}
}

func TestAudience(t *testing.T) {
	t.Parallel()
	const login, test = "https://login.salesforce.com", "https://test.salesforce.com"
	for host, want := range map[string]string{
		"https://login.salesforce.com":                  login,
		"https://LOGIN.salesforce.com:443/":             login,
		"https://test.salesforce.com":                   test,
		"https://acme.my.salesforce.com":                login,
		"https://acme-dev-ed.develop.my.salesforce.com": login,
		"https://acme--uat.sandbox.my.salesforce.com":   test,
		"https://acme--uat.my.salesforce.com":           test,
		"https://acme-dx.scratch.my.salesforce.com":     test,
		"https://acme.my.salesforce.mil":                "https://acme.my.salesforce.mil",
		"http://127.0.0.1:8099":                         "http://127.0.0.1:8099",
		"http://localhost:8099/":                        "http://localhost:8099",
		"https://notsalesforce.com":                     "https://notsalesforce.com",
	} {
		u, err := parseLogin(host)
		if err != nil {
			t.Errorf("%s: %v", host, err)
			continue
		}
		if got := audience(u); got != want {
			t.Errorf("%s: audience %s, want %s", host, got, want)
		}
	}
}

// Who takes another audience than the login URL tells gets it, is asked so from then on,
// and only if it is Salesforce itself, or on this machine.
func TestOtherAudience(t *testing.T) {
	t.Parallel()
	const login, test = "https://login.salesforce.com", "https://test.salesforce.com"
	_, _, pkcs8 := testKey(t)
	const local, named, vague = "http://127.0.0.1:9", "Audience validation failed", "invalid assertion"
	for _, c := range []struct{ url, takes, says, tried string }{
		{local, login, named, local + " " + login + " " + login},
		{local, test, named, local + " " + login + " " + test + " " + test},
		{local, test, vague, local + " " + login + " " + test + " " + test},
		{local, local, vague, local + " " + local},
		{local, "none", vague, local + " " + login + " " + test + " " + local + " " + login + " " + test},
		{"https://cs42.salesforce.com", test, named, login + " " + test + " " + test},
		{"https://cs42.salesforce.com", test, vague, login + " " + login},
		{"https://acme--uat.my.salesforce.com", login, named, test + " " + login + " " + login},
		{"https://notsalesforce.com", login, named, "https://notsalesforce.com https://notsalesforce.com"},
	} {
		var tried []string
		client := newClient(t, c.url, func(cfg *Config) {
			cfg.Auth, cfg.JWTKey = AuthJWT, pkcs8
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != tokenPath {
					reply(w, 401, `[{"errorCode":"INVALID_SESSION_ID","message":"Session expired or invalid"}]`)
					return
				}
				_ = r.ParseForm()
				claims := jwt.MapClaims{}
				_, _, _ = jwt.NewParser().ParseUnverified(r.Form.Get("assertion"), claims)
				aud, _ := claims["aud"].(string)
				if tried = append(tried, aud); aud != c.takes {
					reply(w, 400, `{"error":"invalid_grant","error_description":"`+c.says+`"}`)
					return
				}
				writeGrant(w, c.url, canaryToken)
			})
		})
		for range 2 {
			_, err := client.authorize(t.Context())
			if taken := tried[len(tried)-1] == c.takes; (err == nil) != taken {
				t.Errorf("%s: %v", c.url, err)
			}
		}
		if got := strings.Join(tried, " "); got != c.tried {
			t.Errorf("%s tried %s, want %s", c.url, got, c.tried)
		}
	}
}

func TestNewReportsWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cfg  Config
		want string
	}{
		"no flow":       {Config{ClientID: "x"}, "flow not set"},
		"unknown flow":  {Config{Auth: "saml"}, `"saml"`},
		"password":      {Config{Auth: AuthPassword, ClientID: "x", ClientSecret: canarySecret, Username: "u"}, "password not set"},
		"client id":     {Config{Auth: AuthRefreshToken, RefreshToken: canarySecret}, "client id not set"},
		"refresh token": {Config{Auth: AuthRefreshToken, ClientID: "x"}, "refresh token not set"},
		"no key":        {Config{Auth: AuthJWT, ClientID: "x", Username: "u"}, "private key not set"},
		"bad key":       {Config{Auth: AuthJWT, ClientID: "x", Username: "u", JWTKey: canarySecret}, "PEM"},
		"my domain":     {Config{Auth: AuthClientCredentials, ClientID: "x", ClientSecret: canarySecret}, "My Domain"},
		"version":       {Config{Auth: AuthPassword, APIVersion: "64"}, "64.0"},
		"plain http":    {Config{Auth: AuthPassword, LoginURL: "http://login.salesforce.com"}, "loopback"},
		"userinfo":      {Config{Auth: AuthPassword, LoginURL: "https://u:" + canarySecret + "@login.salesforce.com"}, "login URL"},
	} {
		_, err := New(test.cfg)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v, want it to say %q", name, err, test.want)
		} else if strings.Contains(err.Error(), "CANARY") {
			t.Errorf("%s: tells a secret: %v", name, err)
		}
	}
}

// An id whose case somebody has changed is what its suffix tells, and one that cannot be
// any record's is known as such.
func TestCanonicalID(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"001D000000IqhSLIAZ": "001D000000IqhSLIAZ", "001D000000IqhSL": "001D000000IqhSLIAZ", "aBcDEfgHIJKLMNO025": "aBcDEfgHIJKLMNO025",
		"001d000000iqhsliaz": "001D000000IqhSLIAZ", "001D000000IQHSLIAZ": "001D000000IqhSLIAZ", "003000000000001AAA": "003000000000001AAA",
		"": "", "abc": "", "001D000000IqhSL'AZ": "", "001D000000Iqh'L": "", "001D000000IqhSLIA": "", "001D000000IqhSLIA6": "", "003000000000001AAB": "", "001000000000001IAZ": "",
	} {
		got, ok := CanonicalID(in)
		if got != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", in, got, ok, want)
		}
	}
}

func TestID18(t *testing.T) {
	t.Parallel()
	for id, suffix := range map[string]string{
		"a01M00000062mPg": "IAI", "001M000000qfPyS": "IAU", "a0FE000000D6r3F": "MAR", "0F9E000000092w2": "KAA",
		"a0RE000000IJmcN": "MAT", "001D000000IqhSL": "IAZ", "00D30000000ehjI": "EAQ", "aaaaaaaaaaaaaaa": "AAA",
		"AbCdEfGhIjKlMnO": "VKV", "aBcDEfgHIJKLMNO": "025",
	} {
		if got := ID18(id); got != id+suffix {
			t.Errorf("%s: %s", id, got)
		}
		if got := ID18(id + suffix); got != id+suffix {
			t.Errorf("18 characters became %s", got)
		}
	}
}
