package bridge

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pushtopic"
)

// Level says how much a finding matters.
type Level int

// Levels of findings.
const (
	Good Level = iota // ✓
	Warn              // !: the bridge runs, but less well
	Bad               // ✗: the bridge, or the object, does not run
)

// Finding is one line of `hcbridge check`.
type Finding struct {
	Level  Level
	Part   string // "Postgres", "Salesforce", or an object
	Text   string
	Remedy string // empty if Good
	File   *File  // to be deployed by the remedy; nil if there is none

	Settings bool // a run would end at once, as with settings that cannot be read
}

// File is one of metadata, to be deployed to Salesforce.
type File struct {
	Path string `json:"path"` // in the package
	Text string `json:"text"`
}

const (
	// orgWithin is how long the org may take over all that is not about one object.
	orgWithin = 60 * time.Second
	// objectWithin is how long one object may take: together they take as long as they
	// take, which is no fault of the last.
	objectWithin = 20 * time.Second
)

// minPostgres is the oldest Postgres that the SQL is written for.
const minPostgres = 130_000

// Check finds what would stop or degrade a run. It changes nothing on either
// side. report is called with each finding as it is made.
func Check(ctx context.Context, cfg *config.Config, report func(Finding)) {
	c := checker{cfg: cfg, report: func(f Finding) {
		f.Text = strings.Join(strings.Fields(f.Text), " ") // errors of connections have several lines
		report(f)
	}}
	c.good("Configuration", "%s", plural(len(cfg.Objects), "object"))
	if len(cfg.Objects) == 0 {
		c.bad("Configuration", "no object is mapped", "set HC_OBJECTS or HC_MAPPING_FILE")
	}
	for _, note := range cfg.MappingNotes {
		c.warn("HC_MAPPING_FILE", note, "see that you can do without")
	}
	c.pages()
	c.postgres(ctx)
	if c.pool != nil {
		defer c.pool.Close()
	}
	c.address(ctx)
	c.salesforce(ctx)
}

type checker struct {
	cfg    *config.Config
	report func(Finding)
	known  map[string][]string // fields mapped before, by object in lower case
	gone   []string            // tables of objects that were mapped before and are not by these settings

	pool     *pgxpool.Pool // nil if there is no database to speak of
	heritage heritage
}

func (c *checker) good(part, format string, args ...any) {
	c.report(Finding{Level: Good, Part: part, Text: fmt.Sprintf(format, args...)})
}

func (c *checker) warn(part, text, remedy string) {
	c.report(Finding{Level: Warn, Part: part, Text: text, Remedy: remedy})
}

func (c *checker) bad(part, text, remedy string) {
	c.report(Finding{Level: Bad, Part: part, Text: text, Remedy: remedy})
}

