package bridge

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/test/pgtest"
)

// Each failure on Postgres' side has its line, and the line its remedy.
func TestCheckPostgres(t *testing.T) {
	t.Parallel()
	lineOf(t, "", []spoilt{
		{"Unreachable", func(c *checked) { c.with(func(u *url.URL) { u.Host = closedAddr(c.t) }) }, nil, []string{"✗ Postgres: no connection", "→ see that Postgres runs"}},
		{"WrongPassword", func(c *checked) {
			c.as("")
			c.env["DATABASE_URL"] = strings.Replace(c.env["DATABASE_URL"], ":secret@", ":wrong@", 1)
		}, nil, []string{"✗ Postgres: no connection", "→ correct the user and the password in DATABASE_URL"}},
		{"NoDatabase", func(c *checked) { c.with(func(u *url.URL) { u.Path = "/nowhere" }) }, nil, []string{"✗ Postgres: no connection", "→ correct the database in DATABASE_URL"}},
		{"NoRightToCreate", func(c *checked) { c.as("") }, nil, []string{"✗ Postgres: no right to create the schema hcbridge and salesforce", "→ CREATE SCHEMA hcbridge AUTHORIZATION", "--postgres-setup"}},
		{"SchemaClosed", func(c *checked) { c.exec("CREATE SCHEMA salesforce"); c.as("CREATE SCHEMA hcbridge AUTHORIZATION @") }, nil, []string{"✗ Postgres: no right to create tables in salesforce", "→ GRANT USAGE, CREATE ON SCHEMA salesforce TO"}},
		{"TablesOfOthers", func(c *checked) {
			c.exec("CREATE SCHEMA salesforce; CREATE TABLE salesforce.account (id int); CREATE TABLE salesforce.their_own (id int)")
			c.as("CREATE SCHEMA hcbridge AUTHORIZATION @; GRANT ALL ON SCHEMA salesforce TO @")
		}, nil, []string{"✗ Postgres: 1 tables belong to others, so that columns and triggers cannot be added: salesforce.account", "→ ALTER TABLE … OWNER TO"}},
		{"TriggersOfOthers", func(c *checked) {
			c.as("CREATE SCHEMA hcbridge AUTHORIZATION @; CREATE SCHEMA salesforce AUTHORIZATION @")
			c.exec(`CREATE TABLE salesforce.account (id int);
				CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
				CREATE FUNCTION public.own_rights() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS 'BEGIN RETURN NULL; END';
				CREATE TRIGGER audit AFTER INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.audit();
				CREATE TRIGGER own_rights AFTER INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION public.own_rights();
				CREATE TRIGGER system BEFORE INSERT ON salesforce.account FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`)
		}, nil, []string{"! Postgres: triggers of others run with the rights of role_", "when it writes what comes from Salesforce: audit of account → GRANT it what they read and write, or make their functions SECURITY DEFINER"}},
		{"NoHStore", func(c *checked) {
			c.exec("DROP EXTENSION hstore")
			c.as("CREATE SCHEMA hcbridge AUTHORIZATION @; CREATE SCHEMA salesforce AUTHORIZATION @")
		}, nil, []string{"✗ Postgres: the extension hstore is missing, and role_", "→ as a superuser: CREATE EXTENSION hstore SCHEMA public"}},
		{"ReadOnly", func(c *checked) { c.with(func(u *url.URL) { u.RawQuery += "&default_transaction_read_only=on" }) }, nil, []string{"✗ Postgres: the server is read only", "→ point DATABASE_URL at the primary"}},
		{"Superuser", nil, nil, []string{"✓ Postgres: postgres is a superuser; a role of its own is enough, and hcbridge check --postgres-setup prints it"}},
		{"TempFileLimit", func(c *checked) { c.with(func(u *url.URL) { u.RawQuery += "&temp_file_limit=1GB" }) }, nil, []string{"! Postgres: temp_file_limit is 1GB", "→ raise it"}},
		{"Latin1", func(c *checked) { c.env["DATABASE_URL"] = pgtest.EncodedURL(c.t, "LATIN1") }, nil, []string{"! Postgres: the database's encoding is LATIN1: records with characters that it lacks fail to be read", "→ use a database of its own"}},
		{"NoTLS", func(c *checked) { c.env["DATABASE_URL"] = "postgres://me@db.invalid/app?sslmode=require" }, nil, []string{"! Postgres: DATABASE_URL reaches db.invalid with less than sslmode=verify-full", "→ add sslmode=verify-full"}},
		{"PoolParameters", func(c *checked) {
			c.with(func(u *url.URL) { u.RawQuery += "&pool_max_conns=3&pool_max_conn_lifetime=1h" })
			c.env["HC_LISTEN_DATABASE_URL"] = c.env["DATABASE_URL"]
		}, nil, []string{"✓ Postgres: connected", "✓ Postgres: notifications arrive"}},
		{"ListenElsewhere", func(c *checked) { c.env["HC_LISTEN_DATABASE_URL"] = pgtest.URL(c.t) }, nil, []string{"✗ Postgres: HC_LISTEN_DATABASE_URL names another database", "→ let both name the same database"}},
		{"ListenRefused", func(c *checked) { c.env["HC_LISTEN_DATABASE_URL"] = "postgres://nobody@" + closedAddr(c.t) + "/x" }, nil, []string{"✗ Postgres: no connection to listen on", "→ see that Postgres runs", "HC_LISTEN_DATABASE_URL"}},
		{"NothingMapped", func(c *checked) { c.env = map[string]string{} }, nil, []string{"✗ Configuration: no object is mapped", "→ set HC_OBJECTS or HC_MAPPING_FILE"}},
	})
}

