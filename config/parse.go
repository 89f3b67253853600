package config

import (
	"math"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of poll intervals.
const (
	minPoll = time.Second
	maxPoll = 24 * time.Hour
)

var (
	namePattern   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*$`)
	fieldPattern  = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_]*(\.[A-Za-z][A-Za-z0-9_]*)?$`)
	schemaPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	budgetPattern = regexp.MustCompile(`^([0-9]{1,9}(?:\.[0-9]{1,9})?)(%?)$`)

	// keywordPattern is a libpq connection string of words name = value; a value
	// with spaces is quoted (PostgreSQL, libpq, "Keyword/Value Connection Strings").
	keywordPattern = regexp.MustCompile(`(?s)^(?:\s*[A-Za-z_]+\s*=\s*(?:'(?:[^'\\]|\\.)*'|(?:[^\s'\\]|\\.)(?:[^\s\\]|\\.)*|$))+$`)
)

func isName(s string) bool  { return namePattern.MatchString(s) }
func isField(s string) bool { return fieldPattern.MatchString(s) }

// duration parses a variable, or its default, within bounds.
func (e *environment) duration(name string, least, most time.Duration) time.Duration {
	text := e.setting(name)
	d, err := time.ParseDuration(text)
	switch {
	case err != nil:
		e.add(name, "%s is not a duration like 90s, 10m or 1h30m", quote(text))
	case d < least || d > most:
		e.add(name, "%s is not between %s and %s", quote(text), short(least), short(most))
	}
	return d
}

// short writes a duration as people do: 10m, not 10m0s.
func short(d time.Duration) string {
	text := d.String()
	for _, zero := range []string{"0s", "0m"} {
		if trimmed := strings.TrimSuffix(text, zero); trimmed != "" && !('0' <= trimmed[len(trimmed)-1] && trimmed[len(trimmed)-1] <= '9') {
			text = trimmed
		}
	}
	return text
}

// oneOf returns a variable, or its default, in lower case.
func (e *environment) oneOf(name string, values ...string) string {
	return e.choice(name, e.setting(name), values...)
}

// choice returns value in lower case if it is among values or empty.
func (e *environment) choice(variable, value string, values ...string) string {
	lower := strings.ToLower(value)
	if lower != "" && !slices.Contains(values, lower) {
		e.add(variable, "%s is not one of %s", quote(value), strings.Join(values, ", "))
		return ""
	}
	return lower
}

// list splits a variable at its commas. what says what each item must be.
func (e *environment) list(name string, valid func(string) bool, what string) []string {
	var items []string
	for item := range strings.SplitSeq(e.value(name), ",") {
		item = strings.TrimSpace(item)
		switch {
		case item == "": // nothing set, or a comma at the end
		case !valid(item):
			e.add(name, "%s is not %s", quote(item), what)
		case containsFold(items, item):
			e.add(name, "%s is listed twice", item)
		default:
			items = append(items, item)
		}
	}
	return items
}

// databaseURL checks the form only, and quotes nothing: it holds a password.
func (e *environment) databaseURL(name string) Secret {
	value := Secret(strings.TrimSpace(e.secret(name).Reveal()))
	if value == "" {
		return ""
	}
	if !strings.Contains(value.Reveal(), "://") {
		if !keywordPattern.MatchString(value.Reveal()) {
			e.add(name, "not a URL like postgres://user:password@host:5432/database")
		}
		return value
	}
	u, err := url.Parse(value.Reveal())
	switch {
	case err != nil || ambiguous(value.Reveal()):
		e.add(name, "not a valid URL: write special characters of the password percent-encoded, for example %%40 for @")
	case u.Scheme != "postgres" && u.Scheme != "postgresql":
		e.add(name, "not a postgres:// URL")
	}
	return value
}

// ambiguous reports whether part of a password could be taken for the host or the
// database, which errors and DNS show: Postgres' clients end the password at the first @.
func ambiguous(databaseURL string) bool {
	_, rest, _ := strings.Cut(databaseURL, "://")
	authority, path, _ := strings.Cut(rest, "/")
	path, _, _ = strings.Cut(path, "?")
	user, host, _ := strings.Cut(authority, "@")
	return strings.Contains(host, "@") || strings.Contains(path, "@") || host != "" && strings.Contains(user, "?")
}

// schema checks that the name leaves room for the notification channel
// "<schema>.hc_trigger_log", of which Postgres keeps 63 bytes.
func (e *environment) schema() string {
	const most = 63 - len(".hc_trigger_log")
	name := e.setting("HC_SCHEMA")
	lower := strings.ToLower(name)
	switch {
	case !schemaPattern.MatchString(name):
		e.add("HC_SCHEMA", "%s is not a name of letters, digits and underscores", quote(name))
	case len(name) > most:
		e.add("HC_SCHEMA", "%s is longer than %d bytes", quote(name), most)
	case lower == "hcbridge":
		e.add("HC_SCHEMA", "hcbridge is where the bridge keeps its own state: choose another name")
	case strings.HasPrefix(lower, "pg_"), lower == "information_schema":
		e.add("HC_SCHEMA", "%s is reserved by Postgres: choose another name", quote(name))
	}
	return name
}

// budget parses "80%" or "50000".
func (e *environment) budget(name string) Budget {
	text := e.setting(name)
	if m := budgetPattern.FindStringSubmatch(text); m != nil {
		n, err := strconv.ParseFloat(m[1], 64)
		switch {
		case err != nil:
		case m[2] == "%" && n > 0 && n <= 100:
			return Budget{Share: n / 100}
		case m[2] == "" && n >= 1 && n == math.Trunc(n):
			return Budget{Calls: int(n)}
		}
	}
	e.add(name, "%s is neither a share like 80%% (above 0, at most 100%%) nor a number of calls like 50000", quote(text))
	return Budget{}
}

// httpAddr returns host:port. Set and empty means off.
func (e *environment) httpAddr() string {
	const name = "HC_HTTP_ADDR"
	if _, set := e.vars[name]; set && e.value(name) == "" {
		return ""
	}
	addr := e.setting(name)
	_, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		e.add(name, "%s is not an address like 127.0.0.1:8080 or :8080; empty turns HTTP off", quote(addr))
	}
	return addr
}

// httpToken must be able to stand in a header.
func (e *environment) httpToken() Secret {
	token := e.secret("HC_HTTP_TOKEN")
	unfit := func(r rune) bool { return r <= ' ' || r > '~' }
	if strings.ContainsFunc(token.Reveal(), unfit) {
		e.add("HC_HTTP_TOKEN", "contains characters other than visible ASCII: make one with, for example, openssl rand -hex 32")
	}
	return token
}