func (c *checker) postgres(ctx context.Context) {
	const part = "Postgres"
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	c.transport()
	pool, err := OpenPool(ctx, c.cfg)
	if err != nil {
		c.report(Finding{Level: Bad, Part: part, Text: err.Error(), Remedy: "correct DATABASE_URL, for example postgres://user:password@host:5432/database", Settings: true})
		return
	}
	conn, err := pool.Acquire(ctx)
	if err != nil {
		pool.Close()
		c.bad(part, "no connection: "+err.Error(), connectRemedy(err, "DATABASE_URL"))
		return
	}
	c.pool = pool
	defer conn.Release()
	var version int
	var text string
	var readOnly bool
	err = conn.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('server_version'), pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`).
		Scan(&version, &text, &readOnly)
	if err != nil {
		c.bad(part, "the server answers, but not to us: "+err.Error(), connectRemedy(err, "DATABASE_URL"))
		return
	}
	c.good(part, "connected, version %s", text)
	c.server(version, text, readOnly)
	c.encoding(conn.Conn().PgConn().ParameterStatus("server_encoding"))
	c.rights(ctx, conn.Conn())
	if all, err := remembered(ctx, conn, c.cfg.Schema); err == nil { // else no bridge has run here
		c.gone = left(all, c.cfg.Objects)
		c.known = map[string][]string{}
		for object, k := range all {
			c.known[object] = k.fields
		}
	}
	if err := c.takeover(ctx, conn.Conn()); err != nil {
		c.warn(takeOver, "what is in the schema cannot be read: "+err.Error(), "grant the user of DATABASE_URL all rights on schema "+c.cfg.Schema)
	}
	c.left(ctx, conn.Conn())
	c.capture(ctx, conn.Conn())
	c.listen(ctx, conn.Conn())
}

// left tells of tables that a start would leave to themselves, or has left already.
func (c *checker) left(ctx context.Context, conn *pgx.Conn) {
	const part = "Postgres"
	tables, err := present(ctx, conn, c.cfg.Schema, c.gone)
	switch {
	case err != nil:
		c.warn(part, err.Error(), "try again")
	case len(tables) > 0:
		c.warn(part, leftText+strings.Join(tables, ", ")+"; after a start with these settings "+leftMeans, leftRemedy)
	}
}

// capture finds what makes changes of the app late or costly, or hides them.
func (c *checker) capture(ctx context.Context, conn *pgx.Conn) {
	const part = "Postgres"
	var p pressure
	err := conn.QueryRow(ctx, pressureSQL).Scan(&p.TwoPhase, &p.Oldest, &p.Slot, &p.Kept)
	if err != nil {
		c.warn(part, "its settings cannot be read: "+err.Error(), "try again")
		return
	}
	if before, err := new(pooler).found(ctx, &conn.Config().Config); err == nil && before {
		c.good(part, "DATABASE_URL passes a pooler: nothing is prepared")
	}
	c.pressed(p)
	installed, err := outbox.Inspect(ctx, conn, c.cfg.Schema)
	if err != nil {
		return // the schema is not there yet
	}
	for _, off := range installed.Off() {
		c.warn(part, "changes are not captured: "+off, "ALTER TABLE … ENABLE TRIGGER, or RESET the setting, when that is not wanted any more")
	}
}

// listen proves that a notification arrives, which it does not behind a
// transaction-mode pooler.
func (c *checker) listen(ctx context.Context, notifier *pgx.Conn) {
	const part, channel = "Postgres", "hcbridge_check"
	url, variable := c.cfg.ListenDatabaseURL.Reveal(), "HC_LISTEN_DATABASE_URL"
	if url == "" {
		url, variable = c.cfg.DatabaseURL.Reveal(), "DATABASE_URL"
	}
	conn, err := connectToListen(ctx, url)
	if err != nil {
		c.bad(part, "no connection to listen on: "+err.Error(), connectRemedy(err, variable))
		return
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if !sameDatabase(ctx, notifier, conn) {
		c.bad(part, "HC_LISTEN_DATABASE_URL names another database than DATABASE_URL: no notification ever arrives", "let both name the same database of the same server")
		return
	}
	if _, err := conn.Exec(ctx, "LISTEN "+channel); err == nil {
		_, err = notifier.Exec(ctx, "SELECT pg_notify($1, '')", channel)
		wait, cancel := context.WithTimeout(ctx, 2*time.Second)
		defer cancel()
		if err == nil {
			if _, err = conn.WaitForNotification(wait); err == nil {
				c.good(part, "notifications arrive")
				return
			}
		}
	}
	c.warn(part, "notifications do not arrive: writes are found by polling, up to a second later", "set HC_LISTEN_DATABASE_URL to a connection that passes no transaction-mode pooler")
}

func (c *checker) salesforce(ctx context.Context) {
	const part = "Salesforce"
	sf, err := NewSalesforce(c.cfg, zerolog.Nop())
	if err != nil {
		c.bad(part, err.Error(), "see the settings HC_SALESFORCE_* in the README")
		return
	}
	if streaming, ok := c.org(ctx, sf); ok {
		c.objects(ctx, sf, streaming, objectWithin)
	}
}

// org reports whether there are topics, and whether the org can be used at all.
func (c *checker) org(ctx context.Context, sf *salesforce.Client) (streaming, ok bool) {
	const part = "Salesforce"
	ctx, cancel := context.WithTimeout(ctx, orgWithin)
	defer cancel()
	sess, err := sf.Login(ctx)
	if err != nil {
		if ce := authConfigError(c.cfg, err); ce != nil {
			c.bad(part, ce.Error(), loginRemedy(c.cfg, err))
		} else {
			c.bad(part, "no login: "+err.Error(), reachRemedy(err))
		}
		return false, false
	}
	c.good(part, "logged in to org %s as %s", sess.OrgID, sess.Username)
	c.exportOf(sess.OrgID)
	if sf.Rotated() {
		c.bad(part, "the app rotates refresh tokens: this login used up the one in HC_SALESFORCE_REFRESH_TOKEN, and the next is refused",
			"switch Refresh Token Rotation off in the app's settings, then authorise the app again and set HC_SALESFORCE_REFRESH_TOKEN; or use a JWT key")
	}
	c.owner(ctx, sf, sess.OrgID)
	c.clock(sf.ServerTime())
	if !c.version(ctx, sf) {
		return false, false // everything else would fail by it
	}
	c.excess(ctx, sf)
	limits, err := sf.Limits(ctx)
	switch {
	case err != nil && !c.usable(err):
		return false, false
	case err != nil:
		used := sf.Usage()
		c.allowances(map[string]salesforce.Allowance{"DailyApiRequests": {Max: used.Limit, Remaining: used.Limit - used.Used}})
		c.good(part, "other limits cannot be read without View Setup and Configuration")
	default:
		c.allowances(limits)
	}
	streaming = c.streaming(ctx, sf)
	if streaming {
		c.history(ctx, sf)
	}
	c.stream(ctx, sf, streaming)
	return streaming, true
}

// objects looks at each object, within a time of its own. They are described together,
// as far as that is allowed: one by one each would be a call, and each parent.
func (c *checker) objects(ctx context.Context, sf *salesforce.Client, streaming bool, within time.Duration) {
	limited := func(within time.Duration, do func(context.Context)) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		do(ctx)
	}
	var described *descriptions
	limited(orgWithin, func(ctx context.Context) {
		var err error
		if described, err = describeAll(ctx, sf, c.cfg.Objects); err != nil { // told of each object that it is still true of
			described = &descriptions{sf: sf, known: map[string]salesforce.Description{}}
		}
	})
	for _, o := range c.cfg.Objects {
		limited(within, func(ctx context.Context) { c.object(ctx, described, o, streaming) })
	}
}

// streaming reports whether PushTopics can be read and made.
func (c *checker) streaming(ctx context.Context, sf *salesforce.Client) bool {
	if !slices.ContainsFunc(c.cfg.Objects, func(o config.Object) bool { return o.Mode == config.ModeStreaming }) {
		return false
	}
	const remedy = "grant the user Read and Create on PushTopic (permission set, object settings); until then the objects are polled"
	d, err := sf.Describe(ctx, pushTopic)
	if err != nil || !d.Createable {
		c.warn("Streaming", "no permission for PushTopics", remedy)
		return false
	}
	if _, err := (topics{sf}).Find(ctx, "hc_"); err != nil {
		c.warn("Streaming", "PushTopics cannot be read: "+err.Error(), remedy)
		return false
	}
	c.good("Streaming", "PushTopics can be made")
	c.topicRoom(ctx, sf)
	c.canaryRight(ctx, sf)
	return true
}

func (c *checker) object(ctx context.Context, sf describer, o config.Object, streaming bool) {
	m, err := mapObject(ctx, sf, o, c.cfg.Schema, c.cfg.NumberType == "numeric", c.known[strings.ToLower(o.Name)])
	if err != nil {
		if me := (*mappingError)(nil); errors.As(err, &me) {
			text, remedy := mappingRemedy(err)
			c.bad(o.Name, text, remedy)
			return
		}
		c.bad(o.Name, "cannot be described: "+err.Error(), refusedObject(err))
		return
	}
	c.good(o.Name, "%s to %s.%s, %s, %s", plural(len(m.fields), "field"), c.cfg.Schema, m.table.Name, o.Mode, o.Access)
	if len(m.frozen) > 0 {
		c.warn(o.Name, "fields that were mapped are not to be seen any more: "+strings.Join(m.frozen, ", ")+"; their columns keep what they hold", "grant the user Read on the fields, or drop the columns once the fields are gone for good")
	}
	if len(m.binary) > 0 {
		c.warn(o.Name, m.binaryNote(), binaryRemedy)
	}
	c.formulas(m)
	if o.Mode == config.ModeStreaming && streaming {
		spec, err := pushtopic.Plan(m.cfg.Name, m.custom, m.topic, c.cfg.Salesforce.APIVersion)
		switch {
		case err != nil:
			c.warn(o.Name, "PushTopics do not support this object: it is polled", "set HC_OBJECT_"+strings.ToUpper(o.Name)+"_MODE=polling to say so")
		case len(spec.Left) > 0:
			c.good(o.Name, "%d of its fields fit no PushTopic: changed records are read back, one API call per batch", len(spec.Left))
		}
	}
	c.table(ctx, m)
	if o.Access != accessReadWrite {
		return
	}
	d, err := sf.Describe(ctx, m.cfg.Name)
	if err != nil {
		c.warn(o.Name, "cannot be described: "+err.Error(), "try again")
		return
	}
	if !d.Createable || !d.Updateable || !d.Deletable {
		c.warn(o.Name, "the user may not create, edit and delete these records: such writes will fail", "grant the user Create, Edit and Delete on the object")
	}
	c.fieldRights(m, d)
	c.externalID(m, d)
}

// externalID warns where a lost answer costs a wait, or makes writes fail.
func (c *checker) externalID(m *mapping, d *salesforce.Describe) {
	variable := "HC_OBJECT_" + strings.ToUpper(m.cfg.Name) + "_EXTERNAL_ID"
	if m.spec.ExternalID == "" {
		file := File{Path: "objects/" + m.cfg.Name + "/fields/" + keyField + ".field-meta.xml", Text: keyMetadata}
		c.report(Finding{
			Level: Warn, Part: m.cfg.Name, File: &file,
			Text:   "no external id: an insert whose answer is lost waits up to a quarter of an hour until it is known whether it took effect, and now and then for a person",
			Remedy: "deploy " + file.Path + " as it is below, let the app or a column default fill the field with a UUID, and set " + variable + "=" + keyField + orKey(variable, d),
		})
		return
	}
	if f := d.Field(m.spec.ExternalID); f != nil && !f.Unique {
		c.warn(m.cfg.Name, m.spec.ExternalID+" is not unique: where two records have one value, writes of it fail", "mark the field as Unique (case sensitive), or set "+variable+" to one that is")
	}
}

// orKey names a field of the object that would do as well, if it has one.
func orKey(variable string, d *salesforce.Describe) string {
	for _, f := range d.Fields {
		if f.ExternalID && f.Unique && f.Createable && f.Type == "string" {
			return "; or set " + variable + "=" + f.Name + ", which is there and unique, if the app can fill it"
		}
	}
	return ""
}

// keyField is an external id field for whoever has none.
const keyField = "HC_Key__c"

// keyMetadata defines it (Metadata API Developer Guide, "CustomField").
const keyMetadata = `<?xml version="1.0" encoding="UTF-8"?>
<CustomField xmlns="http://soap.sforce.com/2006/04/metadata">
    <fullName>` + keyField + `</fullName>
    <label>HC Key</label>
    <type>Text</type>
    <length>36</length>
    <externalId>true</externalId>
    <unique>true</unique>
    <caseSensitive>true</caseSensitive>
    <required>false</required>
</CustomField>`