// Settings that need a server of their own.
func TestCheckServerSettings(t *testing.T) {
	t.Parallel()
	server := pgtest.Private(t, pgtest.Options{Private: true, Settings: map[string]string{"max_prepared_transactions": "5", "wal_level": "replica", "max_wal_senders": "2", "max_replication_slots": "2"}})
	url, err := server.CreateDatabase(t.Context(), "settings")
	if err != nil {
		t.Fatal(err)
	}
	x := newChecked(t, url)
	x.start()
	if out := x.run(); !strings.Contains(out, "! Postgres: max_prepared_transactions is not 0") || !strings.Contains(out, "→ set it to 0 if no app uses two-phase commit") {
		t.Errorf("it says:\n%s", out)
	}
	x.exec("SELECT pg_create_physical_replication_slot('theirs', true)")
	x.exec("CREATE TABLE logged AS SELECT repeat('x', 1000) FROM generate_series(1, 1000)")
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	var p pressure
	if err := conn.QueryRow(t.Context(), pressureSQL).Scan(&p.TwoPhase, &p.Oldest, &p.Slot, &p.Kept); err != nil || !p.TwoPhase || p.Slot != "theirs" || p.Kept < 1e6 {
		t.Errorf("%+v, %v", p, err)
	}
}

// What a file or a word of TLS lacks is told, and nothing else of the connection string.
func TestMalformed(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"postgres://me:hunter2@db/app?sslmode=yes":                              "not a Postgres connection string: sslmode is invalid",
		"postgres://me:hunter2@db/app?sslmode=verify-full&sslrootcert=/none/ca": "not a Postgres connection string: unable to read CA file: open /none/ca: no such file or directory",
		"postgres://me:hunter2@db:hunter2/app?sslmode=disable":                  "not a Postgres connection string",
		"postgres://me:%zzhunter2@db/app":                                       "not a Postgres connection string",
	} {
		_, err := OpenPool(t.Context(), &config.Config{DatabaseURL: config.Secret(address)})
		if err == nil || err.Error() != "DATABASE_URL: "+want {
			t.Errorf("of %s it says %v", address, err)
		}
		if _, err := connectToListen(t.Context(), address); err == nil || err.Error() != want {
			t.Errorf("of %s to listen on it says %v", address, err)
		}
	}
}

