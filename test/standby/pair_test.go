package standby

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/compare"
	"hcbridge/test/org"
	"hcbridge/test/rig"
)

// process is one of a pair. Its name is that of its sessions in Postgres.
type process struct {
	*rig.Bridge
	name string
}

// pair is two bridges on one schema, an org, and traffic.
type pair struct {
	*rig.Rig
	doors   doors
	address map[string]string // of doors, by process
	all     map[string]*process
	app     *traffic
	strict  bool            // a campaign: the lease is taken within what is promised
	alone   bool            // nothing beside it: so is all work
	went    time.Time       // when the one that stood still was continued, in this round
	late    int             // requests that it had begun before
	cold    int             // take-overs that began with the question what the objects are
	fenced  int             // transactions refused
	lease   []time.Duration // until the other has it
	work    []time.Duration // until it has done something
}

func newPair(t *testing.T) *pair {
	t.Helper()
	r := rig.New(t, "HC_LOG_LEVEL=info", "HC_POLL_INTERVAL=5s",
		"HC_OBJECT_ACCOUNT_ACCESS=read_write", // without external id: an insert cannot be repeated
		"HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c")
	r.Raced()
	p := &pair{Rig: r, doors: doors{org: r.SF}, strict: os.Getenv("HCBRIDGE_STANDBY") != "", address: map[string]string{}, all: map[string]*process{}}
	for _, name := range []string{"one", "two"} {
		p.address[name] = p.doors.open(t, name)
	}
	p.start("one")
	p.Synced()
	p.watch()
	p.start("two")
	p.app = &traffic{p: p}
	p.app.start()
	t.Cleanup(p.app.stop)
	return p
}

func (p *pair) must(err error) {
	p.T.Helper()
	p.Must(err)
}

// start starts the process of that name and waits until it stands by, if another
// is there.
func (p *pair) start(name string) {
	p.T.Helper()
	p.Env["HC_SALESFORCE_LOGIN_URL"] = p.address[name]
	separator := "?"
	if strings.Contains(p.URL, "?") {
		separator = "&"
	}
	p.Env["DATABASE_URL"] = p.URL + separator + "application_name=" + name
	b := &process{Bridge: p.Start(), name: name}
	p.all[name] = b
	if began := time.Now(); len(p.all) == 2 {
		p.Eventually("to stand by", 20*time.Second, func() error {
			if !strings.Contains(b.Log.String(), `"event":"standby"`) || !p.doors.asked(name, began) {
				return errors.New(name + " does not")
			}
			return nil
		})
	}
}

// watch notes in the database whose transactions write, by what they are in the
// order of their first writes.
func (p *pair) watch() {
	p.T.Helper()
	p.Exec(`CREATE SCHEMA watch;
		CREATE TABLE watch.wrote (seq bigserial, name text, what text);
		CREATE FUNCTION watch.note() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			IF current_setting('application_name') IN ('one', 'two') THEN
				INSERT INTO watch.wrote (name, what) VALUES (current_setting('application_name'), TG_TABLE_NAME || ' ' || TG_OP);
			END IF;
			RETURN NULL;
		END $$;`)
	for _, table := range []string{
		"hcbridge.position", "hcbridge.mark", "hcbridge.object", "hcbridge.instance", "hcbridge.gap", "hcbridge.hold", "hcbridge.gone", "hcbridge.invisible",
		"salesforce.account", "salesforce.contact", "salesforce._trigger_log", "salesforce._trigger_log_archive",
	} {
		p.Exec("CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON " + table + " FOR EACH STATEMENT EXECUTE FUNCTION watch.note()")
	}
}

