package config

import (
	"slices"
	"strings"
)

// Variable describes one variable of the environment.
type Variable struct {
	Name    string // HC_OBJECT_<NAME>_… where there is one per object
	Default string // as one would write it; "" if there is none
	Meaning string // one sentence, in Markdown
	Secret  bool   // may also be given as Name_FILE, the path of a file
}

// objectPrefix and objectPlaceholder make the names of an object's variables.
const (
	objectPrefix      = "HC_OBJECT_"
	objectPlaceholder = objectPrefix + "<NAME>_"
	fileSuffix        = "_FILE"
)

// Reference returns every variable, in the order in which the README lists
// them. A default that is derived from another variable is that one's name.
func Reference() []Variable {
	return []Variable{
		{"DATABASE_URL", "", "Postgres, as `postgres://user:password@host:5432/database`. Required.", true},
		{"HC_LISTEN_DATABASE_URL", "DATABASE_URL", "A direct connection for LISTEN where `DATABASE_URL` passes a transaction-mode pooler.", true},
		{"HC_SCHEMA", "salesforce", "Schema of the mapped tables.", false},

		{"HC_SALESFORCE_LOGIN_URL", "https://login.salesforce.com", "Where to log in: this, `https://test.salesforce.com` for sandboxes, or the org's My Domain. `http://` only to loopback.", false},
		{"HC_SALESFORCE_AUTH", "", "`jwt`, `client_credentials`, `refresh_token` or `password`; inferred from what is set below.", false},
		{"HC_SALESFORCE_CLIENT_ID", "", "Consumer key of the External Client App, or of a connected app. Required.", false},
		{"HC_SALESFORCE_CLIENT_SECRET", "", "Consumer secret, for `client_credentials`, `password` and, where the app asks for it, `refresh_token`.", true},
		{"HC_SALESFORCE_USERNAME", "", "User to log in as, for `jwt` and `password`.", false},
		{"HC_SALESFORCE_PASSWORD", "", "Password followed by the security token, for `password`.", true},
		{"HC_SALESFORCE_JWT_KEY", "", "RSA private key in PEM, for `jwt`; line ends may be written as `\\n`.", true},
		{"HC_SALESFORCE_REFRESH_TOKEN", "", "For `refresh_token`.", true},
		{"HC_SALESFORCE_API_VERSION", "64.0", "Salesforce API version.", false},

		{"HC_OBJECTS", "", "API names, comma separated: `Account,Contact,Invoice__c`. Where set, only these objects of the mapping file are synced.", false},
		{"HC_OBJECT_<NAME>_MODE", "streaming", "`streaming` (PushTopic), `cdc` (Change Data Capture, which an administrator selects the object for) or `polling`. `<NAME>` is the API name in capitals: `HC_OBJECT_INVOICE__C_MODE`.", false},
		{"HC_OBJECT_<NAME>_ACCESS", "read_only", "`read_only` or `read_write`. Changes that wait when it becomes `read_only` are not sent: they go on waiting, and `status` says so.", false},
		{"HC_OBJECT_<NAME>_FIELDS", "", "API names, comma separated; a parent's external id as `Account__r.External_Id__c`. Every mappable field if not set.", false},
		{"HC_OBJECT_<NAME>_EXTERNAL_ID", "", "Unique external id field: inserts become upserts on it.", false},
		{"HC_OBJECT_<NAME>_INDEXES", "", "Fields to index, comma separated.", false},
		{"HC_OBJECT_<NAME>_POLL_INTERVAL", "HC_POLL_INTERVAL", "The object's own poll interval, 1s to 24h.", false},
		{"HC_MAPPING_FILE", "", "Path of a Heroku Connect export; the variables above override it.", false},
		{"HC_POLL_INTERVAL", "10m", "How often the poll looks for what streams did not carry, 1s to 24h. Where set, it overrides `sf_polling_seconds` of the mapping file.", false},

		{"HC_WRITE_ALGORITHM", "ordered", "`ordered` sends every change, `merged` the newest value of each field.", false},
		{"HC_NUMBER_TYPE", "double", "Type of new number, currency and percent columns: `double` as Heroku Connect, or `numeric` for exact values.", false},
		{"HC_API_DAILY_BUDGET", "80%", "Share (`80%`) or number (`50000`) of the org's daily API calls that may be used before the bridge holds back; what others in the org use counts.", false},
		{"HC_SYNCHRONOUS_COMMIT", "off", "`on`: transactions with what comes from Salesforce wait for Postgres' disk. With `off` a crash of Postgres may take the last second of them back, positions included; the stream then begins again there.", false},

		{"HC_HTTP_ADDR", "127.0.0.1:8080", "Address of the status page, API, metrics and health checks; empty = off.", false},
		{"HC_HTTP_TOKEN", "", "Required for every action and, when the address is not loopback, for the page and API too; health and metrics are open.", true},
		{"HC_LOG_LEVEL", "info", "`debug`, `info`, `warn` or `error`.", false},
		{"HC_LOG_FORMAT", "json", "`json`, or `console` for people.", false},
		{"HC_SHUTDOWN_GRACE", "25s", "How long work in hand may take after SIGTERM, 1s to 10m.", false},
	}
}

// lookup returns the description of a variable; that of an object's variable
// is found under its placeholder name.
func lookup(name string) (Variable, bool) {
	ref := Reference()
	i := slices.IndexFunc(ref, func(v Variable) bool { return v.Name == name })
	if i < 0 {
		return Variable{}, false
	}
	return ref[i], true
}

// knownNames returns every name that may be set when objects are synced.
func knownNames(objects []string) []string {
	var names []string
	for _, v := range Reference() {
		suffix, perObject := strings.CutPrefix(v.Name, objectPlaceholder)
		switch {
		case perObject:
			for _, object := range objects {
				names = append(names, objectVariable(object, suffix))
			}
		case v.Secret:
			names = append(names, v.Name, v.Name+fileSuffix)
		default:
			names = append(names, v.Name)
		}
	}
	return names
}

// objectVariable returns for example HC_OBJECT_INVOICE__C_MODE.
func objectVariable(object, suffix string) string {
	return objectPrefix + strings.ToUpper(object) + "_" + suffix
}
