package org_test

import (
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
)

const jwtGrant = "urn:ietf:params:oauth:grant-type:jwt-bearer"

// assertion signs claims with key.
func assertion(t *testing.T, key *rsa.PrivateKey, alg string, claims map[string]any) string {
	t.Helper()
	part := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	text := part(map[string]string{"alg": alg}) + "." + part(claims)
	sum := sha256.Sum256([]byte(text))
	sig, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func TestToken(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, func(o *org.Options) { o.JWTKey, o.SecurityToken = &key.PublicKey, "TOKEN" })
	app := []string{"client_id", org.DefaultClientID, "client_secret", org.DefaultClientSecret}
	with := func(kind string, pairs ...string) []string {
		return append(append([]string{"grant_type", kind}, app...), pairs...)
	}
	jwt := func(key *rsa.PrivateKey, alg string, change func(map[string]any)) []string {
		claims := map[string]any{"iss": org.DefaultClientID, "sub": org.DefaultUsername, "aud": "https://login.salesforce.com", "exp": noon.Add(3 * time.Minute).Unix()}
		if change != nil {
			change(claims)
		}
		return []string{"grant_type", jwtGrant, "assertion", assertion(t, key, alg, claims)}
	}
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}

	for _, c := range []struct {
		name  string
		pairs []string
		keys  string // members of the answer, "" if it is refused
		code  string
		text  string
	}{
		{"Password", with("password", "username", org.DefaultUsername, "password", org.DefaultPassword+"TOKEN"), "full", "", ""},
		{"PasswordWithoutSecurityToken", with("password", "username", org.DefaultUsername, "password", org.DefaultPassword), "", "invalid_grant", "authentication failure"},
		{"UnknownUser", with("password", "username", "x@y.example", "password", org.DefaultPassword+"TOKEN"), "", "invalid_grant", "authentication failure"},
		{"RefreshToken", with("refresh_token", "refresh_token", org.DefaultRefreshToken), "full", "", ""},
		{"RefreshWithoutSecret", []string{"grant_type", "refresh_token", "client_id", org.DefaultClientID, "refresh_token", org.DefaultRefreshToken}, "full", "", ""},
		{"RefreshTokenUnknown", with("refresh_token", "refresh_token", "x"), "", "invalid_grant", "expired access/refresh token"},
		{"ClientCredentials", with("client_credentials"), "full", "", ""},
		{"UnknownClient", []string{"grant_type", "client_credentials", "client_id", "x", "client_secret", "y"}, "", "invalid_client_id", "client identifier invalid"},
		{"WrongSecret", []string{"grant_type", "client_credentials", "client_id", org.DefaultClientID, "client_secret", "y"}, "", "invalid_client", "invalid client credentials"},
		{"UnknownGrant", with("device"), "", "unsupported_grant_type", "grant type not supported"},
		{"JWT", jwt(key, "RS256", nil), "brief", "", ""},
		{"JWTForSandbox", jwt(key, "RS256", set("aud", "https://test.salesforce.com")), "brief", "", ""},
		{"JWTForThisOrg", jwt(key, "RS256", set("aud", r.base)), "brief", "", ""},
		{"JWTAudienceList", jwt(key, "RS256", set("aud", []string{"https://login.salesforce.com"})), "brief", "", ""},
		{"JWTOtherKey", jwt(other, "RS256", nil), "", "invalid_grant", "invalid assertion"},
		{"JWTOtherAlgorithm", jwt(key, "none", nil), "", "invalid_grant", "invalid assertion"},
		{"JWTOtherAudience", jwt(key, "RS256", set("aud", "https://example.com")), "", "invalid_grant", "Audience validation failed"},
		{"JWTOtherIssuer", jwt(key, "RS256", set("iss", "x")), "", "invalid_client_id", "client identifier invalid"},
		{"JWTOtherUser", jwt(key, "RS256", set("sub", "x@y.example")), "", "invalid_grant", "user hasn't approved this consumer"},
		{"JWTExpired", jwt(key, "RS256", set("exp", noon.Unix())), "", "invalid_grant", "expired authorization code"},
		{"JWTTooFarAhead", jwt(key, "RS256", set("exp", noon.Add(6*time.Minute).Unix())), "", "invalid_grant", "expired authorization code"},
		{"JWTGarbage", []string{"grant_type", jwtGrant, "assertion", "a.b"}, "", "invalid_grant", "invalid assertion"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := r.form("/services/oauth2/token", c.pairs...)
			if got := a.header.Get("Cache-Control"); got != "no-store" {
				t.Errorf("Cache-Control is %q, want no-store", got)
			}
			if c.keys == "" {
				a.want(t, 400, text(`{"error":"%s","error_description":"%s"}`, c.code, c.text))
				return
			}
			var body map[string]any
			a.decode(t, &body)
			id := text("%s/id/%s/%s", r.base, r.s.ID(), r.s.UserID())
			token, _ := body["access_token"].(string)
			if !strings.HasPrefix(token, r.s.ID()[:15]+"!") {
				t.Errorf("access_token is %q, want it to begin with %s!", token, r.s.ID()[:15])
			}
			want := map[string]any{"access_token": token, "scope": "api refresh_token web", "instance_url": r.base, "id": id, "token_type": "Bearer"}
			if c.keys == "full" {
				want["issued_at"] = "1772366400000"
				mac := hmac.New(sha256.New, []byte(org.DefaultClientSecret))
				mac.Write([]byte(id + "1772366400000"))
				want["signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
			}
			if got, wanted := text("%v", body), text("%v", want); got != wanted {
				t.Errorf("got  %s\nwant %s", got, wanted)
			}
		})
	}

	t.Run("RefreshTokenRotates", func(t *testing.T) {
		t.Parallel()
		r := start(t, func(o *org.Options) { o.RotateRefreshTokens = true })
		var body map[string]any
		r.form("/services/oauth2/token", with("refresh_token", "refresh_token", org.DefaultRefreshToken)...).decode(t, &body)
		next, _ := body["refresh_token"].(string)
		r.form("/services/oauth2/token", with("refresh_token", "refresh_token", org.DefaultRefreshToken)...).
			want(t, 400, `{"error":"invalid_grant","error_description":"expired access/refresh token"}`)
		if a := r.form("/services/oauth2/token", with("refresh_token", "refresh_token", next)...); next == "" || a.status != 200 {
			t.Errorf("the new token %q is answered %d %s", next, a.status, a.body)
		}
	})
	t.Run("JWTIDWorksOnce", func(t *testing.T) {
		t.Parallel()
		pairs := jwt(key, "RS256", set("jti", "7"))
		if a := r.form("/services/oauth2/token", pairs...); a.status != 200 {
			t.Errorf("first use answered %d %s", a.status, a.body)
		}
		r.form("/services/oauth2/token", pairs...).want(t, 400, `{"error":"invalid_grant","error_description":"invalid assertion"}`)
	})

	t.Run("ClientCredentialsInTheHeader", func(t *testing.T) {
		t.Parallel()
		basic := "Basic " + base64.StdEncoding.EncodeToString([]byte(org.DefaultClientID+":"+org.DefaultClientSecret))
		a := r.do("POST", "/services/oauth2/token", "grant_type=client_credentials", "Authorization", basic, "Content-Type", "application/x-www-form-urlencoded")
		if a.status != 200 {
			t.Errorf("got %d %s", a.status, a.body)
		}
	})
}

