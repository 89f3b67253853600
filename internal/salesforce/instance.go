package salesforce

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// salesforceDomains are the domains whose hosts belong to Salesforce orgs.
func salesforceDomains() []string {
	return []string{"salesforce.com", "force.com", "cloudforce.com", "database.com", "salesforce.mil", "sfcrmproducts.cn"}
}

// parseLogin checks the login URL: https, or http to loopback, and nothing but a host.
func parseLogin(raw string) (*url.URL, error) {
	u, err := parseOrigin(raw)
	if err != nil {
		return nil, fmt.Errorf("login URL: %w", err)
	}
	if u.Scheme != "https" && !loopback(u.Hostname()) {
		return nil, errors.New("login URL: plain http is for loopback only")
	}
	return u, nil
}

// checkInstance decides whether the host that a token response names may get the
// token. It must be a Salesforce host or the login host itself, over https; when
// we log in over loopback, as with a local org, it must be loopback too.
func checkInstance(login *url.URL, raw string) (*url.URL, error) {
	u, err := parseOrigin(raw)
	if err != nil {
		return nil, err
	}
	host := u.Hostname()
	if loopback(login.Hostname()) {
		if !loopback(host) {
			return nil, errors.New("not loopback, though the login host is")
		}
		return u, nil
	}
	if u.Scheme != "https" {
		return nil, errors.New("not https")
	}
	if u.Host == login.Host {
		return u, nil
	}
	if u.Port() != "" {
		return nil, errors.New("a port other than 443")
	}
	under := func(domain string) bool { return strings.HasSuffix(host, "."+domain) }
	if !slices.ContainsFunc(salesforceDomains(), under) {
		return nil, errors.New("not a Salesforce host")
	}
	return u, nil
}

// parseOrigin accepts scheme, host and port and nothing more; what else could be
// in a URL is there to confuse its readers. It returns host and scheme in lower
// case and without the default port.
func parseOrigin(raw string) (*url.URL, error) {
	if strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r >= 0x7f || strings.ContainsRune(`\%@?#`, r) }) {
		return nil, errors.New("a character that no host has")
	}
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("not a URL") // the parser's error repeats its input
	}
	if u.Scheme != "https" && u.Scheme != "http" || u.Opaque != "" || u.Host == "" || u.Path != "" && u.Path != "/" {
		return nil, errors.New("not of the form https://host")
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if addr, err := netip.ParseAddr(host); err == nil {
		if !addr.IsLoopback() || addr.Zone() != "" {
			return nil, errors.New("an IP address")
		}
	} else if !hostname(host) {
		return nil, errors.New("not a host name")
	}
	if strings.HasSuffix(u.Host, ":") {
		return nil, errors.New("an empty port")
	}
	if port == "443" && u.Scheme == "https" || port == "80" && u.Scheme == "http" {
		port = ""
	}
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != "" {
		host += ":" + port
	}
	return &url.URL{Scheme: u.Scheme, Host: host}, nil
}

// hostname accepts dot-separated labels of lower-case letters, digits and inner
// hyphens of which the last is not a number: 127.1 and 0x7f.1 are addresses to
// some resolvers.
func hostname(host string) bool {
	labels := strings.Split(host, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		if strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
			return false
		}
	}
	last := labels[len(labels)-1]
	return len(host) <= 253 && (last[0] < '0' || last[0] > '9')
}

func loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// The audiences of production, and of sandboxes and scratch orgs.
const (
	audienceLogin = "https://login.salesforce.com"
	audienceTest  = "https://test.salesforce.com"
)

// audience returns the aud claim of an assertion: that of all production or all
// sandbox and scratch orgs, whichever login serves the host, even where the host is an org's
// My Domain.
//
// Salesforce Help, "OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration".
func audience(login *url.URL) string {
	host := login.Hostname()
	label, _, _ := strings.Cut(host, ".")
	switch {
	case !strings.HasSuffix(host, ".salesforce.com") && !strings.HasSuffix(host, ".force.com"):
		return login.String()
	case host == "test.salesforce.com",
		strings.HasSuffix(host, ".sandbox.my.salesforce.com"), strings.HasSuffix(host, ".scratch.my.salesforce.com"),
		strings.Contains(label, "--"): // a sandbox's My Domain outside the partition above
		return audienceTest
	default:
		return audienceLogin
	}
}

// otherAudiences returns the aud claims to try where one is refused: a host's name does
// not always tell a sandbox, and an org on loopback may stand for any. Any other host
// could log in to Salesforce as us with what it got.
func otherAudiences(login *url.URL, refused string) []string {
	all := []string{audienceLogin, audienceTest}
	switch {
	case loopback(login.Hostname()):
		all = append(all, login.String())
	case !slices.Contains(all, refused):
		return nil
	}
	return slices.DeleteFunc(all, func(a string) bool { return a == refused })
}
