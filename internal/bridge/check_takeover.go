package bridge

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

var (
	//go:embed sql/heritage.sql
	heritageSQL string
	//go:embed sql/strangers.sql
	strangersSQL string
	//go:embed sql/unreached.sql
	unreachedSQL string
)

const takeOver = "Take-over"

// atWork is how long ago Heroku Connect must have sent something last for nobody to
// suspect that it is still at work: it sends every two minutes at the latest.
const atWork = 10 * time.Minute

// countWithin is how long the rows of one table may be counted.
const countWithin = 5 * time.Second

// ownerSQL is the owner of {table} if we may not alter it.
const ownerSQL = `SELECT CASE WHEN NOT pg_has_role(relowner, 'USAGE') THEN pg_get_userbyid(relowner)::text ELSE '' END FROM pg_class WHERE oid = '{table}'::regclass`

// theirTopic is what Heroku Connect calls its PushTopics.
var theirTopic = regexp.MustCompile(`^hc_[0-9]+$`)

// heritage is what check knows of the schema before a bridge comes to it.
type heritage struct {
	marker outbox.Marker
	fresh  bool   // no bridge has been here
	orgID  string // that a bridge has noted
	unsafe string // why nothing is sent
	epoch  int64  // that the database has come to
}

// takeover tells what becomes of a schema that somebody else has kept.
func (c *checker) takeover(ctx context.Context, conn *pgx.Conn) error {
	h := &c.heritage
	h.fresh = true
	var known bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('hcbridge.instance') IS NOT NULL").Scan(&known); err != nil {
		return err
	}
	if known {
		rows, err := conn.Query(ctx, "SELECT org_id, COALESCE(unsafe, '') FROM hcbridge.instance WHERE schema = $1 AND org_id IS NOT NULL", c.cfg.Schema)
		if err == nil {
			_, err = pgx.ForEachRow(rows, []any{&h.orgID, &h.unsafe}, func() error { h.fresh = false; return nil })
		}
		if err != nil {
			return err
		}
	}
	var err error
	if h.marker, err = outbox.ReadMarker(ctx, conn, c.cfg.Schema); err != nil {
		return err
	}
	switch {
	case h.unsafe != "":
		c.warn(takeOver, h.unsafe+": it only receives from Salesforce", "when nobody else writes to Salesforce from these rows, run `hcbridge adopt`: it sends what waits")
	case h.fresh && h.marker.Exists:
		return c.plan(ctx, conn)
	case !h.fresh && c.writes():
		return c.place(ctx)
	}
	return nil
}

// place tells that a start would find the database to be a copy, or moved.
func (c *checker) place(ctx context.Context) (err error) {
	h := &c.heritage
	h.unsafe, h.epoch, err = placed(ctx, c.pool, c.cfg, placeSQL)
	if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "42703" {
		return nil // an older version has made the table, and a start brings it up to date
	}
	if err == nil && h.unsafe != "" {
		c.adopt()
	}
	return err
}

// adopt tells what a start would do that finds nothing safe to be sent.
func (c *checker) adopt() {
	c.warn(takeOver, c.heritage.unsafe+": after a start it only receives from Salesforce",
		"start the bridge, and when nobody else writes to Salesforce from these rows, run `hcbridge adopt`: it sends what waits")
}

// history tells that a start would find the database to be set back, by what Salesforce
// knows of it.
func (c *checker) history(ctx context.Context, sf *salesforce.Client) {
	h := &c.heritage
	if c.pool == nil || h.fresh || h.unsafe != "" || !c.writes() {
		return
	}
	var name string
	if err := c.pool.QueryRow(ctx, bridgeNameSQL, c.cfg.Schema).Scan(&name); err != nil {
		return // then there is no database to speak of any more
	}
	noted, topic, err := pushtopic.Epoch(ctx, topics{sf}, name)
	if err == nil && noted > h.epoch { // that topics cannot be read is told by streaming
		h.unsafe = setBack(topic)
		c.adopt()
	}
}

// inSchema fills in the names of the log.
func (c *checker) inSchema(sql, table string) string {
	name := func(table string) string { return pgx.Identifier{c.cfg.Schema, table}.Sanitize() }
	return strings.NewReplacer("{log}", name("_trigger_log"), "{archive}", name("_trigger_log_archive"), "{table}", name(table)).Replace(sql)
}

