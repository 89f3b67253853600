package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/migrate"
	"hcbridge/internal/poll"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/test/org"
	"hcbridge/test/org/cometd"
	"hcbridge/test/org/sobject"
	"hcbridge/test/pgtest"
)

// orgClock is the org's time, which stands unless it is moved.
type orgClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *orgClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *orgClock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// mapped are the objects of the schedules: a parent, children that are deleted
// with it or merged to another, and children whose lookup is emptied.
var mapped = []config.Object{
	{Name: "Account", Fields: []string{"Name", "Phone"}},
	{Name: "Contact", Fields: []string{"LastName", "AccountId"}},
	{Name: "Invoice__c", Fields: []string{"Name", "Account__c"}},
}

// named is the field of each object that holds a new value at every change.
var named = map[string]string{"Account": "Name", "Contact": "LastName", "Invoice__c": "Name"}

// database is the tables that schedules use one after another.
type database struct {
	pool     *pgxpool.Pool
	mappings map[string]*mapping
}

func newDatabase(t *testing.T) *database {
	t.Helper()
	db := &database{pool: pgtest.Copy(t, "migrated", migrate.Up), mappings: map[string]*mapping{}}
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	client, done, err := clientOf(t.Context(), sf)
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), db.pool, client)
	s.orgID = sf.ID()
	if err := s.pin(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, cfg := range mapped {
		cfg.Mode, cfg.Access, cfg.PollInterval = config.ModeStreaming, config.AccessReadOnly, 10*time.Minute
		m, err := mapObject(t.Context(), client, cfg, "salesforce", false, nil)
		if err == nil {
			_, err = s.ensure(t.Context(), m)
		}
		if err != nil {
			t.Fatal(err)
		}
		db.mappings[cfg.Name] = m
	}
	return db
}

func scheduleConfig() *config.Config {
	cfg := &config.Config{Schema: "salesforce", APIDailyBudget: config.Budget{Share: 1}}
	cfg.Salesforce.APIVersion = "64.0"
	return cfg
}

func (db *database) empty(ctx context.Context) error {
	_, err := db.pool.Exec(ctx, `DELETE FROM salesforce.account; DELETE FROM salesforce.contact; DELETE FROM salesforce.invoice__c;
		DELETE FROM hcbridge.object; DELETE FROM hcbridge.position; DELETE FROM hcbridge.mark; DELETE FROM hcbridge.gap;
		DELETE FROM hcbridge.read_error; DELETE FROM hcbridge.invisible; DELETE FROM hcbridge.gone; DELETE FROM hcbridge.clock`)
	return err
}

func clientOf(ctx context.Context, sf *org.Server) (*salesforce.Client, func(), error) {
	return clientWith(ctx, sf, nil)
}

// clientWith returns the client even if it cannot log in.
func clientWith(ctx context.Context, sf *org.Server, allow func() error) (*salesforce.Client, func(), error) {
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	client, err := salesforce.New(salesforce.Config{
		LoginURL: sf.URL(), Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword, HTTPClient: &http.Client{Transport: transport},
		ProbeEvery: time.Microsecond, // the clock of these worlds is not the client's
		Allow:      allow,
	})
	if err == nil {
		_, err = client.Login(ctx)
	}
	return client, transport.CloseIdleConnections, err
}

// world is an org, a database and the bridge's inbound side between them, all
// driven by one goroutine.
type world struct {
	db     *database
	clock  *orgClock
	sf     *org.Server
	client *salesforce.Client
	used   []string // objects
	polled bool     // nothing is streamed
	pure   bool     // events tell of everything
	hid    bool     // a record was hidden

	s         *session
	positions map[string]pgsink.Position
	heard     map[*channel]int64 // the last event that the wire has brought
	connected bool
	away      time.Time     // since when it is not
	down      bool          // for so long that it counts
	spoilt    bool          // there were faults when the step began, which one within it may have ended
	during    func()        // is done when the next answer has come, before it is used
	answered  chan struct{} // closed when the poll's query is answered
	queried   *sync.Once    // that closes it

	heal  func()                      // ends the faults
	check func(context.Context) error // looks at the rows in place of the records' history; nil = as inbound

	late    time.Duration // how long the next transaction takes to commit
	value   int
	records []*record
	trail   []string
}

