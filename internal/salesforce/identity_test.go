package salesforce

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
)

func TestOAuthRefusals(t *testing.T) {
	t.Parallel()
	for body, class := range map[string]Class{
		`{"error":"invalid_grant","error_description":"authentication failure - Invalid Password"}`: Auth,
		`{"error":"invalid_grant","error_description":"expired access/refresh token"}`:              Auth,
		`{"error":"invalid_grant","error_description":"user hasn't approved this consumer"}`:        Auth,
		`{"error":"invalid_client_id","error_description":"client identifier invalid"}`:             Auth,
		`{"error":"invalid_client"}`: Auth,
		`{"error":"unsupported_grant_type","error_description":"grant type not supported"}`: Auth,
		`{"error":"rate_limit_exceeded"}`:                                     Limit,
		`{"error":"invalid_grant","error_description":"login rate exceeded"}`: Limit,
		`{"error":"server_error"}`:                                            Transient,
	} {
		o := newOrg(t)
		o.grant = func(w http.ResponseWriter, _ *http.Request) { reply(w, 400, body) }
		_, err := o.client().Token(t.Context(), "")
		e := asError(t, err)
		if e.Class != class || e.Status != 400 || !strings.Contains(body, e.Code) || e.Code == "" {
			t.Errorf("%s: got %s %q", body, e.Class, e.Code)
		}
		if e.Message != "" && !strings.Contains(err.Error(), e.Message) {
			t.Errorf("the operator does not see %q in %q", e.Message, err)
		}
	}
}

// An org that moves is followed by a new token, and only within the policy (fault 68).
func TestInstanceMove(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		home, logins := "http://127.0.0.1:81", 0
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				switch {
				case r.URL.Path == tokenPath:
					logins++
					writeGrant(w, home, fmt.Sprintf("00D!token-%d", logins))
				case "http://"+r.URL.Host == home:
					reply(w, 200, limitsBody)
				default:
					w.Header().Set("Location", home+r.URL.Path)
					w.WriteHeader(302)
				}
			})
		})
		if _, err := c.Limits(t.Context()); err != nil {
			t.Fatal(err)
		}
		home = "http://127.0.0.1:82"
		time.Sleep(time.Hour)
		_, err := c.Limits(t.Context())
		expect(t, err, Transient, "", false)
		if _, err = c.Limits(t.Context()); err != nil {
			t.Errorf("the instance moved and was not found again: %v", err)
		}
		if logins != 2 {
			t.Errorf("%d logins, want 2", logins)
		}
	})
}

func TestAnotherOrgIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		org := "00Dx0000000BV7z"
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, _ *http.Request) {
				reply(w, 200, `{"id":"https://login.salesforce.com/id/`+org+`/005x00000012Q9P","instance_url":"http://127.0.0.1:9","access_token":"`+org+`!x"}`)
			})
		})
		s, err := c.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		org = "00Dx0000000SBOX"
		_, err = c.Token(t.Context(), s.Token)
		expect(t, err, Permanent, CodeOtherOrg, false)
	})
}

func TestUsernameIsAskedForWhereNotConfigured(t *testing.T) {
	t.Parallel()
	refresh := func(cfg *Config) {
		cfg.Auth, cfg.Username, cfg.Password, cfg.RefreshToken = AuthRefreshToken, "", "", "CANARYrefreshtoken"
	}
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/services/oauth2/userinfo" {
			t.Errorf("asked %s", r.URL.Path)
		}
		reply(w, 200, `{"user_id":"005x00000012Q9P","preferred_username":"who@acme.example"}`)
	}
	s, err := o.client(refresh).Login(t.Context())
	if err != nil || s.Username != "who@acme.example" {
		t.Errorf("got %q, %v", s.Username, err)
	}

	o.api = func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/id/00Dx0000000BV7zEAG/005x00000012Q9PAAU" {
			reply(w, 403, "Bad_OAuth_Token")
			return
		}
		reply(w, 200, `{"user_id":"005x00000012Q9P","username":"id@acme.example"}`)
	}
	s, err = o.client(refresh).Login(t.Context())
	if err != nil || s.Username != "id@acme.example" {
		t.Errorf("got %q, %v", s.Username, err)
	}

	o.html(500, "<html>")
	if s, err = o.client(refresh).Login(t.Context()); err != nil || s.Username != "" {
		t.Errorf("not knowing the name is no reason to fail: %q, %v", s.Username, err)
	}
}

func TestRotatedRefreshTokenIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		var log bytes.Buffer
		c := newClient(t, "http://127.0.0.1:9", func(cfg *Config) {
			cfg.Auth, cfg.RefreshToken, cfg.Log = AuthRefreshToken, "refresh-0", zerolog.New(&log)
			cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
				_ = r.ParseForm()
				sent = append(sent, r.Form.Get("refresh_token"))
				reply(w, 200, fmt.Sprintf(`{"instance_url":"http://127.0.0.1:9","access_token":"00D!%d","refresh_token":"refresh-%d"}`, len(sent), len(sent)))
			})
		})
		s, err := c.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err = c.Token(t.Context(), s.Token); err != nil {
			t.Fatal(err)
		}
		if !c.Rotated() {
			t.Error("it does not say that the token is used up")
		}
		if got := strings.Join(sent, " "); got != "refresh-0 refresh-1" {
			t.Errorf("sent %s", got)
		}
		if !strings.Contains(log.String(), "refresh_token_rotated") || strings.Contains(log.String(), "refresh-1") {
			t.Errorf("log: %s", log.String())
		}
	})
}