// plan says what a first start would do with the trigger log.
func (c *checker) plan(ctx context.Context, conn *pgx.Conn) error {
	var unsent, pending, failed, lastID int64
	var quiet *float64
	var narrow bool
	if err := conn.QueryRow(ctx, c.inSchema(heritageSQL, "")).Scan(&unsent, &pending, &failed, &quiet, &narrow, &lastID); err != nil {
		return fmt.Errorf("trigger log: %w", err)
	}
	from := "Heroku Connect"
	if c.heritage.marker.Ours {
		from = "a bridge whose own schema, hcbridge, is not here"
	}
	c.good(takeOver, "schema %s comes from %s: rows, ids, views, indexes and grants stay; its triggers are replaced", c.cfg.Schema, from)
	c.warn(takeOver, plural(unsent, "unsent write")+" in the log, for which `hcbridge adopt` is waited; until then the bridge only receives",
		"pause or disconnect what kept the schema before, start the bridge, look at `hcbridge status`, then run `hcbridge adopt`")
	if failed > 0 {
		c.good(takeOver, "%s: the state stays FAILED, `hcbridge errors` shows what failed, `hcbridge retry` sends it again", plural(failed, "failed write"))
	}
	if pending > 0 {
		c.warn(takeOver, plural(pending, "write")+" on the way (PENDING) when last seen",
			"let it finish, if it can; else creations among them without an external id are FAILED, IN_DOUBT, and a person must look whether Salesforce has them")
	}
	if quiet != nil && time.Duration(*quiet*float64(time.Second)) < atWork {
		c.warn(takeOver, "something was sent from this log within the last ten minutes: "+from+" seems to be at work on it", "pause or disconnect it: two senders send everything twice")
	}
	if narrow {
		c.good(takeOver, "log ids are 32 bits wide, and %d have been drawn: they are widened at a start, unless the log is large or a view uses them", lastID)
	}
	return c.strangers(ctx, conn)
}

// strangers names the tables that would be left to themselves.
func (c *checker) strangers(ctx context.Context, conn *pgx.Conn) error {
	mapped := []string{"_trigger_log"}
	for _, o := range c.cfg.Objects {
		mapped = append(mapped, pgsink.TableName(o.Name))
	}
	rows, err := conn.Query(ctx, c.inSchema(strangersSQL, ""), c.cfg.Schema, mapped)
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	var name string
	var waiting int64
	var names []string
	_, err = pgx.ForEachRow(rows, []any{&name, &waiting}, func() error {
		if waiting > 0 {
			name += fmt.Sprintf(" (%d unsent writes, which stay unsent)", waiting)
		}
		names = append(names, name)
		return nil
	})
	if err != nil {
		return fmt.Errorf("tables: %w", err)
	}
	if len(names) > 0 {
		c.warn(takeOver, "tables that are not mapped keep their rows, and are neither captured nor kept in step any more: "+strings.Join(names, ", "), "add their objects to HC_OBJECTS, or to the mapping file, if they are wanted")
	}
	return nil
}

// owner compares the org with the one whose rows these are, and looks for Heroku
// Connect in it.
func (c *checker) owner(ctx context.Context, sf *salesforce.Client, orgID string) {
	h := &c.heritage
	switch {
	case !h.marker.Fits(orgID):
		c.bad(takeOver, fmt.Sprintf("schema %s holds rows of org %s, and the user logs in to org %s", c.cfg.Schema, h.marker.OrgID, orgID), "use another HC_SCHEMA, or the other org's user")
	case h.orgID != "" && h.orgID != orgID:
		c.bad(takeOver, fmt.Sprintf("the bridge of schema %s belongs to org %s, and the user logs in to org %s", c.cfg.Schema, h.orgID, orgID), "use another HC_SCHEMA, or the other org's user")
	case h.fresh && h.marker.OrgID != "":
		c.good(takeOver, "its rows are of this org")
	}
	if !h.fresh || !h.marker.Exists || h.marker.Ours {
		return
	}
	found, err := (topics{sf}).Find(ctx, "hc_")
	if err != nil {
		return // streaming tells of it
	}
	var names []string
	for _, t := range found {
		if t.IsActive && theirTopic.MatchString(t.Name) {
			names = append(names, t.Name)
		}
	}
	if len(names) > 0 {
		c.warn(takeOver, "the org has PushTopics of Heroku Connect's: "+strings.Join(names, ", "), "pause or disconnect it before `hcbridge adopt`; its topics count against the org's limit, and go with its mappings")
	}
}

