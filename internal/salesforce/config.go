package salesforce

import (
	"crypto/rsa"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-resty/resty/v2"
	"github.com/rs/zerolog"
)

// The OAuth flows, as in Config.Auth.
const (
	AuthJWT               = "jwt"
	AuthClientCredentials = "client_credentials"
	AuthRefreshToken      = "refresh_token"
	AuthPassword          = "password"
)

// Config says which org to talk to and as whom. It does not print its secrets.
type Config struct {
	LoginURL string // https, or http to loopback; default "https://login.salesforce.com"
	Auth     string // one of the Auth constants; required
	ClientID string // consumer key; required

	ClientSecret string // client_credentials, password; optional for refresh_token
	Username     string // jwt, password
	Password     string // password; includes the security token where the org wants one
	JWTKey       string // jwt: RSA private key, PEM, PKCS #1 or #8
	RefreshToken string // refresh_token

	APIVersion string // default "64.0"

	// HTTPClient's transport is used, for example to trust another CA; its
	// redirect policy, cookie jar and timeout are not. Nil means a transport with
	// the system's roots and the proxy from the environment.
	HTTPClient *http.Client

	// ProbeEvery is how often a request is tried while the calls of the day are used
	// up, and ten times as often writes while the org is read only; default 10 min.
	ProbeEvery time.Duration

	// Allow, if set, is asked before each request, at the last moment, and before a
	// token is handed out; an error means that it must not be. It must not block.
	Allow func() error

	// LoggedIn, if set, is told each session that a login gave: the org may live at
	// another instance than before. It must not block.
	LoggedIn func(Session)

	Log zerolog.Logger // the zero value is silent
}

// String keeps the secrets out of every fmt verb that prints a Config.
func (c Config) String() string {
	return fmt.Sprintf("{%s %s %s}", c.LoginURL, c.Auth, c.Username)
}

// GoString does the same for %#v.
func (c Config) GoString() string { return "salesforce.Config" + c.String() }

// Client talks to one org. See the package comment for its promises.
type Client struct {
	cfg    Config
	login  *url.URL // scheme and host only
	jwtKey *rsa.PrivateKey
	http   *resty.Client
	log    zerolog.Logger
	cap    int64 // bytes of an answer; maxBody but in tests

	clock   clock
	usage   usage
	packer  packer
	packing packing

	spent    halt // of all requests, while the calls of the day are used up
	readOnly halt // of writes, while the org takes none

	turn     chan struct{} // held by the one that logs in
	audience string        // of assertions; whoever has the turn may change it

	mu           sync.Mutex
	session      Session
	refused      string    // the token the server refused; never handed out again
	suspect      bool      // the instance host did not behave; ask the token host again
	pagesSince   time.Time // when it began to answer with pages only; zero if it does not
	lastLogin    time.Time // end of the last login that gave a session
	lastTry      time.Time // end of the last login attempt
	hurried      bool      // the last login came close after the one before
	flights      uint64    // login attempts that ended, for sharing their outcome
	failure      *Error    // outcome of the last attempt, nil after a success
	refusals     int       // attempts refused in a row
	outages      int       // attempts without an answer in a row
	refreshToken string    // may be rotated by the org

	secrets atomic.Pointer[[]string] // what must never appear in an error
}

var versionForm = regexp.MustCompile(`^[1-9][0-9]{1,2}\.0$`)

// New checks cfg and returns a client. It does no I/O.
func New(cfg Config) (*Client, error) {
	if cfg.LoginURL == "" {
		cfg.LoginURL = "https://login.salesforce.com"
	}
	if cfg.APIVersion == "" {
		cfg.APIVersion = "64.0"
	}
	if !versionForm.MatchString(cfg.APIVersion) {
		return nil, fmt.Errorf("salesforce: API version %q is not of the form 64.0", cfg.APIVersion)
	}
	login, err := parseLogin(cfg.LoginURL)
	if err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	c := &Client{
		cfg: cfg, login: login, audience: audience(login), http: newHTTP(cfg.HTTPClient, cfg.Allow),
		log: cfg.Log.With().Str("component", "salesforce").Logger(),
		cap: maxBody, turn: make(chan struct{}, 1), refreshToken: cfg.RefreshToken,
		packer: packer{wait: gatherFor},
	}
	if cfg.ProbeEvery <= 0 {
		cfg.ProbeEvery = probeEvery
	}
	c.spent.every, c.readOnly.every = cfg.ProbeEvery, cfg.ProbeEvery/10
	if err := c.checkFlow(); err != nil {
		return nil, fmt.Errorf("salesforce: %w", err)
	}
	c.hide(cfg.ClientSecret, cfg.Password, cfg.RefreshToken, cfg.JWTKey)
	return c, nil
}

// checkFlow reports what the chosen flow lacks, by name and never by value.
func (c *Client) checkFlow() error {
	need := func(name, value string) error {
		if value == "" {
			return fmt.Errorf("%s: %s not set", c.cfg.Auth, name)
		}
		return nil
	}
	err := need("client id", c.cfg.ClientID)
	switch c.cfg.Auth {
	case AuthPassword:
		return errors.Join(err, need("client secret", c.cfg.ClientSecret),
			need("username", c.cfg.Username), need("password", c.cfg.Password))
	case AuthRefreshToken:
		return errors.Join(err, need("refresh token", c.cfg.RefreshToken))
	case AuthClientCredentials:
		if h := c.login.Hostname(); h == "login.salesforce.com" || h == "test.salesforce.com" {
			err = errors.Join(err, fmt.Errorf("client_credentials: works only with the org's My Domain as login URL, not %s", h))
		}
		return errors.Join(err, need("client secret", c.cfg.ClientSecret))
	case AuthJWT:
		var keyErr error
		c.jwtKey, keyErr = parseKey(c.cfg.JWTKey)
		return errors.Join(err, need("username", c.cfg.Username), keyErr)
	case "":
		return errors.New("authentication flow not set")
	default:
		return fmt.Errorf("authentication flow %q is none of jwt, client_credentials, refresh_token, password", c.cfg.Auth)
	}
}

// base is the path that all versioned resources begin with.
func (c *Client) base() string { return "/services/data/v" + c.cfg.APIVersion }

// hide adds secrets to what scrub removes. Very short ones are left out: they
// cannot be told from ordinary text. The newest are kept, and those of the
// configuration, which come first.
func (c *Client) hide(secrets ...string) {
	const configured, kept = 8, 16 // a secret counts twice if its form differs
	var all []string
	if old := c.secrets.Load(); old != nil {
		all = append(all, *old...)
	}
	for _, s := range secrets {
		if len(s) < 6 {
			continue
		}
		all = append(all, s)
		if form := url.QueryEscape(s); form != s {
			all = append(all, form) // as it is sent to the token host
		}
	}
	if len(all) > configured+kept {
		all = append(all[:configured:configured], all[len(all)-kept:]...)
	}
	c.secrets.Store(&all)
}

// scrub removes secrets from text that came from outside: a server, or a
// library quoting it, may echo what it was sent.
func (c *Client) scrub(text string) string {
	if s := c.secrets.Load(); s != nil {
		for _, secret := range *s {
			text = strings.ReplaceAll(text, secret, "[redacted]")
		}
	}
	return text
}
