package org

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
)

const scope = "api refresh_token web"

// oauthError is the object an OAuth endpoint answers with status 400.
// (Salesforce Help, "OAuth 2.0 Authorization Errors".)
type oauthError struct {
	Code        string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

var (
	errFailure  = &oauthError{"invalid_grant", "authentication failure"}
	errExpired  = &oauthError{"invalid_grant", "expired access/refresh token"}
	errAudience = &oauthError{"invalid_grant", "Audience validation failed"}
	errApproval = &oauthError{"invalid_grant", "user hasn't approved this consumer"}
	errAssert   = &oauthError{"invalid_grant", "invalid assertion"}
	errLate     = &oauthError{"invalid_grant", "expired authorization code"}
	errRate     = &oauthError{"invalid_grant", "login rate exceeded"}
	errClientID = &oauthError{"invalid_client_id", "client identifier invalid"}
	errSecret   = &oauthError{"invalid_client", "invalid client credentials"}
	errGrant    = &oauthError{"unsupported_grant_type", "grant type not supported"}
)

// grant is what a successful token request leads to.
type grant struct {
	user      *user
	client    string
	refreshed bool   // by a refresh token
	rotated   string // the refresh token that takes its place
	brief     bool   // the JWT answer has neither issued_at nor signature
}

// token serves POST /services/oauth2/token.
func (s *Server) token(r *http.Request) answer {
	if r.Method != http.MethodPost {
		return notAllowed(r.Method, "POST")
	}
	r.Body = http.MaxBytesReader(nil, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		return oauthFail(&oauthError{"invalid_request", "request body unreadable"})
	}
	g, refused := s.grant(r, r.Form)
	if refused == nil && !s.mayLogIn(g.user) {
		refused = errRate
	}
	if refused == nil && g.refreshed && s.opt.RotateRefreshTokens {
		g.rotated = s.rotate()
	}
	if refused != nil {
		return oauthFail(refused)
	}
	sess := s.open(g.user, g.client)
	id := s.identityURL(g.user)
	body := object{
		{"access_token", sess.token},
		{"scope", scope},
		{"instance_url", s.instanceURL()},
		{"id", id},
		{"token_type", "Bearer"},
	}
	if !g.brief {
		issued := strconv.FormatInt(s.opt.Now().UnixMilli(), 10)
		body = append(body,
			member{"issued_at", issued},
			member{"signature", sign(s.opt.ClientSecret, id+issued)})
	}
	if g.rotated != "" {
		body = append(body, member{"refresh_token", g.rotated})
	}
	a := ok(body)
	a.header = http.Header{"Cache-Control": {"no-store"}}
	return a
}

func (s *Server) grant(r *http.Request, form url.Values) (grant, *oauthError) {
	client, secret := form.Get("client_id"), form.Get("client_secret")
	if id, pass, ok := r.BasicAuth(); ok {
		client, secret = id, pass
	}
	g := grant{user: s.user, client: client}
	kind := form.Get("grant_type")
	switch kind {
	case "password", "refresh_token", "client_credentials":
		if client != s.opt.ClientID {
			return g, errClientID
		}
	case "urn:ietf:params:oauth:grant-type:jwt-bearer":
		g.brief, g.client = true, s.opt.ClientID
		return g, s.checkAssertion(form.Get("assertion"))
	case "":
		return g, &oauthError{"invalid_request", "missing required parameter: grant_type"}
	default:
		return g, errGrant
	}
	// A public client may refresh without its secret, not with a wrong one.
	if !equal(secret, s.opt.ClientSecret) && (kind != "refresh_token" || secret != "") {
		return g, errSecret
	}
	switch kind {
	case "password":
		if !s.logsIn(form.Get("username"), form.Get("password")) {
			return g, errFailure
		}
	case "refresh_token":
		if !s.refreshes(form.Get("refresh_token")) {
			return g, errExpired
		}
		g.refreshed = true
	}
	return g, nil
}

// logsIn compares a user name and a password with the security token appended.
func (s *Server) logsIn(username, password string) bool {
	return username == s.opt.Username && equal(password, s.opt.Password+s.opt.SecurityToken)
}

func (s *Server) refreshes(token string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.refreshRevoked && equal(token, s.refreshToken)
}

// refresh is the refresh token of the app.
func (s *Server) refresh() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.refreshToken
}

// rotate ends the refresh token and returns the next.
func (s *Server) rotate() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refreshToken = "5Aep861." + rand.Text()
	return s.refreshToken
}

// revoke serves POST and GET /services/oauth2/revoke.
func (s *Server) revoke(r *http.Request) answer {
	r.Body = http.MaxBytesReader(nil, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil || r.Form.Get("token") == "" {
		return oauthFail(&oauthError{"invalid_request", "missing required parameter: token"})
	}
	token := r.Form.Get("token")
	switch {
	case equal(token, s.refresh()):
		// Revoking a refresh token ends the access tokens that came of it.
		s.mu.Lock()
		s.refreshRevoked = true
		clear(s.sessions)
		s.mu.Unlock()
	case !s.closeSession(token):
		return oauthFail(&oauthError{"unsupported_token_type", "this token type is not supported"})
	}
	return answer{status: http.StatusOK}
}

func oauthFail(e *oauthError) answer {
	return answer{
		status: http.StatusBadRequest,
		header: http.Header{"Cache-Control": {"no-store"}},
		body:   e,
	}
}

// sign is the signature of a token answer.
// (Salesforce Help: "HMAC-SHA256 signature signed with the client secret … of the concatenated ID and issued_at".)
func sign(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
