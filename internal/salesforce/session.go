package salesforce

import (
	"context"
	"errors"
	"net/http"
	"time"

	"hcbridge/internal/retry"
)

// How far logins are apart. A user has few sessions, of which a new one pushes
// out the oldest, and 3,600 logins an hour; a wrong password locks the user out.
const (
	loginEvery   = 10 * time.Second // after two logins close to each other, or one that was refused
	refusedMost  = 5 * time.Minute  // after many refusals: the wait doubles with each
	loginRetry   = time.Second      // after one that got no answer; the wait doubles with each
	outageMost   = 30 * time.Second // after many of those
	suspectEvery = time.Minute      // when the instance host, not the token, is the trouble
	pagesMost    = 30 * time.Second // of nothing but pages, after which the instance host is
)

// Session is what a login gave. It does not print its token.
type Session struct {
	Token       string `json:"-"`
	InstanceURL string // scheme and host, for example "https://acme.my.salesforce.com"
	OrgID       string // 18 characters; "" if the token response had no id
	UserID      string // 18 characters; likewise
	Username    string // best effort; "" if the org does not tell
}

// String keeps the token out of every fmt verb that prints a Session.
func (s Session) String() string {
	return "{" + s.InstanceURL + " " + s.OrgID + " " + s.UserID + " " + s.Username + "}"
}

// GoString does the same for %#v.
func (s Session) GoString() string { return "salesforce.Session" + s.String() }

// Login makes sure of a session that is at most 10 s old, logging in if there is
// none. It fails as [Client.Token] does.
func (c *Client) Login(ctx context.Context) (Session, error) {
	c.mu.Lock()
	s, age := c.session, time.Since(c.lastLogin)
	c.mu.Unlock()
	if s.Token == "" || age < loginEvery {
		return c.Token(ctx, "")
	}
	return c.Token(ctx, s.Token)
}

// Token returns the present session, logging in if there is none or if refused,
// the token that the server has just refused ("" if none was), is the present one.
//
// All callers share one login at a time and its outcome, so any number of refusals
// of one token cause one login. The first refusal of a new session is answered at
// once; logins that follow each other within 20 s are 10 s apart, for which Token
// waits, or for ctx. While the token host does not answer there is one attempt
// for all callers, after a second and then twice as long after each, up to 30 s.
// After credentials were refused it fails with
// the same error without asking again: for 10 s, and twice as long after each
// further refusal, up to five minutes, because an org locks a user out who tries
// a wrong password too often.
//
// Without Config.Allow's consent it fails at once, as Transient.
//
// The error is an [*Error]: Auth if the org refused the credentials, Permanent if
// its answer must not be trusted, else Transient or Limit.
func (c *Client) Token(ctx context.Context, refused string) (Session, error) {
	if c.cfg.Allow != nil {
		if err := c.cfg.Allow(); err != nil {
			return Session{}, loginError(err)
		}
	}
	c.mu.Lock()
	if refused != "" && refused == c.session.Token {
		c.refused = refused
	}
	s, ok, seen := c.session, c.usable(), c.flights
	c.mu.Unlock()
	if ok {
		return s, nil
	}

	select {
	case c.turn <- struct{}{}:
		defer func() { <-c.turn }()
	case <-ctx.Done():
		return Session{}, loginError(ctx.Err())
	}

	c.mu.Lock()
	s, ok = c.session, c.usable()
	shared, wait := c.failure, c.holdOff()
	fresh := c.flights != seen // someone logged in while we waited for our turn
	c.mu.Unlock()
	switch {
	case ok:
		return s, nil
	case shared != nil && (fresh || wait > 0 && shared.Class != Transient):
		return Session{}, shared
	}
	if err := retry.Sleep(ctx, wait); err != nil {
		return Session{}, loginError(err)
	}
	return c.logIn(ctx)
}

// usable reports whether the session may be handed out. Call with mu held.
func (c *Client) usable() bool {
	if c.session.Token == "" || c.session.Token == c.refused {
		return false
	}
	// Nobody has refused it, so it serves on where logins must wait.
	return !c.suspect || time.Since(c.lastTry) < suspectEvery || c.holdOff() > 0
}

