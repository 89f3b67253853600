package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// minimal is the smallest environment that loads.
func minimal() []string {
	return []string{
		"DATABASE_URL=postgres://me:pw@db/app",
		"HC_SALESFORCE_CLIENT_ID=id",
		"HC_SALESFORCE_CLIENT_SECRET=cs",
		"HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com",
		"PATH=/bin", "HOME=/root",
	}
}

// with returns minimal with entries in place of those of the same name.
func with(entries ...string) []string {
	environ := minimal()
	for _, entry := range entries {
		name, _, _ := strings.Cut(entry, "=")
		environ = slices.DeleteFunc(environ, func(e string) bool { return strings.HasPrefix(e, name+"=") })
	}
	return append(environ, entries...)
}

// files is a file system for load.
func files(content map[string]string) readFile {
	return func(path string) ([]byte, error) {
		text, ok := content[path]
		if !ok {
			return nil, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
		}
		return []byte(text), nil
	}
}

func mustLoad(t *testing.T, environ []string, content map[string]string) *Config {
	t.Helper()
	c, err := load(environ, files(content))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	got := mustLoad(t, with("HC_OBJECTS=Account"), nil)
	want := &Config{
		DatabaseURL: "postgres://me:pw@db/app", ListenDatabaseURL: "postgres://me:pw@db/app", Schema: "salesforce",
		Salesforce:   Salesforce{LoginURL: "https://acme.my.salesforce.com", Auth: AuthClientCredentials, ClientID: "id", ClientSecret: "cs", APIVersion: "64.0"},
		Objects:      []Object{{Name: "Account", Mode: ModeStreaming, Access: AccessReadOnly, PollInterval: 10 * time.Minute, PollRelaxed: true}},
		PollInterval: 10 * time.Minute, WriteAlgorithm: WriteOrdered, NumberType: NumberDouble, APIDailyBudget: Budget{Share: 0.8},
		HTTPAddr: "127.0.0.1:8080", LogLevel: "info", LogFormat: "json", ShutdownGrace: 25 * time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

func TestEverythingSet(t *testing.T) {
	t.Parallel()
	got := mustLoad(t, []string{
		"DATABASE_URL= postgresql://me:pw@db/app?sslmode=require ",
		"HC_LISTEN_DATABASE_URL=host=db user=me",
		"HC_SCHEMA=sf2",
		"HC_SALESFORCE_LOGIN_URL=http://127.0.0.1:9000/",
		"HC_SALESFORCE_AUTH=Password", "HC_SALESFORCE_CLIENT_ID=id", "HC_SALESFORCE_CLIENT_SECRET=cs",
		"HC_SALESFORCE_USERNAME=me@example.com", "HC_SALESFORCE_PASSWORD= pw with blanks ", "HC_SALESFORCE_REFRESH_TOKEN=unused",
		"HC_SALESFORCE_API_VERSION=v62",
		"HC_OBJECTS=Contact, Invoice__c,",
		"HC_OBJECT_INVOICE__C_MODE=cdc", "HC_OBJECT_INVOICE__C_ACCESS=read_write",
		"HC_OBJECT_INVOICE__C_FIELDS=Name,Account__r.External_Id__c", "HC_OBJECT_INVOICE__C_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_INVOICE__C_INDEXES=name, External_Id__c,SystemModstamp", "HC_OBJECT_INVOICE__C_POLL_INTERVAL=1s",
		"HC_POLL_INTERVAL=24h", "HC_WRITE_ALGORITHM=merged", "HC_NUMBER_TYPE=numeric", "HC_API_DAILY_BUDGET=50000",
		"HC_HTTP_ADDR=", "HC_HTTP_TOKEN=abc", "HC_LOG_LEVEL=DEBUG", "HC_LOG_FORMAT=console", "HC_SHUTDOWN_GRACE=1m30s",
	}, nil)
	want := &Config{
		DatabaseURL: "postgresql://me:pw@db/app?sslmode=require", ListenDatabaseURL: "host=db user=me", Schema: "sf2",
		Salesforce: Salesforce{
			LoginURL: "http://127.0.0.1:9000", Auth: AuthPassword, ClientID: "id", ClientSecret: "cs",
			Username: "me@example.com", Password: " pw with blanks ", RefreshToken: "unused", APIVersion: "62.0",
		},
		Objects: []Object{
			{Name: "Contact", Mode: ModeStreaming, Access: AccessReadOnly, PollInterval: 24 * time.Hour},
			{
				Name: "Invoice__c", Mode: ModeCDC, Access: AccessReadWrite, Fields: []string{"Name", "Account__r.External_Id__c"},
				ExternalID: "External_Id__c", Indexes: []string{"name", "External_Id__c", "SystemModstamp"}, PollInterval: time.Second,
			},
		},
		PollInterval: 24 * time.Hour, WriteAlgorithm: WriteMerged, NumberType: NumberNumeric, APIDailyBudget: Budget{Calls: 50000},
		HTTPToken: "abc", LogLevel: "debug", LogFormat: "console", ShutdownGrace: 90 * time.Second,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %#v\nwant %#v", got, want)
	}
}

// Each case is one mistake, added to an environment that loads, and the one
// line that it makes.
func TestProblems(t *testing.T) {
	t.Parallel()
	cases := []struct{ set, problem string }{
		{"DATABASE_URL=", "DATABASE_URL: not set"},
		{"DATABASE_URL=mysql://me:hunter2@db/app", "DATABASE_URL: not a postgres:// URL"},
		{"DATABASE_URL=postgres://me:hun%ter2@db/app", "DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=postgres://me:hun@ter2@db/app", "DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=postgres://me:1/hunter2@db/app", "DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=postgres://me:hun@ter2/3@db/app", "DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=postgres://me:1?hun@ter2@db/app", "DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=postgres://db?user=me&password=hun@ter2", "DATABASE_URL: not a valid URL"},
		{"HC_LISTEN_DATABASE_URL=postgres://me:hun@ter2@db/app", "HC_LISTEN_DATABASE_URL: not a valid URL"},
		{"DATABASE_URL=hunter2", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=db:5432/app?sslmode=require", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=me:hunter2@db/app?sslmode=require", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=db/app?user=me&password=hunter2", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=host=db hunter2", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=host=db password='hunter2", "DATABASE_URL: not a URL like"},
		{"DATABASE_URL=host=db password='hunter'2", "DATABASE_URL: not a URL like"},
		{"HC_LISTEN_DATABASE_URL=hunter2", "HC_LISTEN_DATABASE_URL: not a URL like"},
		{"HC_SCHEMA=my-schema", "HC_SCHEMA: \"my-schema\" is not a name"},
		{"HC_SCHEMA=hcbridge", "HC_SCHEMA: hcbridge is where"},
		{"HC_SCHEMA=pg_x", "HC_SCHEMA: \"pg_x\" is reserved"},
		{"HC_SCHEMA=" + strings.Repeat("s", 49), "is longer than 48 bytes"},
		{"HC_SALESFORCE_LOGIN_URL=http://login.salesforce.com", "HC_SALESFORCE_LOGIN_URL: http:// is for loopback only"},
		{"HC_SALESFORCE_LOGIN_URL=http://127.0.0.1.example.com", "http:// is for loopback only"},
		{"HC_SALESFORCE_LOGIN_URL=acme.my.salesforce.com", "HC_SALESFORCE_LOGIN_URL: not a URL like"},
		{"HC_SALESFORCE_LOGIN_URL=ftp://acme.my.salesforce.com", "not an https URL"},
		{"HC_SALESFORCE_LOGIN_URL=https://me:hunter2@acme.my.salesforce.com", "contains a user"},
		{"HC_SALESFORCE_LOGIN_URL=https://acme.my.salesforce.com/services/oauth2/token", "only scheme and host"},
		{"HC_SALESFORCE_LOGIN_URL=https://acme.lightning.force.com", "my.salesforce.com"},
		{"HC_SALESFORCE_LOGIN_URL=", "HC_SALESFORCE_LOGIN_URL: client_credentials works only on"},
		{"HC_SALESFORCE_AUTH=oauth", "HC_SALESFORCE_AUTH: \"oauth\" is not one of jwt"},
		{"HC_SALESFORCE_AUTH=refresh_token", "HC_SALESFORCE_REFRESH_TOKEN: not set, and needed to log in by refresh_token"},
		{"HC_SALESFORCE_CLIENT_ID=", "HC_SALESFORCE_CLIENT_ID: not set"},
		{"HC_SALESFORCE_CLIENT_SECRET=", "HC_SALESFORCE_AUTH: no way to log in"},
		{"HC_SALESFORCE_PASSWORD=hunter2", "HC_SALESFORCE_USERNAME: not set, and needed to log in by password"},
		{"HC_SALESFORCE_USERNAME=me", "HC_SALESFORCE_AUTH: HC_SALESFORCE_USERNAME is set, but"},
		{"HC_SALESFORCE_API_VERSION=sixty", "HC_SALESFORCE_API_VERSION: \"sixty\" is not a version"},
		{"HC_SALESFORCE_API_VERSION=46.0", "older than 47.0"},
		{"HC_OBJECTS=Account,Cont act", "HC_OBJECTS: \"Cont act\" is not an object's API name"},
		{"HC_OBJECTS=Account,account", "HC_OBJECTS: account is listed twice"},
		{"HC_OBJECT_CONTACT_MODE=cdc", "HC_OBJECT_CONTACT_MODE: object CONTACT is not in HC_OBJECTS or the mapping file: add it there"},
		{"HC_POLL_INTERVAL=600", "HC_POLL_INTERVAL: \"600\" is not a duration"},
		{"HC_POLL_INTERVAL=500ms", "HC_POLL_INTERVAL: \"500ms\" is not between 1s and 24h"},
		{"HC_POLL_INTERVAL=25h", "is not between 1s and 24h"},
		{"HC_SHUTDOWN_GRACE=11m", "HC_SHUTDOWN_GRACE: \"11m\" is not between 1s and 10m"},
		{"HC_WRITE_ALGORITHM=fast", "HC_WRITE_ALGORITHM: \"fast\" is not one of ordered, merged"},
		{"HC_NUMBER_TYPE=float", "HC_NUMBER_TYPE: \"float\" is not one of double, numeric"},
		{"HC_API_DAILY_BUDGET=0%", "HC_API_DAILY_BUDGET: \"0%\" is neither a share like 80%"},
		{"HC_API_DAILY_BUDGET=101%", "is neither"},
		{"HC_API_DAILY_BUDGET=0.8", "is neither"},
		{"HC_API_DAILY_BUDGET=-1", "is neither"},
		{"HC_HTTP_ADDR=8080", "HC_HTTP_ADDR: \"8080\" is not an address like 127.0.0.1:8080"},
		{"HC_HTTP_ADDR=:99999", "is not an address"},
		{"HC_HTTP_TOKEN=hun ter2", "HC_HTTP_TOKEN: contains characters"},
		{"HC_LOG_LEVEL=loud", "HC_LOG_LEVEL: \"loud\" is not one of debug, info, warn, error"},
		{"HC_LOG_FORMAT=xml", "HC_LOG_FORMAT: \"xml\" is not one of json, console"},
		{"HC_POLL_INTERVALL=1m", "HC_POLL_INTERVALL: unknown variable; the nearest known name is HC_POLL_INTERVAL"},
		{"HC_SALESFORCE_CLIENTID=1m", "the nearest known name is HC_SALESFORCE_CLIENT_ID"},
		{"HC_SCHEMA_FILE=x", "HC_SCHEMA_FILE: unknown variable; the nearest known name is HC_SCHEMA"},
		{"HC_OBJECT_<NAME>_MODE=cdc", "object <NAME> is not in HC_OBJECTS"},
		{"HC_MAPPING_FILE=/none", "HC_MAPPING_FILE: the file it names cannot be read: file does not exist"},
		{"HC_HTTP_TOKEN_FILE=/none/hunter2", "HC_HTTP_TOKEN_FILE: the file it names cannot be read"},
		{"HC_HTTP_TOKEN_FILE=/empty", "HC_HTTP_TOKEN_FILE: the file it names is empty"},
		{"HC_SALESFORCE_CLIENT_SECRET_FILE=/secret", "HC_SALESFORCE_CLIENT_SECRET_FILE: HC_SALESFORCE_CLIENT_SECRET is set too"},
	}
	for _, c := range cases {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			checkOneProblem(t, with(c.set), c.problem)
		})
	}
}

func TestObjectProblems(t *testing.T) {
	t.Parallel()
	cases := []struct{ set, problem string }{
		{"HC_OBJECT_ACCOUNT_MODE=push", "HC_OBJECT_ACCOUNT_MODE: \"push\" is not one of streaming, cdc, polling"},
		{"HC_OBJECT_ACCOUNT_ACCESS=rw", "HC_OBJECT_ACCOUNT_ACCESS: \"rw\" is not one of read_only, read_write"},
		{"HC_OBJECT_ACCOUNT_FIELDS=Name,a.b.c", "HC_OBJECT_ACCOUNT_FIELDS: \"a.b.c\" is not a field's API name"},
		{"HC_OBJECT_ACCOUNT_FIELDS=Name,NAME", "HC_OBJECT_ACCOUNT_FIELDS: NAME is listed twice"},
		{"HC_OBJECT_ACCOUNT_EXTERNAL_ID=a b", "HC_OBJECT_ACCOUNT_EXTERNAL_ID: \"a b\" is not a field's API name"},
		{"HC_OBJECT_ACCOUNT_INDEXES=a-b", "HC_OBJECT_ACCOUNT_INDEXES: \"a-b\" is not a field's API name"},
		{"HC_OBJECT_ACCOUNT_POLL_INTERVAL=soon", "HC_OBJECT_ACCOUNT_POLL_INTERVAL: \"soon\" is not a duration"},
		{"HC_OBJECT_ACCOUNT_POL_INTERVAL=1s", "the nearest known name is HC_OBJECT_ACCOUNT_POLL_INTERVAL"},
		{"HC_OBJECT_ACCOUNTS_MODE=cdc", "object ACCOUNTS is not in HC_OBJECTS or the mapping file: add it there; the nearest known name is HC_OBJECT_ACCOUNT_MODE"},
		{"HC_OBJECT_account_MODE=cdc", "the nearest known name is HC_OBJECT_ACCOUNT_MODE"},
	}
	for _, c := range cases {
		t.Run(c.set, func(t *testing.T) {
			t.Parallel()
			checkOneProblem(t, with("HC_OBJECTS=Account,Invoice__c", c.set), c.problem)
		})
	}
	checkOneProblem(t, with("HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name", "HC_OBJECT_ACCOUNT_INDEXES=Name,Id,Phone"),
		"HC_OBJECT_ACCOUNT_INDEXES: Phone is not among the fields of Account")
}

// The other form that libpq takes: words, whose values may be quoted.
func TestKeywordDatabaseURL(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"host=db", "host=db user=me", "host = db\tport =5432\nsslmode= require", `host=db password='it\'s a \\'`, `password=a\ b\\ host=db`,
		"password='' host=db", "host=db password=", "host=db password=a=b:c/d?e user=me", "host=db options='-c search_path=x'",
	} {
		c := mustLoad(t, with("DATABASE_URL="+text), nil)
		if _, err := pgconn.ParseConfig(c.DatabaseURL.Reveal()); err != nil || c.DatabaseURL.Reveal() != text {
			t.Errorf("%s became %s, %v", text, c.DatabaseURL.Reveal(), err)
		}
	}
}