func TestSession(t *testing.T) {
	t.Parallel()
	expired := `[{"message":"Session expired or invalid","errorCode":"INVALID_SESSION_ID"}]`

	t.Run("BothSchemes", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		for _, scheme := range []string{"Bearer", "OAuth"} {
			if a := r.data("GET", "/", "", "Authorization", scheme+" "+r.token); a.status != 200 {
				t.Errorf("%s answered %d", scheme, a.status)
			}
		}
		a := r.data("GET", "/", "", "Authorization", "Bearer x")
		a.want(t, 401, expired)
		if a.header.Get("Sforce-Limit-Info") == "" {
			t.Error("the 401 has no Sforce-Limit-Info")
		}
		r.data("GET", "/", "", "Authorization", "Basic x").want(t, 401, `[{"message":"INVALID_HEADER_TYPE","errorCode":"INVALID_AUTH_HEADER"}]`)
	})

	t.Run("InactivityEndsIt", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.clock.advance(119 * time.Minute)
		if a := r.data("GET", "/", ""); a.status != 200 {
			t.Fatalf("within the timeout got %d", a.status)
		}
		r.clock.advance(119 * time.Minute)
		if a := r.data("GET", "/", ""); a.status != 200 {
			t.Fatalf("the call did not restart the timeout: %d", a.status)
		}
		r.clock.advance(2 * time.Hour)
		r.data("GET", "/", "").want(t, 401, expired)
	})

	t.Run("Revoke", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		if a := r.form("/services/oauth2/revoke", "token", r.token); a.status != 200 || a.body != "" {
			t.Errorf("revoke answered %d %q", a.status, a.body)
		}
		r.data("GET", "/", "").want(t, 401, expired)
		r.login()
		r.s.RevokeTokens()
		r.data("GET", "/", "").want(t, 401, expired)
	})

	t.Run("MovesTo", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		r.must(r.s.Listen("127.0.0.1:0"))
		old := r.base
		home := strings.Replace(old, "127.0.0.1", "localhost", 1)
		r.s.MovesTo(home)
		r.data("GET", "/", "").want(t, 401, expired)
		r.login()
		r.data("GET", "/", "").want(t, 401, expired)
		r.base = home
		if a := r.data("GET", "/", ""); a.status != 200 {
			t.Errorf("at the new instance got %d %s", a.status, a.body)
		}
		if a := r.do("GET", "/services/oauth2/userinfo", ""); !strings.Contains(a.body, home+"/id/") {
			t.Errorf("userinfo does not name the new instance: %s", a.body)
		}
	})

	t.Run("LoginRate", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		pairs := []string{"grant_type", "client_credentials", "client_id", org.DefaultClientID, "client_secret", org.DefaultClientSecret}
		s := org.New(org.Options{Now: r.clock.now})
		defer s.Close()
		refused := 0
		for range 3601 {
			req, err := http.NewRequestWithContext(t.Context(), "POST", "/services/oauth2/token?"+strings.Join([]string{pairs[0] + "=" + pairs[1], pairs[2] + "=" + pairs[3], pairs[4] + "=" + pairs[5]}, "&"), http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			w := newRecorder()
			s.ServeHTTP(w, req)
			if w.Code == 400 {
				refused++
			}
		}
		if refused != 1 {
			t.Errorf("%d of 3,601 logins in an hour were refused, want 1", refused)
		}
	})
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	r := start(t)
	path := "/id/" + r.s.ID() + "/" + r.s.UserID()
	for _, c := range []struct{ name, path, auth string }{
		{"Header", path, "Bearer " + r.token},
		{"Parameter", path + "?format=json&oauth_token=" + r.token, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var body struct {
				UserID         string `json:"user_id"`
				OrganizationID string `json:"organization_id"`
				Username       string
				URLs           map[string]string
			}
			r.do("GET", c.path, "", "Authorization", c.auth).decode(t, &body)
			if body.UserID != r.s.UserID() || body.OrganizationID != r.s.ID() || body.Username != org.DefaultUsername {
				t.Errorf("got %+v", body)
			}
			if got, want := body.URLs["rest"], r.base+"/services/data/v{version}/"; got != want {
				t.Errorf("urls.rest is %q, want %q", got, want)
			}
		})
	}
	t.Run("Refused", func(t *testing.T) {
		t.Parallel()
		r.do("GET", path, "", "Authorization", "Bearer x").want(t, 403, "Bad_OAuth_Token")
	})
}