// holdOff returns how long the next login must wait. Call with mu held.
func (c *Client) holdOff() time.Duration {
	switch {
	case c.lastTry.IsZero():
		return 0
	case c.failure != nil && c.failure.Class == Transient:
		wait := outageMost
		if doublings := c.outages - 1; doublings < 5 {
			wait = loginRetry << max(doublings, 0)
		}
		return max(wait-time.Since(c.lastTry), 0)
	case c.failure != nil:
		wait := refusedMost
		if doublings := c.refusals - 1; doublings < 5 {
			wait = loginEvery << max(doublings, 0)
		}
		return max(wait-time.Since(c.lastTry), 0)
	case c.hurried:
		return max(loginEvery-time.Since(c.lastTry), 0)
	default:
		return 0
	}
}

// logIn asks the token host; the caller has the turn. The outcome is kept for
// those who wait, unless it is only that this caller went away.
func (c *Client) logIn(ctx context.Context) (Session, error) {
	start := time.Now()
	s, failure := c.authorize(ctx)
	if failure != nil && ctx.Err() != nil {
		return Session{}, failure
	}
	c.mu.Lock()
	c.flights++
	c.lastTry, c.failure = time.Now(), failure
	switch {
	case failure == nil:
		c.refusals, c.outages = 0, 0
	case failure.Class == Transient:
		c.outages++
	default:
		c.refusals, c.outages = c.refusals+1, 0
	}
	kept := c.session
	if failure == nil {
		c.hurried = !c.lastLogin.IsZero() && c.lastTry.Sub(c.lastLogin) < 2*loginEvery
		c.session, c.suspect, c.pagesSince, c.lastLogin = s, false, time.Time{}, c.lastTry
		if s.Token == c.refused {
			// The org handed out the same session again: it takes it back, so let
			// the next answer decide.
			c.refused = ""
		}
	}
	works := kept.Token != c.refused && kept.Token != ""
	c.mu.Unlock()
	switch {
	case failure != nil && works:
		// Nobody refused this token; it stays in use until the token host is back.
		return kept, nil
	case failure != nil:
		return Session{}, failure
	}
	if c.cfg.LoggedIn != nil {
		c.cfg.LoggedIn(s)
	}
	c.log.Info().Str("event", "logged_in").Str("org_id", s.OrgID).Str("instance_url", s.InstanceURL).
		Dur("took_ms", time.Since(start)).Msg("logged in to Salesforce")
	return s, nil
}

// Doubt says that the instance host does not behave to one who uses token, for
// example over the Streaming API, though nobody has refused the token. If that is of
// the present session, the next request and the next [Client.Token] ask the token
// host where the org lives, once a minute at most and unless a request works first.
func (c *Client) Doubt(token string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if token == c.session.Token {
		c.suspect = true
	}
}

// doubtInstance has the next request ask the token host where the org lives: it
// may have moved to another instance, which the old host does not say.
func (c *Client) doubtInstance(s Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == c.session {
		c.suspect = true
	}
}

// doubtPages doubts an instance that gives nothing but pages for some time. A page
// or two are those of an instance in trouble, where the org lives still.
func (c *Client) doubtPages(s Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s != c.session {
		return
	}
	if c.pagesSince.IsZero() {
		c.pagesSince = time.Now()
	}
	c.suspect = c.suspect || time.Since(c.pagesSince) >= pagesMost
}

// trustInstance takes all doubt back: the org has answered there.
func (c *Client) trustInstance(s Session) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s == c.session {
		c.suspect, c.pagesSince = false, time.Time{}
	}
}

// loginError is a login that its caller gave up.
func loginError(err error) *Error {
	return &Error{Op: "login", Class: Transient, Err: err}
}

// sameOrg guards against credentials that come to lead to another org, for
// example from production to a sandbox, while rows of the first are in hand.
func (c *Client) sameOrg(s Session) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if was := c.session.OrgID; was != "" && s.OrgID != "" && was != s.OrgID {
		return &Error{
			Op: "login", Status: http.StatusOK, Code: CodeOtherOrg, Class: Permanent,
			Err: errors.New("org is " + s.OrgID + ", was " + was),
		}
	}
	return nil
}