// checkOneProblem loads environ and wants exactly one problem, which contains
// want and no secret.
func checkOneProblem(t *testing.T, environ []string, want string) {
	t.Helper()
	_, err := load(environ, files(map[string]string{"/empty": "\n", "/secret": "hunter2"}))
	var ce *Error
	if !errors.As(err, &ce) {
		t.Fatalf("error %v, want *Error", err)
	}
	if len(ce.Problems) != 1 || !strings.Contains(err.Error(), want) {
		t.Errorf("got  %v\nwant only %s", err, want)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error tells a secret: %v", err)
	}
}

// An empty environment shows the whole way to a running bridge, sorted.
func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load([]string{"HC_POLL_INTERVAL=x", "HC_LOG_LEVEL=x", "HC_ZZZ=1"})
	var ce *Error
	if !errors.As(err, &ce) {
		t.Fatal(err)
	}
	var names []string
	for _, p := range ce.Problems {
		names = append(names, p.Variable)
	}
	want := []string{"DATABASE_URL", "HC_LOG_LEVEL", "HC_POLL_INTERVAL", "HC_SALESFORCE_AUTH", "HC_SALESFORCE_CLIENT_ID", "HC_ZZZ"}
	if !slices.Equal(names, want) {
		t.Errorf("problems with %v, want %v", names, want)
	}
}

