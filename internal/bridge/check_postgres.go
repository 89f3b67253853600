package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hcbridge/config"
	"hcbridge/pgsink"
)

var (
	//go:embed sql/check_rights.sql
	checkRightsSQL string
	//go:embed sql/pressure.sql
	pressureSQL string
)

// connectRemedy says what to do about a connection that Postgres, or the
// network before it, refuses.
func connectRemedy(err error, variable string) string {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
	case untrusted(err):
		return "name the authority that signed the server's certificate in " + variable + ", with sslrootcert=/path/ca.pem, and the host as the certificate has it"
	default:
		return "see that Postgres runs, that it can be reached from here, and that " + variable + " names its host and port"
	}
	switch {
	case pg.Code == "28P01":
		return "correct the user and the password in " + variable
	case pg.Code == "28000":
		return "correct the user in " + variable + ", or let it in: a line in pg_hba.conf, LOGIN for the role"
	case pg.Code == "3D000":
		return "correct the database in " + variable + ", or create it"
	case pg.Code == "42501":
		return "GRANT CONNECT ON DATABASE … to the user of " + variable
	case strings.HasPrefix(pg.Code, "53"):
		return "raise max_connections, or end other connections: the bridge uses up to 7"
	}
	return "the text says what to change; the address is that of " + variable
}

// transport warns of connections over a network that somebody on it could read
// or take over.
func (c *checker) transport() {
	for _, x := range []struct {
		variable string
		url      config.Secret
	}{{"DATABASE_URL", c.cfg.DatabaseURL}, {"HC_LISTEN_DATABASE_URL", c.cfg.ListenDatabaseURL}} {
		if x.variable != "DATABASE_URL" && x.url == c.cfg.DatabaseURL {
			continue
		}
		cfg, err := pgconn.ParseConfig(x.url.Reveal())
		if err != nil || verified(cfg) {
			continue // one that is no address is told when it is used
		}
		c.warn("Postgres", x.variable+" reaches "+cfg.Host+" with less than sslmode=verify-full: whoever is on the way can read the data, or pretend to be the server",
			"add sslmode=verify-full and, if the authority is your own, sslrootcert=/path/ca.pem")
	}
}

// verified reports whether every way that cfg tries stays on this machine or
// proves who answers.
func verified(cfg *pgconn.Config) bool {
	ways := []*pgconn.FallbackConfig{{Host: cfg.Host, TLSConfig: cfg.TLSConfig}}
	for _, way := range append(ways, cfg.Fallbacks...) {
		network, _ := pgconn.NetworkAddress(way.Host, 5432)
		addr, err := netip.ParseAddr(way.Host)
		if network == "unix" || way.Host == "localhost" || err == nil && addr.IsLoopback() {
			continue
		}
		if way.TLSConfig == nil || way.TLSConfig.InsecureSkipVerify {
			return false
		}
	}
	return true
}

// server judges what the server is.
func (c *checker) server(version int, text string, readOnly bool) {
	const part = "Postgres"
	if version < minPostgres {
		c.bad(part, "version "+text+" is too old", "use Postgres 13 or newer")
	}
	if readOnly {
		c.bad(part, "the server is read only (a standby, or default_transaction_read_only is on)", "point DATABASE_URL at the primary")
	}
}

// encoding judges that of the database: Salesforce has all characters of Unicode.
func (c *checker) encoding(name string) {
	const part, remedy = "Postgres", "use a database of its own for it: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, with a locale for UTF-8"
	switch name {
	case "UTF8":
	case "SQL_ASCII":
		c.warn(part, "the database's encoding is SQL_ASCII: columns count bytes instead of characters, so that texts that fit in Salesforce can fail to be read, and what an app writes that is no UTF-8 holds up all writing", remedy)
	default:
		c.warn(part, "the database's encoding is "+name+": records with characters that it lacks fail to be read", remedy)
	}
}

// rights is what the role of DATABASE_URL may do.
type rights struct {
	CreateSchemas   bool
	Absent          []string // schemas that are still to be made
	Closed          []string // schemas in which it may make nothing
	ForeignTables   []string // tables in them that it does not own
	HStore          bool
	HStoreAvailable bool
	HStoreCreatable bool
	Superuser       bool
	Role            string
	Others          int // connections of the role that are not the bridge's
	TempFileLimit   string
	Triggers        []string // of others, that run with its rights when it writes
}

