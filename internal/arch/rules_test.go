package arch

type layer struct {
	pkg string
	may []string
}

// layers lists, for each package, the packages of ours that it may import. The
// order is the order of the layers: a package may only name ones above it.
// A name that ends in "/..." stands for a folder and all below it.
var layers = []layer{
	{"internal/rawjson", nil},
	{"internal/beat", nil},
	{"config", nil},
	{"bayeux", []string{"internal/rawjson"}},
	{"internal/pgstats", nil},
	{"internal/pgname", nil},
	{"internal/pgtext", nil},
	{"pgsink", []string{"internal/rawjson", "internal/pgstats", "internal/pgname", "internal/pgtext"}},
	{"outbox", []string{"internal/pgstats", "internal/pgname", "internal/beat"}},
	{"internal/arch", nil},
	{"internal/retry", nil},
	{"internal/migrate", nil},
	{"internal/status", nil},
	{"pushtopic", []string{"bayeux"}},
	{"internal/cdc", []string{"bayeux"}},
	{"internal/salesforce", []string{"internal/retry"}},
	{"internal/poll", []string{"pgsink", "internal/salesforce", "internal/retry"}},
	{"internal/web", []string{"internal/status"}},
	{"internal/bridge", []string{
		"config", "bayeux", "pgsink", "outbox", "pushtopic", "internal/cdc",
		"internal/beat", "internal/pgtext", "internal/retry", "internal/migrate", "internal/status", "internal/salesforce", "internal/poll", "internal/web",
	}},
	{"cmd/hcbridge", []string{
		"config", "pgsink", "outbox", "pushtopic",
		"internal/migrate", "internal/status", "internal/salesforce", "internal/poll", "internal/web", "internal/bridge",
	}},

	{"test/freeport", nil},
	{"test/pgtest", []string{"test/freeport"}},
	{"test/npm", nil},
	{"test/org/...", []string{"test/org/..."}},
	{"test/compare", []string{"test/org/..."}},
	{"test/check", []string{"test/compare", "test/org/..."}},
	{"cmd/orgsim", []string{"test/org/..."}},
	{"cmd/demo", []string{"config", "internal/bridge", "internal/status", "test/pgtest", "test/compare", "test/org/..."}},

	{"test/rig", []string{"internal/status", "test/freeport", "test/pgtest", "test/compare", "test/org/..."}},

	{"test/naive", nil},

	// Folders of tests only.
	{"test/e2e/...", []string{"..."}},
	{"test/browser/...", []string{"..."}},
	{"test/container/...", []string{"..."}},
	{"test/deploy/...", []string{"..."}},
	{"test/standby/...", []string{"..."}},
	{"test/takeover/...", []string{"..."}},
	{"test/chaos/...", []string{"..."}},
	{"test/soak/...", []string{"..."}},
	{"test/crash/...", []string{"..."}},
	{"test/peers/...", []string{"..."}},
	{"test/orm/...", []string{"..."}},
	{"test/bench/...", []string{"..."}},
	{"test/security/...", []string{"..."}},
	{"test/day/...", []string{"..."}},
}

// testsMay lists what every _test.go file may import besides: the servers it
// tests against, and the bridge's own tables.
var testsMay = []string{"test/...", "internal/migrate"}

// homes lists the packages in which a library may be used. Libraries that are
// not listed, such as zerolog, may be used everywhere.
var homes = []struct {
	library string
	in      []string
}{
	{"github.com/gorilla/websocket", []string{"bayeux"}},
	{"github.com/go-resty/resty/v2", []string{"bayeux", "internal/salesforce"}},
	{"github.com/cenkalti/backoff/v4", []string{"internal/retry"}},
	{"github.com/golang-jwt/jwt/v5", []string{"internal/salesforce"}},
	{"github.com/agnivade/levenshtein", []string{"config"}},
	{"github.com/prometheus/client_golang", []string{"internal/status", "internal/web"}},
	{"github.com/spf13/cobra", []string{"cmd/..."}},
	{"github.com/jackc/pgx/v5", []string{
		"pgsink", "outbox", "internal/pgname", "internal/pgstats", "internal/migrate", "internal/poll", "internal/status", "internal/bridge", "cmd/...",
	}},
	// The rest of the code speaks to Salesforce through these and knows no HTTP.
	{"net/http", []string{"bayeux", "internal/salesforce", "internal/poll", "internal/web", "internal/bridge", "cmd/..."}},
	{"github.com/chromedp/chromedp", nil}, // in tests only
	{"database/sql", nil},                 // pgx is used natively
	{"log", nil},                          // zerolog, passed in
	{"testing", nil},                      // only in test/ and _test.go
}

// readsEnvironment lists who may ask for environment variables.
var readsEnvironment = []string{"config", "cmd/...", "test/..."}

// startsNoGoroutine lists the packages that start none, as their caller owns
// them, and startsGroups those that start some by the method Go of a group alone,
// which can be waited for. Their tests may start any.
var (
	startsNoGoroutine = []string{"config", "pushtopic", "internal/cdc", "pgsink"}
	startsGroups      = []string{"bayeux", "outbox", "internal/poll"}
)

// maxLines is the longest a source file may be; most have 60 to 300.
const maxLines = 500