func TestSecretFiles(t *testing.T) {
	t.Parallel()
	for _, v := range Reference() {
		if !v.Secret || v.Name == "HC_SALESFORCE_JWT_KEY" {
			continue
		}
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			content := "host=db password=from_file"
			if v.Name == "HC_HTTP_TOKEN" {
				content = "from_file"
			}
			environ := with(v.Name+"=", v.Name+"_FILE=/secret", "HC_SALESFORCE_AUTH=client_credentials")
			c := mustLoad(t, environ, map[string]string{"/secret": "\ufeff" + content + "\r\n"})
			got := map[string]Secret{
				"DATABASE_URL": c.DatabaseURL, "HC_LISTEN_DATABASE_URL": c.ListenDatabaseURL, "HC_HTTP_TOKEN": c.HTTPToken,
				"HC_SALESFORCE_CLIENT_SECRET": c.Salesforce.ClientSecret, "HC_SALESFORCE_PASSWORD": c.Salesforce.Password,
				"HC_SALESFORCE_REFRESH_TOKEN": c.Salesforce.RefreshToken,
			}[v.Name]
			if got.Reveal() != content {
				t.Errorf("%s is %q, want %q", v.Name, got.Reveal(), content)
			}
		})
	}
}

// Only regular files are read: a pipe would block and a device never end.
func TestReadRegular(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "x")
	if err := os.WriteFile(path, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	if text, err := readRegular(path); err != nil || string(text) != "text" {
		t.Errorf("%q, %v", text, err)
	}
	for _, p := range []string{dir, "/dev/zero"} {
		if _, err := readRegular(p); !errors.Is(err, errNotRegular) {
			t.Errorf("%s: %v, want errNotRegular", p, err)
		}
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readRegular(path); !errors.Is(err, errTooLarge) {
		t.Errorf("%v, want errTooLarge", err)
	}
}

// Of two variables with one name the first counts, as for os.Getenv.
func TestFirstOfTwoCounts(t *testing.T) {
	t.Parallel()
	if c := mustLoad(t, append(minimal(), "HC_SCHEMA=one", "HC_SCHEMA=two"), nil); c.Schema != "one" {
		t.Errorf("schema %s, want one", c.Schema)
	}
}

func TestBudget(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"80%": 80_000, "12.5%": 12_500, "100%": 100_000, "50000": 50_000, "999999999": 100_000} {
		c := mustLoad(t, with("HC_API_DAILY_BUDGET="+text), nil)
		if got := c.APIDailyBudget.Of(100_000); got != want {
			t.Errorf("%s of 100,000 is %d, want %d", text, got, want)
		}
	}
}