func (c *checker) rights(ctx context.Context, conn *pgx.Conn) {
	const part = "Postgres"
	tables := []string{"_trigger_log", "_trigger_log_archive", "_hcmeta"}
	for _, o := range c.cfg.Objects {
		tables = append(tables, pgsink.TableName(o.Name))
	}
	rows, err := conn.Query(ctx, checkRightsSQL, c.cfg.Schema, tables)
	if err != nil {
		c.warn(part, "the rights cannot be read: "+err.Error(), "try again")
		return
	}
	r, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[rights])
	if err != nil {
		c.warn(part, "the rights cannot be read: "+err.Error(), "try again")
		return
	}
	role := pgx.Identifier{r.Role}.Sanitize()
	setup := "; hcbridge check --postgres-setup prints all that it needs"
	if len(r.Absent) > 0 && !r.CreateSchemas {
		c.bad(part, "no right to create the schema "+strings.Join(r.Absent, " and "),
			"CREATE SCHEMA "+r.Absent[0]+" AUTHORIZATION "+role+", or GRANT CREATE ON DATABASE … TO "+role+setup)
	}
	if len(r.Closed) > 0 {
		c.bad(part, "no right to create tables in "+strings.Join(r.Closed, " and "), "GRANT USAGE, CREATE ON SCHEMA "+strings.Join(r.Closed, ", ")+" TO "+role+setup)
	}
	if len(r.ForeignTables) > 0 {
		c.bad(part, fmt.Sprintf("%d tables belong to others, so that columns and triggers cannot be added: %s", len(r.ForeignTables), some(r.ForeignTables)),
			"ALTER TABLE … OWNER TO "+role+", or connect as their owner")
	}
	switch {
	case r.HStore:
	case !r.HStoreAvailable:
		c.bad(part, "the extension hstore is not available", "install Postgres's contrib package (postgresql-contrib)")
	case !r.HStoreCreatable:
		c.bad(part, "the extension hstore is missing, and "+r.Role+" may not create it", "as a superuser: CREATE EXTENSION hstore SCHEMA public"+setup)
	}
	if r.Superuser {
		c.good(part, "%s is a superuser; a role of its own is enough, and hcbridge check --postgres-setup prints it", r.Role)
	}
	if r.Others > 0 {
		c.good(part, "%d other connections are those of %s too; with roles of their own the app cannot touch the bridge's tables, nor the bridge the app's", r.Others, r.Role)
	}
	if len(r.Triggers) > 0 {
		c.warn(part, "triggers of others run with the rights of "+r.Role+" when it writes what comes from Salesforce: "+some(r.Triggers),
			"GRANT it what they read and write, or make their functions SECURITY DEFINER")
	}
	if r.TempFileLimit != "-1" && c.writes() {
		c.warn(part, "temp_file_limit is "+r.TempFileLimit+": an UPDATE of a read_write table keeps its rows, old and new, in temporary files, and fails beyond that", "raise it, or update in parts")
	}
}

// writes reports whether any object is written.
func (c *checker) writes() bool {
	for _, o := range c.cfg.Objects {
		if o.Access == accessReadWrite {
			return true
		}
	}
	return false
}

// sameDatabase reports whether two connections reach one database of one
// server, as far as that can be told.
func sameDatabase(ctx context.Context, a, b *pgx.Conn) bool {
	const which = "SELECT current_database() || ' ' || pg_postmaster_start_time()"
	var x, y string
	if a.QueryRow(ctx, which).Scan(&x) != nil || b.QueryRow(ctx, which).Scan(&y) != nil {
		return true
	}
	return x == y
}

// some lists a few names.
func some(names []string) string {
	const most = 3
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return strings.Join(names[:most], ", ") + ", …"
}

// pressure is what makes writes late, or fills the disk.
type pressure struct {
	TwoPhase bool
	Oldest   time.Duration // how long the oldest transaction has been open
	Slot     string        // the replication slot that nobody uses and that keeps the most of the log; "" = none
	Kept     int64         // bytes that it keeps
}

const (
	longOpen = time.Hour
	muchKept = 1 << 30
)

func (c *checker) pressed(p pressure) {
	const part = "Postgres"
	if p.TwoPhase {
		c.warn(part, "max_prepared_transactions is not 0: writes are found by polling, up to a second later, as a transaction that notifies could not be prepared", "set it to 0 if no app uses two-phase commit")
	}
	if p.Oldest > longOpen {
		c.warn(part, fmt.Sprintf("a transaction has been open for %s: nothing that has been sent can be vacuumed, and the trigger log grows", p.Oldest.Round(time.Minute)), "end it; pg_stat_activity names it")
	}
	if p.Kept > muchKept {
		c.warn(part, fmt.Sprintf("replication slot %s is not in use and keeps %.1f GB of Postgres' log (WAL): it grows with every change until the disk is full", p.Slot, float64(p.Kept)/(1<<30)),
			"start what reads it, or drop it (SELECT pg_drop_replication_slot); max_slot_wal_keep_size bounds what slots may keep")
	}
}