func newWorld(ctx context.Context, db *database, p plot) (w *world, done func(), err error) {
	w = &world{db: db, clock: &orgClock{now: time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)}, used: p.objects(), polled: p.Polled, pure: p.Pure}
	w.sf = org.New(org.Options{
		DailyLimit: 1_000_000, Now: w.clock.Now, SessionTimeout: 100_000 * time.Hour, Seed: p.Seed, ReplicationLag: maxLate,
	}).Start()
	w.heal = w.sf.ClearFaults
	w.sf.Trigger(func(draft *sobject.Draft) error {
		draft.Tx.At = w.clock.Now().Add(-w.late)
		return nil
	})
	if p.Hidden {
		w.sf.OmitFromEvents(w.used[len(w.used)-1], named[w.used[len(w.used)-1]])
	}
	client, idle, err := clientOf(ctx, w.sf)
	if err != nil {
		w.sf.Close()
		return nil, nil, err
	}
	w.client = client
	if err = db.empty(ctx); err != nil {
		idle()
		w.sf.Close()
		return nil, nil, err
	}
	return w, func() { idle(); w.sf.Close() }, nil
}

// birth makes a bridge that knows nothing but what the database says.
func (w *world) birth(ctx context.Context) error {
	s := newSession(New(scheduleConfig(), "test", zerolog.Nop()), w.db.pool, w.client)
	s.reader = poll.New(answers{w.client, w}, s.sink, zerolog.Nop())
	for _, name := range w.used {
		o := newObject(w.db.mappings[name])
		s.objects = append(s.objects, o)
		s.byTable[o.table.Name] = o
	}
	s.relate()
	positions, err := s.sink.Positions(ctx)
	if err != nil {
		return err
	}
	if s.stream, err = newStream(s); err != nil {
		return err
	}
	for _, o := range s.objects {
		st, err := s.sink.ReadState(ctx, o.cfg.Name)
		if err != nil {
			return err
		}
		o.loaded.Store(!st.LoadedAt.IsZero())
		o.poll.Streamed = func() bool { return w.connected && o.streamed.Load() }
		o.wantPoll() // as pollObject begins
	}
	w.s, w.positions, w.heard, w.connected = s, positions, map[*channel]int64{}, false
	w.away, w.down = w.clock.Now(), false
	return nil
}

// connect subscribes to the topics, as the Bayeux client does.
func (w *world) connect(ctx context.Context) error {
	if w.polled || w.connected {
		return nil
	}
	st := w.s.stream
	if err := st.s.pool.QueryRow(ctx, bridgeNameSQL, "salesforce").Scan(&st.name); err != nil {
		return err
	}
	api := &glance{API: topics{w.client}}
	for _, o := range w.s.objects {
		if err := st.ensure(ctx, api, o, w.positions); err != nil {
			return err
		}
	}
	w.connected, w.down = true, false
	for _, ch := range w.channels() {
		from := ch.from()
		if _, ok := w.sf.Stream().After(ch.name, from); !ok {
			refusal := &bayeux.Error{Channel: "/meta/subscribe", Subscription: ch.name, Code: 400, Text: fmt.Sprintf("The replayId {%d} you provided was invalid.", from)}
			if v := st.refused(ch, refusal); v != bayeux.Again {
				return fmt.Errorf("verdict %v on an expired replay id", v)
			}
			from = ch.from()
		}
		if from == bayeux.FromNew {
			if from = w.sf.Stream().LastReplayID(ch.name); from == 0 {
				from = -2
			}
		}
		w.heard[ch] = from
		st.confirmed(ch)
	}
	st.work(ctx)
	return nil
}

func (w *world) disconnect() {
	if w.connected {
		w.connected, w.away = false, w.clock.Now()
	}
}

// channels are those of the session, in the order of its objects.
func (w *world) channels() (list []*channel) {
	for _, o := range w.s.objects {
		for _, ch := range w.s.stream.all() {
			if ch.obj == o {
				list = append(list, ch)
			}
		}
	}
	return list
}