// table says what becomes of an object's table.
func (c *checker) table(ctx context.Context, m *mapping) {
	if c.pool == nil {
		return
	}
	var p pgsink.Plan
	var owner string
	var rows, unreached int64
	counted := false
	err := pgx.BeginTxFunc(ctx, c.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) (err error) {
		if p, err = m.table.Plan(ctx, tx); err != nil || !p.Exists || len(p.Differences) > 0 || !c.heritage.marker.Exists {
			return err
		}
		if err = tx.QueryRow(ctx, c.inSchema(ownerSQL, m.table.Name)).Scan(&owner); err != nil {
			return err
		}
		err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { // within this, so that the transaction outlives a timeout
			if _, err := tx.Exec(ctx, "SELECT set_config('statement_timeout', $1, true)", countWithin.String()); err != nil {
				return err
			}
			return tx.QueryRow(ctx, c.inSchema(unreachedSQL, m.table.Name)).Scan(&rows, &unreached)
		})
		if pg := (*pgconn.PgError)(nil); errors.As(err, &pg) && pg.Code == "57014" {
			return nil
		}
		counted = true
		return err
	})
	name, table := m.cfg.Name, c.cfg.Schema+"."+m.table.Name
	switch {
	case pgconn.Timeout(err):
		c.warn(name, "its table could not be looked at in time: "+err.Error(), "make what it lacks of unique indexes yourself, as those take reading the table, or try again when Postgres has less to do")
		return
	case err != nil:
		c.warn(name, "its table cannot be looked at: "+err.Error(), "grant the user of DATABASE_URL what it needs")
		return
	case len(p.Differences) > 0:
		c.bad(name, fmt.Sprintf("%s cannot be used as its table: %s", table, strings.Join(p.Differences, "; ")),
			"change the columns (ALTER TABLE … ALTER COLUMN … TYPE …), take the fields out, or rename the table if it is something else; nothing of it is altered meanwhile")
		return
	case !p.Exists:
		return
	case owner != "":
		c.bad(name, fmt.Sprintf("%s belongs to role %s, and only its owner can replace its triggers", table, owner), "connect as "+owner+", or GRANT "+owner+" TO the user of DATABASE_URL")
	}
	does := []string{}
	say := func(what string, list []string) {
		if len(list) > 0 {
			does = append(does, what+" "+strings.Join(list, ", "))
		}
	}
	say("adds", p.Columns)
	say("makes longer (unless a view uses it)", p.Widened)
	say("makes index", p.Indexes)
	if c.heritage.fresh {
		say("leaves alone", p.Extra)
		if len(p.Columns) > 0 {
			does = append(does, "reads all records once, to fill what it adds")
		}
		whole := "takes over " + table
		if counted {
			whole += " with its " + plural(rows, "row")
		}
		c.good(name, "%s", strings.Join(append([]string{whole}, does...), "; "))
	} else if len(does) > 0 {
		c.good(name, "%s: %s", table, strings.Join(does, "; "))
	}
	if c.heritage.marker.Exists && !counted && m.cfg.Access == accessReadWrite {
		c.warn(name, fmt.Sprintf("which of its rows nothing would send could not be found out within %s", countWithin),
			fmt.Sprintf("look for those that are wanted in Salesforce and not there: SELECT * FROM %s WHERE sfid IS NULL", table))
	}
	if unreached > 0 && m.cfg.Access == accessReadWrite {
		c.warn(name, plural(unreached, "row")+" without a Salesforce id, which nothing in the trigger log would send",
			fmt.Sprintf("if they are wanted there: SELECT %s.hc_capture_insert_from_row(hstore(t.*), '%s') FROM %s AS t WHERE sfid IS NULL", c.cfg.Schema, m.table.Name, table))
	}
}
