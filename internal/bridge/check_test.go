package bridge

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/test/org"
	"hcbridge/test/pgtest"
)

// checked is a setup to be checked: an org, a database, and settings between
// them in which everything is right until a test spoils something.
type checked struct {
	t   *testing.T
	sf  *org.Server
	url string
	env map[string]string
	opt org.Options
}

func newChecked(t *testing.T, url string) *checked {
	t.Helper()
	return &checked{t: t, url: url, opt: org.Options{DailyLimit: 100_000}, env: map[string]string{
		"HC_HTTP_ADDR": "", // not that of another test
		"HC_OBJECTS":   "Account,Contact", "HC_OBJECT_CONTACT_ACCESS": "read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID": "External_Id__c",
	}}
}

// start makes the org and points the settings at it and at the database.
func (c *checked) start() {
	c.sf = org.New(c.opt).Start()
	c.t.Cleanup(c.sf.Close)
	for name, value := range map[string]string{
		"DATABASE_URL": c.url, "HC_SALESFORCE_LOGIN_URL": c.sf.URL(), "HC_SALESFORCE_CLIENT_ID": org.DefaultClientID,
		"HC_SALESFORCE_CLIENT_SECRET": org.DefaultClientSecret, "HC_SALESFORCE_USERNAME": org.DefaultUsername, "HC_SALESFORCE_PASSWORD": org.DefaultPassword,
	} {
		if _, set := c.env[name]; !set {
			c.env[name] = value
		}
	}
}

func (c *checked) load() *config.Config {
	c.t.Helper()
	var environ []string
	for _, name := range slices.Sorted(maps.Keys(c.env)) {
		environ = append(environ, name+"="+c.env[name])
	}
	cfg, err := config.Load(environ)
	if err != nil {
		c.t.Fatal(err)
	}
	return cfg
}

// run returns what check says, as it is printed.
func (c *checked) run() string {
	c.t.Helper()
	var out, files strings.Builder
	Check(c.t.Context(), c.load(), func(f Finding) {
		fmt.Fprintf(&out, "%s %s: %s", [...]string{"✓", "!", "✗"}[f.Level], f.Part, f.Text)
		if f.Remedy != "" {
			fmt.Fprintf(&out, " → %s", f.Remedy)
		}
		out.WriteString("\n")
		if strings.Contains(f.Text+f.Remedy, "\n") {
			c.t.Errorf("more than a line: %q", f.Text+f.Remedy)
		}
		if f.File != nil {
			fmt.Fprintf(&files, "%s\n%s\n", f.File.Path, f.File.Text)
		}
		if f.Level != Good && f.Remedy == "" {
			c.t.Errorf("no remedy for %q", f.Text)
		}
	})
	return out.String() + files.String()
}

// exec runs SQL as the superuser in the database of the test.
func (c *checked) exec(sql string) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	if err == nil {
		defer func() { _ = conn.Close(context.WithoutCancel(c.t.Context())) }()
		_, err = conn.Exec(c.t.Context(), sql)
	}
	if err != nil {
		c.t.Fatalf("%s: %v", sql, err)
	}
}

// as makes DATABASE_URL that of a role of the test's own, with these rights, in
// which it is called @.
func (c *checked) as(grants string) (role string) {
	c.t.Helper()
	u, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	database := strings.TrimPrefix(u.Path, "/")
	role = "role_" + database
	c.exec(strings.ReplaceAll("CREATE ROLE @ LOGIN PASSWORD 'secret'; "+grants, "@", role))
	admin := c.url
	c.t.Cleanup(func() {
		conn, err := pgx.Connect(context.Background(), admin)
		if err != nil {
			return
		}
		defer conn.Close(context.Background())
		_, _ = conn.Exec(context.Background(), "DROP OWNED BY "+role+" CASCADE; DROP ROLE "+role)
	})
	u.User = url.UserPassword(role, "secret")
	c.env["DATABASE_URL"] = u.String()
	return role
}

// with changes the user, password, host or database of DATABASE_URL.
func (c *checked) with(change func(u *url.URL)) {
	u, err := url.Parse(c.url)
	if err != nil {
		c.t.Fatal(err)
	}
	change(u)
	c.env["DATABASE_URL"] = u.String()
}

// answers makes the org answer requests whose path matches in this way.
func (c *checked) answers(path string, status int, body string) {
	c.sf.Fault(org.Fault{Path: path, Verb: org.Reject, Status: status, Body: body})
}