// incoming is an event on the wire.
type incoming struct {
	ch    *channel
	event cometd.Stored
}

// pending are the events that the wire has not brought yet, channel by channel.
// A subscription that is too far behind is lost.
func (w *world) pending(ctx context.Context) ([][]incoming, error) {
	var all [][]incoming
	for _, ch := range w.channels() {
		events, ok := w.sf.Stream().After(ch.name, w.heard[ch])
		if !ok {
			w.disconnect()
			if err := w.connect(ctx); err != nil {
				return nil, err
			}
			events, _ = w.sf.Stream().After(ch.name, w.heard[ch])
		}
		var list []incoming
		for _, e := range events {
			list = append(list, incoming{ch, e})
		}
		all = append(all, list)
	}
	return all, nil
}

// take hands events to the handler, and makes work of what it queues.
func (w *world) take(ctx context.Context, events []incoming) (*work, error) {
	if len(events) == 0 {
		return nil, nil //nolint:nilnil // nothing to do
	}
	msgs := make([]bayeux.Message, len(events))
	for i, e := range events {
		msgs[i] = bayeux.Message{Channel: e.ch.name, Data: e.event.Data, ReplayID: e.event.ReplayID}
		w.heard[e.ch] = max(w.heard[e.ch], e.event.ReplayID)
	}
	in := w.s.in
	if err := in.handle(ctx, msgs); err != nil {
		return nil, err
	}
	work := &work{positions: map[*channel]pgsink.Position{}, perObject: map[string]*tally{}}
	for len(in.queue) > 0 {
		in.add(work, <-in.queue)
	}
	return work, nil
}

// move lets time pass, for Salesforce and for what waits in the database.
func (w *world) move(ctx context.Context, d time.Duration) error {
	w.clock.move(d)
	if _, err := w.db.pool.Exec(ctx, "UPDATE hcbridge.mark SET due_at = due_at - $1::interval", d); err != nil {
		return err
	}
	if away := w.clock.Now().Sub(w.away); !w.polled && !w.connected && !w.down && away > streamDownAfter {
		w.down = true
		if err := w.tell(ctx); err != nil {
			return err
		}
		for _, ch := range w.channels() {
			w.s.stream.reread(ch, w.client.ServerTime().Add(-away)) // as show does
		}
		w.s.stream.work(ctx)
	}
	return nil
}

// tell lets the bridge know the org's time, as any answer does.
func (w *world) tell(ctx context.Context) error {
	for {
		_, err := w.client.Count(ctx, "SELECT COUNT() FROM Lead")
		if err == nil || ctx.Err() != nil || len(w.sf.Faults()) == 0 {
			return err
		}
		w.heal()
	}
}

// answers is the org as the reader sees it. What happens during an answer
// happens when it has been made and before it is used.
type answers struct {
	*salesforce.Client

	w *world
}

func (a answers) then() {
	if fn := a.w.during; fn != nil {
		a.w.during = nil
		fn()
	}
}

func (a answers) Retrieve(ctx context.Context, object string, ids, fields []string) ([]json.RawMessage, error) {
	records, err := a.Client.Retrieve(ctx, object, ids, fields)
	a.then()
	return records, err
}

func (a answers) Query(ctx context.Context, soql string, opts salesforce.QueryOpts) (*salesforce.Page, error) {
	page, err := a.Client.Query(ctx, soql, opts)
	a.then()
	a.w.queried.Do(func() { close(a.w.answered) })
	return page, err
}

// Deleted and Updated come after the query, so that a schedule has one outcome.
func (a answers) Deleted(ctx context.Context, object string, from, to time.Time) (salesforce.DeletedRecords, error) {
	<-a.w.answered
	return a.Client.Deleted(ctx, object, from, to)
}

func (a answers) Updated(ctx context.Context, object string, from, to time.Time) (salesforce.UpdatedRecords, error) {
	<-a.w.answered
	return a.Client.Updated(ctx, object, from, to)
}

// cut reports whether err is what a cut connection makes.
func cut(err error) bool {
	var se *salesforce.Error
	return errors.As(err, &se)
}
