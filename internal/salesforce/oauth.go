package salesforce

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const tokenPath = "/services/oauth2/token"

// grant is the answer of the token host. There is no expires_in: a session lives
// for as long as it is used, and its end shows as a 401.
//
// Salesforce Help, "OAuth 2.0 Username-Password Flow", and the other flows.
type grant struct {
	AccessToken  string `json:"access_token"`
	InstanceURL  string `json:"instance_url"`
	ID           string `json:"id"`
	RefreshToken string `json:"refresh_token"` // only when the app rotates them
}

// authorize runs the configured flow once and checks what it gave.
func (c *Client) authorize(ctx context.Context) (Session, *Error) {
	signedAt := c.ServerTime()
	g, err := c.ask(ctx, signedAt)
	// A clock that is off makes the assertion look expired or too long-lived. The
	// refusal itself brought the server's time, so sign once more with that.
	if err != nil && c.cfg.Auth == AuthJWT && err.Class == Auth {
		if now := c.ServerTime(); now.Sub(signedAt).Abs() > time.Minute {
			g, err = c.ask(ctx, now)
		}
	}
	if err != nil && c.cfg.Auth == AuthJWT {
		g, err = c.askOthers(ctx, err)
	}
	if err != nil {
		return Session{}, err
	}
	c.hide(g.AccessToken, g.RefreshToken)
	s, err := c.adopt(g)
	if err != nil {
		return Session{}, err
	}
	s.Username = c.username(ctx, s)
	return s, nil
}

// askOthers tries the other audiences where a refusal may be about the one that was
// asked for. Where none is taken it returns the refusal that says most.
func (c *Client) askOthers(ctx context.Context, refusal *Error) (grant, *Error) {
	was := c.audience
	for _, other := range otherAudiences(c.login, was) {
		if !c.mayBeAudience(refusal) {
			break
		}
		c.audience = other
		g, err := c.ask(ctx, c.ServerTime())
		if err == nil {
			return g, nil
		}
		if err.Class != Auth || !namesAudience(err) {
			refusal = err
		}
	}
	c.audience = was
	return grant{}, refusal
}

// mayBeAudience reports whether a refusal may be about the audience. Salesforce says so;
// another org on this machine may only say that it does not take the assertion.
func (c *Client) mayBeAudience(e *Error) bool {
	return e.Class == Auth && (namesAudience(e) || e.Code == "invalid_grant" && loopback(c.login.Hostname()))
}

func namesAudience(e *Error) bool {
	return strings.Contains(strings.ToLower(e.Message), "audience")
}

// ask sends the form to the token host and returns its grant.
func (c *Client) ask(parent context.Context, now time.Time) (grant, *Error) {
	r := request{op: "login", method: http.MethodPost}
	form, err := c.form(now)
	if err != nil {
		return grant{}, &Error{Op: r.op, Class: Permanent, Err: err}
	}
	origin := c.login.String()
	ctx, cancel := context.WithCancelCause(withPin(parent, origin))
	defer cancel(nil)
	defer time.AfterFunc(authDeadline, func() { cancel(lateError{authDeadline}) }).Stop()

	resp, err := c.http.R().SetContext(ctx).SetDoNotParseResponse(true).
		SetHeader("User-Agent", "hcbridge").
		SetHeader("Accept", "application/json").
		SetHeader("Content-Type", "application/x-www-form-urlencoded").
		SetBody([]byte(form.Encode())).
		Execute(http.MethodPost, origin+tokenPath)
	if err != nil {
		return grant{}, c.lost(parent, ctx, r, err, true)
	}
	raw := resp.RawResponse
	defer func() { _ = raw.Body.Close() }()
	c.clock.note(raw.Header)
	body, err := readCapped(raw.Body, maxAuth)
	if err != nil {
		e := c.cut(parent, ctx, r, raw.StatusCode, err)
		e.Code, e.Class = "", Transient
		return grant{}, e
	}
	return c.judgeGrant(r, raw, body)
}

func (c *Client) judgeGrant(r request, raw *http.Response, body []byte) (grant, *Error) {
	status := raw.StatusCode
	if status >= 300 && status < 400 {
		return grant{}, c.redirected(r, raw)
	}
	if why := notJSON(raw.Header, body); why != "" {
		e := c.unreadable(r, status, why, body)
		e.Class = Transient // the token host is in trouble, the credentials are not
		return grant{}, e
	}
	if status != http.StatusOK {
		wire, ok := parseErrors(status, body)
		if !ok {
			e := c.unreadable(r, status, "not an OAuth error", body)
			e.Class = Transient
			return grant{}, e
		}
		e := c.newError(r.op, status, wire[0], false)
		e.Class, e.Brief = classifyOAuth(status, e.Code, e.Message)
		return grant{}, e
	}
	var g grant
	if json.Unmarshal(body, &g) != nil || !tokenForm(g.AccessToken) {
		return grant{}, c.unreadable(r, status, "no access token", body)
	}
	return g, nil
}

