package config

import (
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"
)

// minAPIVersion is the first that has query jobs in Bulk API 2.0.
const minAPIVersion = 47

var apiVersionPattern = regexp.MustCompile(`^v?([0-9]{2,3})(\.0)?$`)

func (e *environment) salesforce() Salesforce {
	s := Salesforce{
		LoginURL:     e.loginURL(),
		ClientID:     e.value("HC_SALESFORCE_CLIENT_ID"),
		ClientSecret: e.secret("HC_SALESFORCE_CLIENT_SECRET"),
		Username:     e.value("HC_SALESFORCE_USERNAME"),
		Password:     e.secret("HC_SALESFORCE_PASSWORD"),
		JWTKey:       e.jwtKey(),
		RefreshToken: e.secret("HC_SALESFORCE_REFRESH_TOKEN"),
		APIVersion:   e.apiVersion(),
	}
	s.Auth = e.auth()
	e.requireFor(s.Auth)
	if host := strings.TrimPrefix(s.LoginURL, "https://"); s.Auth == AuthClientCredentials && (host == "login.salesforce.com" || host == "test.salesforce.com") {
		e.add("HC_SALESFORCE_LOGIN_URL", "client_credentials works only on the org's My Domain: set https://<name>.my.salesforce.com")
	}
	return s
}

// loginURL returns scheme and host.
func (e *environment) loginURL() string {
	const name = "HC_SALESFORCE_LOGIN_URL"
	text := e.setting(name)
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Hostname() == "" {
		e.add(name, "not a URL like https://login.salesforce.com")
		return ""
	}
	switch {
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		e.add(name, "http:// is for loopback only: use https://")
	case u.Scheme != "https" && u.Scheme != "http":
		e.add(name, "not an https URL")
	case u.User != nil:
		e.add(name, "contains a user: use HC_SALESFORCE_USERNAME and HC_SALESFORCE_PASSWORD")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		e.add(name, "give only scheme and host, as in https://login.salesforce.com")
	case strings.HasSuffix(u.Hostname(), ".lightning.force.com"):
		e.add(name, "this is the address of pages, not of logins: use https://<name>.my.salesforce.com")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host)
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// auth returns the flow that is set, else the one that what is set allows.
func (e *environment) auth() Auth {
	const name = "HC_SALESFORCE_AUTH"
	if e.value(name) != "" {
		return Auth(e.oneOf(name, string(AuthJWT), string(AuthClientCredentials), string(AuthRefreshToken), string(AuthPassword)))
	}
	var flows []Auth
	var because []string
	for _, way := range []struct {
		variable string
		flow     Auth
	}{
		{"HC_SALESFORCE_JWT_KEY", AuthJWT},
		{"HC_SALESFORCE_REFRESH_TOKEN", AuthRefreshToken},
		{"HC_SALESFORCE_PASSWORD", AuthPassword},
	} {
		if e.given(way.variable) {
			flows, because = append(flows, way.flow), append(because, way.variable)
		}
	}
	switch {
	case len(flows) == 1:
		return flows[0]
	case len(flows) > 1:
		e.add(name, "%s are set, which allows more than one way to log in: unset all but one, or say which with %s", strings.Join(because, ", "), name)
	case e.value("HC_SALESFORCE_USERNAME") != "":
		e.add(name, "HC_SALESFORCE_USERNAME is set, but neither HC_SALESFORCE_JWT_KEY (jwt) nor HC_SALESFORCE_PASSWORD (password): set one, or unset the user for client_credentials")
	case e.given("HC_SALESFORCE_CLIENT_SECRET"):
		return AuthClientCredentials
	default:
		e.add(name, "no way to log in: besides HC_SALESFORCE_CLIENT_ID set HC_SALESFORCE_CLIENT_SECRET (client_credentials), HC_SALESFORCE_USERNAME and HC_SALESFORCE_JWT_KEY (jwt), HC_SALESFORCE_REFRESH_TOKEN (refresh_token), or HC_SALESFORCE_CLIENT_SECRET, HC_SALESFORCE_USERNAME and HC_SALESFORCE_PASSWORD (password)")
	}
	return ""
}

// requireFor makes a problem of each variable that flow needs and that is not
// set.
func (e *environment) requireFor(flow Auth) {
	needs := map[Auth][]string{
		AuthJWT:               {"HC_SALESFORCE_USERNAME", "HC_SALESFORCE_JWT_KEY"},
		AuthClientCredentials: {"HC_SALESFORCE_CLIENT_SECRET"},
		AuthRefreshToken:      {"HC_SALESFORCE_REFRESH_TOKEN"},
		AuthPassword:          {"HC_SALESFORCE_CLIENT_SECRET", "HC_SALESFORCE_USERNAME", "HC_SALESFORCE_PASSWORD"},
	}
	if flow == "" {
		if e.value("HC_SALESFORCE_CLIENT_ID") == "" {
			e.add("HC_SALESFORCE_CLIENT_ID", "not set: give the consumer key of the External Client App")
		}
		return
	}
	for _, name := range append([]string{"HC_SALESFORCE_CLIENT_ID"}, needs[flow]...) {
		if !e.given(name) {
			e.add(name, "not set, and needed to log in by %s", flow)
		}
	}
}

// jwtKey returns an RSA private key in PEM. Environment files that hold one
// line per variable write its line ends as \n.
func (e *environment) jwtKey() Secret {
	const name = "HC_SALESFORCE_JWT_KEY"
	key := e.secret(name).Reveal()
	if key == "" {
		return ""
	}
	if !strings.Contains(strings.TrimSpace(key), "\n") {
		key = strings.ReplaceAll(key, `\n`, "\n")
	}
	variable := name
	if e.vars[name] == "" {
		variable += fileSuffix
	}
	block, _ := pem.Decode([]byte(key))
	switch {
	case block == nil:
		e.add(variable, "not a PEM block like -----BEGIN PRIVATE KEY-----")
	case block.Type == "CERTIFICATE", block.Type == "PUBLIC KEY":
		e.add(variable, "a %s, not the private key that belongs to it", strings.ToLower(block.Type))
	case strings.Contains(block.Type, "ENCRYPTED"), block.Headers["DEK-Info"] != "":
		e.add(variable, "the key is encrypted: decrypt it with openssl pkey")
	case !isRSAKey(block.Bytes):
		e.add(variable, "not an RSA private key, the only kind that Salesforce takes")
	}
	return Secret(key)
}

func isRSAKey(der []byte) bool {
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	_, isRSA := key.(*rsa.PrivateKey)
	return err == nil && isRSA
}

// apiVersion returns for example "64.0"; "64" and "v64.0" are taken too.
func (e *environment) apiVersion() string {
	const name = "HC_SALESFORCE_API_VERSION"
	text := e.setting(name)
	m := apiVersionPattern.FindStringSubmatch(text)
	if m == nil {
		e.add(name, "%s is not a version like 64.0", quote(text))
		return ""
	}
	if n, err := strconv.Atoi(m[1]); err != nil || n < minAPIVersion {
		e.add(name, "%s is older than %d.0, which the bridge needs", quote(text), minAPIVersion)
	}
	return m[1] + ".0"
}