// wrote returns whose transactions wrote in which order since the last call, each
// once for all that it did without the other between.
func (p *pair) wrote() []string {
	p.T.Helper()
	rows, err := p.Pool.Query(p.T.Context(), `WITH all_of_it AS (DELETE FROM watch.wrote RETURNING *)
		SELECT name FROM (SELECT seq, name, lag(name) OVER (ORDER BY seq) AS before FROM all_of_it) AS w
		WHERE before IS DISTINCT FROM name ORDER BY seq`)
	p.must(err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	p.must(err)
	return names
}

// holds returns an error unless the process has the lease.
func (p *pair) holds(b *process) error {
	var holder string
	if err := p.Pool.QueryRow(p.T.Context(), "SELECT holder FROM hcbridge.lease WHERE expires_at > clock_timestamp()").Scan(&holder); err != nil {
		return err
	}
	if !strings.Contains(holder, fmt.Sprintf("/%d/", b.Cmd.Process.Pid)) {
		return fmt.Errorf("%s holds it", holder)
	}
	return nil
}

// works waits until the process has the lease, and then until what an app writes
// now is sent by it, and what is changed in the org has arrived.
func (p *pair) works(b *process, limit time.Duration) {
	p.T.Helper()
	began := time.Now()
	p.within(p.strict, b.name+" has the lease", limit, func() error { return p.holds(b) })
	p.lease = append(p.lease, time.Since(began))
	taken := time.Now()
	var id int
	p.must(p.Pool.QueryRow(p.T.Context(), "INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('Taken over', 'over-' || nextval('watch.wrote_seq_seq')) RETURNING id").Scan(&id))
	sfid, err := p.SF.As(org.DefaultOther).Insert("Contact", map[string]any{"LastName": "Taken over", "External_Id__c": fmt.Sprintf("taken-%d", id)})
	p.must(err)
	works := func() error {
		switch {
		case p.Count("SELECT count(*) FROM salesforce.contact WHERE id = $1 AND sfid IS NOT NULL", id) == 0:
			return errors.New("the row is not sent")
		case p.Count("SELECT count(*) FROM salesforce.contact WHERE sfid = $1", sfid) == 0:
			return errors.New("the record has no row")
		}
		return nil
	}
	p.within(p.strict && p.alone, b.name+" works", limit-time.Since(began), works)
	p.work = append(p.work, time.Since(began))
	if p.doors.asked(b.name, taken) {
		p.cold++ // it had not stood by for long enough
	}
}

// within is Promised where a campaign shows what is promised, else Eventually: the
// ordinary run shares the machine with other tests, and shows that it happens.
func (p *pair) within(promised bool, what string, limit time.Duration, try func() error) {
	p.T.Helper()
	if promised {
		p.Promised(what, limit, try)
	} else {
		p.Eventually(what, limit, try)
	}
}

// round has the work go over from one process to the other, lets it go on for a
// moment, and checks what came of it.
func (p *pair) round(n int, over func(old, next *process)) {
	p.T.Helper()
	old, next := p.all["one"], p.all["two"]
	if p.holds(old) != nil {
		old, next = next, old
	}
	p.must(p.holds(old))
	p.doors.order()
	p.wrote()
	p.went = time.Time{}
	p.app.flow()
	time.Sleep(time.Duration(300+137*n%700) * time.Millisecond) // traffic, up to anywhere in it
	over(old, next)
	time.Sleep(500 * time.Millisecond) // traffic
	p.app.pause()
	p.settled()
	late := behind(p.doors.order(), old.name)
	for _, r := range late {
		p.T.Logf("round %d: %s of %s arrived %s after it went on", n+1, r.what, r.name, r.at.Sub(p.went))
		if r.at.Sub(p.went) > begunWithin {
			p.T.Errorf("round %d: it cannot have been begun before", n+1)
		}
	}
	if len(late) > begunMost {
		p.T.Errorf("round %d: %d requests by who had lost the lease", n+1, len(late))
	}
	p.late += len(late)
	if wrote := p.wrote(); len(wrote) == 0 || len(wrote) > 2 || wrote[len(wrote)-1] != next.name {
		p.T.Errorf("round %d: Postgres was written to by %v, want %s and then %s", n+1, wrote, old.name, next.name)
	}
	p.once()
	if p.T.Failed() {
		p.T.FailNow()
	}
}

// settled waits until both sides hold the same, but for inserts of which it cannot
// be known yet whether they took effect: those are in the org nowhere, and wait.
func (p *pair) settled() {
	p.T.Helper()
	p.Eventually("both sides equal", 60*time.Second, func() error {
		names, err := p.column(`SELECT a.name FROM salesforce._trigger_log AS l JOIN salesforce.account AS a ON a.id = l.record_id
			WHERE l.table_name = 'account' AND l.state = 'PENDING' AND l.action = 'INSERT' AND a.sfid IS NULL`)
		if err != nil {
			return err
		}
		for _, name := range names {
			if n := p.named("Account", "Name", name); n > 0 {
				return fmt.Errorf("%s is in the org, but in doubt", name)
			}
		}
		n := p.Count("SELECT (SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')) + (SELECT count(*) FROM hcbridge.mark)")
		if n > len(names) {
			return fmt.Errorf("%d reads and writes wait", n-len(names))
		}
		if n := p.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED'"); n > 0 {
			return fmt.Errorf("%d writes failed", n)
		}
		for _, object := range []string{"Account", "Contact"} {
			diff, err := compare.Sides(p.T.Context(), p.Pool, "salesforce", p.SF, object)
			if err != nil {
				return err
			}
			unsent := 0
			for _, d := range diff {
				if !strings.Contains(d, "a row without sfid") {
					return errors.New(d)
				}
				unsent++
			}
			if object != "Account" && unsent > 0 || unsent > len(names) {
				return fmt.Errorf("%s: %d rows are lost", object, unsent)
			}
		}
		return nil
	})
}

func (p *pair) column(sql string) ([]string, error) {
	rows, err := p.Pool.Query(p.T.Context(), sql)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func (p *pair) named(object, field, name string) (n int) {
	ob := p.SF.Object(object)
	for _, rec := range p.SF.Records(object) {
		if rec.Get(ob, field) == name {
			n++
		}
	}
	return n
}

// once checks that whatever was made on one side is there once on both: the org
// alone knows what it was made to make.
func (p *pair) once() {
	p.T.Helper()
	for object, field := range map[string]string{"Account": "Name", "Contact": "External_Id__c"} {
		ob := p.SF.Object(object)
		seen := map[any]int{}
		for _, rec := range p.SF.Records(object) {
			seen[rec.Get(ob, field)]++
		}
		for name, n := range seen {
			if n > 1 {
				p.T.Errorf("%s %v was made %d times", object, name, n)
			}
		}
		table := strings.ToLower(object)
		if n := p.Count(fmt.Sprintf("SELECT count(*) - count(DISTINCT %s) FROM salesforce.%s", strings.ToLower(field), table)); n > 0 {
			p.T.Errorf("%d rows of %s are there twice", n, table)
		}
	}
	p.app.check()
}

func (p *pair) report() {
	p.T.Helper()
	ms := func(d time.Duration) time.Duration { return d.Round(time.Millisecond) }
	p.T.Logf("%d take-overs, %d rows and records; the lease after %s in the median, %s at most; work after %s, %s; %d unprepared; %d transactions fenced, %d requests begun before",
		len(p.lease), len(p.app.rows)+len(p.app.names)+len(p.app.ids), ms(rig.Percentile(p.lease, 50)), ms(rig.Percentile(p.lease, 100)),
		ms(rig.Percentile(p.work, 50)), ms(rig.Percentile(p.work, 100)), p.cold, p.fenced, p.late)
}