// tokenForm accepts what can be a header's value; the token is opaque otherwise.
func tokenForm(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r >= 0x7f })
}

// form returns the fields of the configured flow.
func (c *Client) form(now time.Time) (url.Values, error) {
	f := url.Values{}
	if c.cfg.Auth == AuthJWT {
		assertion, err := c.assertion(now)
		if err != nil {
			return nil, err
		}
		c.hide(assertion)
		f.Set("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer")
		f.Set("assertion", assertion)
		return f, nil
	}
	f.Set("grant_type", c.cfg.Auth)
	f.Set("client_id", c.cfg.ClientID)
	if c.cfg.ClientSecret != "" { // optional for public clients that refresh
		f.Set("client_secret", c.cfg.ClientSecret)
	}
	switch c.cfg.Auth {
	case AuthPassword:
		f.Set("username", c.cfg.Username)
		f.Set("password", c.cfg.Password)
	case AuthRefreshToken:
		c.mu.Lock()
		f.Set("refresh_token", c.refreshToken)
		c.mu.Unlock()
	}
	return f, nil
}

// adopt turns a grant into a session, if its instance may be trusted with it.
func (c *Client) adopt(g grant) (Session, *Error) {
	instance, err := checkInstance(c.login, g.InstanceURL)
	if err != nil {
		return Session{}, &Error{
			Op: "login", Status: http.StatusOK, Code: CodeNotAllowedByHost, Class: Permanent,
			Err: fmt.Errorf("instance URL of the token response refused: %w", err),
		}
	}
	s := Session{Token: g.AccessToken, InstanceURL: instance.String(), Username: c.cfg.Username}
	s.OrgID, s.UserID = identity(g.ID)
	if err := c.sameOrg(s); err != nil {
		return Session{}, err
	}
	if g.RefreshToken != "" && c.cfg.Auth == AuthRefreshToken {
		c.mu.Lock()
		rotated := g.RefreshToken != c.refreshToken
		c.refreshToken = g.RefreshToken
		c.mu.Unlock()
		if rotated {
			c.log.Warn().Str("event", "refresh_token_rotated").
				Msg("the connected app rotates refresh tokens: the configured one will not work after a restart")
		}
	}
	return s, nil
}

// Rotated reports whether a login has used up the refresh token of Config and got
// another, which only this client knows.
func (c *Client) Rotated() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.refreshToken != c.cfg.RefreshToken
}

// identity takes org and user from an identity URL, for example
// "https://login.salesforce.com/id/00Dx0000000BV7z/005x00000012Q9P".
func identity(raw string) (org, user string) {
	u, err := url.Parse(raw)
	if err != nil {
		return "", ""
	}
	rest, ok := strings.CutPrefix(u.Path, "/id/")
	org, user, ok2 := strings.Cut(rest, "/")
	if !ok || !ok2 || !idForm(org) || !idForm(user) {
		return "", ""
	}
	return ID18(org), ID18(user)
}

// username asks the org who we are where the configuration does not say. Not
// knowing is no reason to fail.
func (c *Client) username(ctx context.Context, s Session) string {
	if s.Username != "" {
		return s.Username
	}
	c.mu.Lock()
	was := c.session
	c.mu.Unlock()
	if was.UserID == s.UserID && was.Username != "" {
		return was.Username
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 5*time.Second, errors.New("user name: no answer in 5s"))
	defer cancel()
	paths := []string{"/services/oauth2/userinfo"}
	if s.OrgID != "" {
		// The identity URL, asked at the instance: its own host gets no token.
		paths = append(paths, "/id/"+s.OrgID+"/"+s.UserID)
	}
	for _, path := range paths {
		a, err := c.send(ctx, s, request{op: "user name", method: http.MethodGet, path: path})
		if err != nil {
			continue
		}
		var who struct {
			Preferred string `json:"preferred_username"`
			Username  string `json:"username"`
		}
		if c.decode(a, &who) == nil && who.Preferred+who.Username != "" {
			return strings.TrimSpace(firstOf(who.Preferred, who.Username))
		}
	}
	return ""
}

func firstOf(a, b string) string {
	if a != "" {
		return a
	}
	return b
}