func TestSOAP(t *testing.T) {
	t.Parallel()
	r := start(t)
	login := func(password string) reply {
		return r.do("POST", "/services/Soap/u/58.0", `<?xml version="1.0"?><se:Envelope xmlns:se="http://schemas.xmlsoap.org/soap/envelope/"><se:Header/><se:Body>`+
			`<login xmlns="urn:partner.soap.sforce.com"><username>`+org.DefaultUsername+`</username><password>`+password+`</password></login></se:Body></se:Envelope>`,
			"Content-Type", "text/xml", "Authorization", "")
	}
	a := login(org.DefaultPassword)
	between := func(tag string) string {
		_, rest, _ := strings.Cut(a.body, "<"+tag+">")
		value, _, _ := strings.Cut(rest, "</"+tag+">")
		return value
	}
	if a.status != 200 || between("serverUrl") != r.base+"/services/Soap/u/58.0/"+r.s.ID()[:15] || between("userId") != r.s.UserID() {
		t.Fatalf("got %d %s", a.status, a.body)
	}
	r.token = between("sessionId")
	if got := r.data("GET", "/", ""); got.status != 200 {
		t.Errorf("the session id answered %d", got.status)
	}
	refused := login("x")
	if refused.status != 500 || !strings.Contains(refused.body, "<faultstring>INVALID_LOGIN: Invalid username, password, security token; or user locked out.</faultstring>") {
		t.Errorf("got %d %s", refused.status, refused.body)
	}
	logout := r.do("POST", "/services/Soap/u/58.0", `<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"><e:Header><SessionHeader xmlns="urn:partner.soap.sforce.com"><sessionId>`+
		r.token+`</sessionId></SessionHeader></e:Header><e:Body><logout xmlns="urn:partner.soap.sforce.com"/></e:Body></e:Envelope>`, "Content-Type", "text/xml")
	if logout.status != 200 {
		t.Errorf("logout answered %d %s", logout.status, logout.body)
	}
	if got := r.data("GET", "/", ""); got.status != 401 {
		t.Errorf("after logout got %d", got.status)
	}
}