func apiError(code, message string) string {
	return `[{"message":"` + message + `","errorCode":"` + code + `"}]`
}

// oauthError is the body of a refused login; they come with status 400.
func oauthError(code, description string) string {
	return `{"error":"` + code + `","error_description":"` + description + `"}`
}

const tokenPath = "/services/oauth2/token"

// spoilt is what goes wrong, and what check must say of it.
type spoilt struct {
	name          string
	before, after func(c *checked) // spoil what is there before the org runs, and what it does then
	want          []string         // in this order
}

// find runs check on each. The tests share a database where url is not empty.
func lineOf(t *testing.T, url string, findings []spoilt) {
	for _, f := range findings {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			url := url
			if url == "" {
				url = pgtest.URL(t)
			}
			x := newChecked(t, url)
			if f.before != nil {
				f.before(x)
			}
			x.start()
			if f.after != nil {
				f.after(x)
			}
			out := x.run()
			rest := out
			for _, want := range f.want {
				var found bool
				if _, rest, found = strings.Cut(rest, want); !found {
					t.Fatalf("no %q (in this place) in:\n%s", want, out)
				}
			}
		})
	}
}

func (c *checked) insert(object string, fields map[string]any) {
	c.t.Helper()
	if _, err := c.sf.Insert(object, fields); err != nil {
		c.t.Fatal(err)
	}
}

func newKey(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
}

// closedAddr is one on which nobody listens.
func closedAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed at once
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Where nothing is wrong, nothing is said to be.
func TestCheckAllGood(t *testing.T) {
	t.Parallel()
	x := newChecked(t, pgtest.URL(t))
	x.env["HC_OBJECTS"] = "Account,Contact,Lead"
	x.env["HC_OBJECT_LEAD_MODE"] = "cdc"
	x.start()
	if err := x.sf.Select("Lead"); err != nil {
		t.Fatal(err)
	}
	x.as("CREATE SCHEMA hcbridge AUTHORIZATION @; CREATE SCHEMA salesforce AUTHORIZATION @")
	out := x.run()
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "✓") {
			t.Errorf("not good: %s", line)
		}
	}
	for _, want := range []string{"✓ Postgres: connected", "✓ Postgres: notifications arrive", "✓ Salesforce: logged in", "✓ Salesforce: API version", "API calls left", "✓ Streaming: PushTopics can be made", "✓ Streaming: a session can be opened", "✓ Lead:"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if n := x.sf.StreamClients(); n != 0 {
		t.Errorf("%d streaming sessions are left open", n)
	}
	for _, r := range x.sf.Requests() {
		if r.Kind == "describe" && !strings.Contains(r.Path, "PushTopic") && !strings.Contains(r.Path, "StreamingChannel") {
			t.Errorf("a call of its own: %s", r.Path)
		}
	}
}

// An address that others can reach is told where there is no token, which shuts the pages.
func TestCheckAddressOfThePages(t *testing.T) {
	t.Parallel()
	for addr, told := range map[string]bool{"": false, "127.0.0.1:8080": false, "[::1]:8080": false, "localhost:8080": false, ":8080": true, "0.0.0.0:8080": true, "10.0.0.7:8080": true} {
		for _, token := range []string{"", "s3cret"} {
			var got []Finding
			c := checker{cfg: &config.Config{HTTPAddr: addr, HTTPToken: config.Secret(token)}, report: func(f Finding) { got = append(got, f) }}
			c.pages()
			if want := told && token == ""; (len(got) == 1) != want || want && (got[0].Level != Warn || !strings.Contains(got[0].Text, addr+" see health and metrics") || !strings.Contains(got[0].Remedy, "HC_HTTP_TOKEN")) {
				t.Errorf("%q with token %q: %+v", addr, token, got)
			}
		}
	}
	x := newChecked(t, "postgres://nobody@127.0.0.1:1/none")
	x.env["HC_HTTP_ADDR"] = ":8080"
	x.start()
	if out := x.run(); !strings.Contains(out, "! HC_HTTP_ADDR: ") {
		t.Errorf("it says:\n%s", out)
	}
}