// Each failure on the way has the remedy that helps, also where it comes wrapped.
func TestRemediesOfTheWay(t *testing.T) {
	t.Parallel()
	post := func(err error) error {
		return &salesforce.Error{Op: "login", Class: salesforce.Transient, Err: &url.Error{Op: "Post", URL: "https://login.salesforce.com", Err: err}}
	}
	certificate := &tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}
	for _, c := range []struct{ name, got, want string }{
		{"Certificate", reachRemedy(post(certificate)), "SSL_CERT_FILE"},
		{"ProxyGone", reachRemedy(post(&net.OpError{Op: "proxyconnect", Err: errors.New("connection refused")})), "HTTPS_PROXY"},
		{"ProxyWantsPassword", reachRemedy(post(errors.New("Proxy Authentication Required"))), "NO_PROXY"},
		{"ProxyWillNot", reachRemedy(post(errors.New("Forbidden"))), "NO_PROXY"},
		{"HostGone", reachRemedy(post(&net.OpError{Op: "dial", Err: errors.New("connection refused")})), "HC_SALESFORCE_LOGIN_URL"},
		{"PostgresCertificate", connectRemedy(fmt.Errorf("failed to connect: %w", certificate), "DATABASE_URL"), "sslrootcert=/path/ca.pem"},
		{"PostgresGone", connectRemedy(errors.New("connection refused"), "DATABASE_URL"), "see that Postgres runs"},
	} {
		if !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %s", c.name, c.got)
		}
	}
}

// A server that is too old cannot be had everywhere.
func TestCheckServerVersion(t *testing.T) {
	t.Parallel()
	for version, want := range map[int]string{120_022: "✗ Postgres: version 12.22 is too old → use Postgres 13 or newer", minPostgres: ""} {
		got := ""
		c := checker{report: func(f Finding) { got = fmt.Sprintf("✗ %s: %s → %s", f.Part, f.Text, f.Remedy) }}
		c.server(version, "12.22", false)
		if got != want {
			t.Errorf("of %d it says %q, want %q", version, got, want)
		}
	}
}

// SQL_ASCII cannot be had with every provider of locales.
func TestCheckEncoding(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"UTF8": "", "SQL_ASCII": "columns count bytes", "WIN1252": "is WIN1252: records with characters that it lacks"} {
		got := ""
		c := checker{report: func(f Finding) {
			if f.Level != Warn || f.Remedy == "" {
				t.Errorf("%+v", f)
			}
			got += f.Text
		}}
		if c.encoding(name); (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("of %s it says %q", name, got)
		}
	}
}

// Nobody fills a disk, or waits an hour, for a test.
func TestCheckPressure(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]pressure{
		"": {Oldest: longOpen, Slot: "theirs", Kept: muchKept},
		"! Postgres: max_prepared_transactions is not 0":                                      {TwoPhase: true},
		"! Postgres: a transaction has been open for 2h0m0s":                                  {Oldest: 2 * time.Hour},
		"! Postgres: replication slot theirs is not in use and keeps 3.0 GB of Postgres' log": {Slot: "theirs", Kept: 3 * muchKept},
	} {
		var got []string
		c := checker{report: func(f Finding) {
			if f.Level != Warn || f.Remedy == "" {
				t.Errorf("%+v", f)
			}
			got = append(got, "! "+f.Part+": "+f.Text)
		}}
		if c.pressed(p); want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("of %+v it says %q, want %q", p, got, want)
		}
	}
}

func TestVerified(t *testing.T) {
	t.Parallel()
	for address, warned := range map[string]bool{
		"postgres://me@db.example/app": true, "postgres://me@db.example/app?sslmode=disable": true, "postgres://me@db.example/app?sslmode=prefer": true,
		"postgres://me@db.example/app?sslmode=require": true, "postgres://me@db.example/app?sslmode=verify-ca": true, "postgres://me@db.example/app?sslmode=verify-full": false,
		"postgres://me@localhost/app": false, "postgres://me@127.0.0.1/app": false, "postgres://me@[::1]/app": false, "host=/var/run/postgresql dbname=app": false,
		"postgres://me@127.0.0.1,db.example/app": true,
	} {
		n := 0
		c := checker{cfg: &config.Config{DatabaseURL: config.Secret(address), ListenDatabaseURL: config.Secret(address)}, report: func(Finding) { n++ }}
		if c.transport(); n > 0 != warned || n > 1 {
			t.Errorf("%s has %d warnings", address, n)
		}
	}
}