// An address that nobody could listen on is told, and one that is taken, but not by the
// bridge at work.
func TestCheckListens(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	x := newChecked(t, pool.Config().ConnString())
	x.start()
	says := func(addr string) string {
		x.env["HC_HTTP_ADDR"] = addr
		var told strings.Builder
		for line := range strings.Lines(x.run()) {
			if strings.Contains(line, "HC_HTTP_ADDR") {
				told.WriteString(line)
			}
		}
		return told.String()
	}
	for _, addr := range []string{"192.0.2.1:8080", "no-such-host.invalid:8080"} {
		x.env["HC_HTTP_TOKEN"] = "s3cret"
		if got := says(addr); !strings.HasPrefix(got, "✗ HC_HTTP_ADDR: nothing can be served there: listen tcp") || !strings.Contains(got, " → name an address of this machine") {
			t.Errorf("of %s it says %q", addr, got)
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // closed with the test
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got := says(l.Addr().String()); !strings.HasPrefix(got, "! HC_HTTP_ADDR: "+l.Addr().String()+" is in use, and not by a bridge of this schema") || !strings.Contains(got, " → name another port") {
		t.Errorf("of one that is taken it says %q", got)
	}
	if ok, err := newLease(pool, "salesforce").take(t.Context()); !ok || err != nil {
		t.Fatal(ok, err)
	}
	if got := says(l.Addr().String()); got != "" {
		t.Errorf("beside the bridge at work it says %q", got)
	}
	denied := &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EACCES)}
	if got := addressRemedy(denied); !strings.Contains(got, "from 1024 on") {
		t.Errorf("of a port that is not allowed it says %q", got)
	}
}

// An object that takes long takes none of the others' time.
func TestCheckObjectsApart(t *testing.T) {
	t.Parallel()
	x := newChecked(t, "postgres://nobody@127.0.0.1:1/none")
	x.start()
	x.answers("/composite", 403, apiError("FUNCTIONALITY_NOT_ENABLED", "no composite requests")) // so that each is asked for
	x.sf.Fault(org.Fault{Path: "/sobjects/Account/describe", Verb: org.Hold})
	cfg := x.load()
	sf, err := NewSalesforce(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	c := checker{cfg: cfg, report: func(f Finding) { fmt.Fprintf(&out, "%d %s: %s\n", f.Level, f.Part, f.Text) }}
	c.objects(t.Context(), sf, true, 5*time.Second)
	for _, want := range []string{fmt.Sprintf("%d Account: cannot be described", Bad), fmt.Sprintf("%d Contact: ", Good)} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}

// A table whose rows take too long to count is looked at all the same.
func TestCheckCountsForAWhile(t *testing.T) {
	t.Parallel()
	x := newChecked(t, pgtest.URL(t))
	x.env["HC_OBJECTS"], x.env["HC_OBJECT_ACCOUNT_ACCESS"], x.env["HC_OBJECT_ACCOUNT_FIELDS"] = "Account", "read_write", "Name"
	delete(x.env, "HC_OBJECT_CONTACT_ACCESS")
	delete(x.env, "HC_OBJECT_CONTACT_EXTERNAL_ID")
	x.start()
	log := `(id bigserial PRIMARY KEY, created_at timestamptz, updated_at timestamptz, processed_at timestamptz, state varchar(8), action varchar(7), table_name varchar(128), record_id bigint, sfid varchar(18), sf_message text)`
	x.exec(`CREATE SCHEMA salesforce;
		CREATE TABLE salesforce._hcmeta (id serial PRIMARY KEY, hcver integer, org_id varchar(50), details text);
		CREATE TABLE salesforce._trigger_log ` + log + `;
		CREATE TABLE salesforce._trigger_log_archive ` + log + `;
		CREATE TABLE salesforce.account (name varchar(255), systemmodstamp timestamp, isdeleted boolean, sfid varchar(18), id serial PRIMARY KEY, _hc_lastop varchar(32), _hc_err text);
		CREATE UNIQUE INDEX hcu_idx_account_sfid ON salesforce.account (sfid);
		INSERT INTO salesforce.account (name) VALUES ('a'), ('b')`)
	if out := x.run(); !strings.Contains(out, "✓ Account: takes over salesforce.account with its 2 rows; ") || !strings.Contains(out, "! Account: 2 rows without a Salesforce id") {
		t.Errorf("said:\n%s", out)
	}
	conn, err := pgx.Connect(t.Context(), x.url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE salesforce.account"); err != nil {
		t.Fatal(err)
	}
	if out := x.run(); !strings.Contains(out, "✓ Account: takes over salesforce.account; ") || !strings.Contains(out, "! Account: which of its rows nothing would send could not be found out") {
		t.Errorf("said:\n%s", out)
	}
}
