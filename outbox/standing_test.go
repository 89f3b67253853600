package outbox

import (
	"context"
	"fmt"
	"testing"
	"time"

	"hcbridge/internal/beat"
)

func TestTookEffect(t *testing.T) {
	t.Parallel()
	const age = time.Minute
	var (
		sent   = Standing{First: No, Now: Yes}
		old    = Standing{First: Yes, Now: No}
		same   = Standing{First: Yes, Now: Yes}
		theirs = Standing{First: No, Now: No}
		made   = Standing{First: No, Now: No, Ours: true}
		before = Standing{First: No, Now: No, Age: 2 * age}
		first  = Standing{First: Unsure, Now: Yes}
		none   Standing
	)
	for name, c := range map[string]struct {
		list []Standing
		want Answer
	}{
		"nothing was asked":                              {nil, No},
		"there is no record":                             {[]Standing{none, none}, No},
		"it has what was sent":                           {[]Standing{sent, sent}, Yes},
		"of what was before nobody knows":                {[]Standing{first}, Yes},
		"nor of the rest, and another user came later":   {[]Standing{first, theirs}, Unsure},
		"nor of the rest, and another user came before":  {[]Standing{first, before}, No},
		"it has what was before":                         {[]Standing{old}, No},
		"it has some of what was before":                 {[]Standing{sent, old}, No},
		"nothing was changed":                            {[]Standing{same}, Yes},
		"a value that nobody can compare":                {[]Standing{sent, none}, Yes},
		"and others that say nothing":                    {[]Standing{same, none}, No},
		"another user came later":                        {[]Standing{theirs}, Unsure},
		"another user came later, in one field":          {[]Standing{sent, theirs, sent}, Yes},
		"another user came later, the rest is as it was": {[]Standing{theirs, old}, No},
		"another user came later, the rest is unknown":   {[]Standing{theirs, none}, Unsure},
		"another user came before":                       {[]Standing{before}, No},
		"another user came before, and sent the same":    {[]Standing{sent, before}, No},
		"the org made something else of it":              {[]Standing{made, sent}, Yes},
		"or somebody who is our user":                    {[]Standing{made}, No},
	} {
		if got := tookEffect(c.list, age); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
}

// An update whose answer was lost is repeated only if it did not take effect, also by
// another process, and not over what another user has written to the field since.
func TestUnansweredUpdate(t *testing.T) {
	t.Parallel()
	const id = "001000000000001AAA"
	const once, twice = "update Account 1", "update Account 1, update Account 1"
	const ours, theirs = "map[Industry:i1 Name:v1]", "map[Industry:x Name:theirs]"
	all := map[string]any{"Name": "theirs", "Industry": "x"}
	for name, c := range map[string]struct {
		done   bool
		edit   map[string]any // by another user, a moment later
		age    time.Duration  // or so long ago
		event  bool           // tells of the update
		calls  string
		record string
	}{
		"took effect":                        {true, nil, 0, false, once, ours},
		"did not":                            {false, nil, 0, false, twice, ours},
		"another field was changed":          {true, map[string]any{"Score__c": 7}, 0, false, once, "map[Industry:i1 Name:v1 Score__c:7]"},
		"another field, and it did not":      {false, map[string]any{"Score__c": 7}, 0, false, twice, "map[Industry:i1 Name:v1 Score__c:7]"},
		"a field was changed":                {true, map[string]any{"Name": "theirs"}, 0, false, once, "map[Industry:i1 Name:theirs]"},
		"a field, and it did not":            {false, map[string]any{"Name": "theirs"}, 0, false, twice, ours},
		"all fields were changed":            {true, all, 0, true, once, theirs},
		"all fields, and nobody tells":       {true, all, 0, false, twice, ours},
		"all fields, and it did not":         {false, all, 0, false, twice, ours},
		"all fields, before it, and did not": {false, all, time.Hour, false, twice, ours},
	} {
		for _, full := range []bool{false, true} {
			for _, algorithm := range []string{Ordered, Merged} {
				for _, restarted := range []bool{false, true} {
					t.Run(fmt.Sprintf("%s, full call %t, %s, restarted %t", name, full, algorithm, restarted), func(t *testing.T) {
						t.Parallel()
						b := setup(t)
						settings := []func(*Config){b.finding(time.Hour), func(cfg *Config) {
							cfg.Algorithm, cfg.Tables[0].Events = algorithm, true
							if full {
								cfg.BatchSize = 1
							}
						}}
						b.restart(settings...)
						b.hex(`INSERT INTO salesforce.account (name, industry, sfid) VALUES ('v0', 'i0', '` + id + `')`)
						b.sf.records[id], b.sf.objects[id] = map[string]any{"Name": "v0", "Industry": "i0"}, "Account"
						calls := 0
						b.sf.script(func(_ context.Context, call Call) ([]Outcome, error, bool) {
							if calls++; calls > 1 {
								return nil, nil, false
							}
							if c.done {
								b.sf.apply(call)
							}
							for field, value := range c.edit {
								b.sf.records[id][field], b.sf.foreign[id] = value, true
							}
							b.sf.ages[id] = c.age
							if c.edit == nil && !c.done {
								b.sf.ages[id] = time.Hour
							}
							return nil, errLost, false
						})
						b.want("on its way", fmt.Sprint(b.worker.Sent(id)), "<nil>")
						b.exec(`UPDATE salesforce.account SET name = 'v1', industry = 'i1'`)
						b.run()
						b.want("log", b.list(`SELECT state || ' ' || left(sf_message, 8) FROM salesforce._trigger_log`), "PENDING IN_DOUBT")
						if restarted {
							b.restart(settings...)
							if err := b.worker.Recover(t.Context()); err != nil {
								t.Fatal(err)
							}
						}
						if s := b.worker.Sent(id[:15]); s == nil || fmt.Sprint(s.Fields) != "map[Industry:i1 Name:v1]" || s.Age <= 0 || s.Age > time.Minute {
							t.Errorf("on its way is %+v", s)
						}
						if c.event {
							b.run() // it waits for that
							b.exec(`INSERT INTO salesforce._trigger_log_echo (id) SELECT id FROM salesforce._trigger_log`)
						}
						eventually(t, "the log is empty", func() bool {
							for _, d := range b.worker.doubts { // time passes
								if d.due = time.Now(); !d.unclear.IsZero() && !c.event {
									d.unclear = d.unclear.Add(-echoFor)
								}
							}
							b.tryRun()
							return b.live() == ""
						})
						b.want("calls", b.sf.sent(), c.calls)
						b.want("record", fmt.Sprint(b.sf.records[id]), c.record)
						b.want("archive", b.archived(), "UPDATE/SUCCESS")
						b.want("row", b.one(`SELECT _hc_lastop FROM salesforce.account`), "UPDATED")
						b.want("on its way", fmt.Sprint(b.worker.Sent(id)), "<nil>")
						b.worker.lastPurge, b.worker.tidied = time.Time{}, beat.Never
						b.run()
						b.want("echoes", b.one(`SELECT count(*) FROM salesforce._trigger_log_echo`), "0")
					})
				}
			}
		}
	}

	// Where Salesforce has no events nobody waits for one, else for ten seconds.
	for _, events := range []bool{false, true} {
		t.Run(fmt.Sprintf("only an event can tell, and there are some: %t", events), func(t *testing.T) {
			t.Parallel()
			table := &Table{Events: events}
			start := time.Now()
			d := &doubt{op: Update}
			waited := time.Duration(-1)
			for now := start; d.waitsForEvent(table, now, echoFor); now = d.due {
				waited = now.Sub(start)
			}
			if want := map[bool]time.Duration{true: echoFor - echoLook, false: -1}[events]; waited != want {
				t.Errorf("the last look was after %s, want %s", waited, want)
			}
		})
	}

	// What was folded into one update is one to look at, after a restart too.
	t.Run("merged", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour), merged)
		b.hex(`INSERT INTO salesforce.account (name, industry, sfid) VALUES ('v0', 'i0', '` + id + `')`)
		b.sf.records[id], b.sf.objects[id] = map[string]any{"Name": "v0", "Industry": "i0"}, "Account"
		calls := 0
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
			calls++
			return nil, errLost, calls == 1
		})
		b.exec(`UPDATE salesforce.account SET name = 'v1'; UPDATE salesforce.account SET industry = 'i1'; UPDATE salesforce.account SET name = 'v2'`)
		b.run()
		b.restart(b.finding(time.Hour), merged)
		if err := b.worker.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.done()
		b.want("calls", b.sf.sent(), "update Account 1")
		b.want("archive", b.archived(), "UPDATE/MERGED UPDATE/MERGED UPDATE/SUCCESS")
	})

	// While nobody can look, the record's changes wait, and others do not.
	t.Run("it cannot be looked at", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('v0')`)
		b.done()
		calls := 0
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
			if calls++; calls == 1 {
				return nil, errLost, true
			}
			return nil, nil, false
		})
		b.sf.blind = &Failure{Class: Transient, Code: "UNAVAILABLE"}
		b.exec(`UPDATE salesforce.account SET name = 'v1'`)
		b.run()
		b.exec(`UPDATE salesforce.account SET name = 'v2'; INSERT INTO salesforce.contact (lastname) VALUES ('other')`)
		for range 4 {
			b.run()
		}
		b.want("log", b.live(), "UPDATE/PENDING UPDATE/NEW")
		b.want("calls", b.sf.sent(), "insert Account 1, update Account 1, insert Contact 1")
		b.want("looks", fmt.Sprint(b.sf.looks), "1")
		b.sf.blind = nil
		for _, d := range b.worker.doubts {
			if wait := time.Until(d.due); wait < firstLook/2 || wait > firstLook {
				t.Errorf("the next look is in %s", wait)
			}
			d.due = time.Now()
		}
		b.done()
		b.want("calls", b.sf.sent(), "insert Account 1, update Account 1, insert Contact 1, update Account 1")
		b.want("record", b.name(), "v2")
	})

	t.Run("it can never be looked at", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		b.restart(b.finding(time.Hour))
		b.exec(`INSERT INTO salesforce.account (name) VALUES ('v0')`)
		b.done()
		b.sf.blind = &Failure{Class: Permanent, Code: "INVALID_FIELD"}
		calls := 0
		b.sf.script(func(context.Context, Call) ([]Outcome, error, bool) {
			if calls++; calls == 1 {
				return nil, errLost, true
			}
			return nil, nil, false
		})
		b.exec(`UPDATE salesforce.account SET name = 'v1'`)
		b.done()
		b.want("calls", b.sf.sent(), "insert Account 1, update Account 1, update Account 1")
	})

	t.Run("looks that fail are ever rarer, up to a quarter of a minute", func(t *testing.T) {
		t.Parallel()
		start := time.Now()
		d := &doubt{op: Update, sent: start}
		var waits []time.Duration
		for range 7 {
			d.postpone(start, time.Hour)
			waits = append(waits, d.due.Sub(start))
		}
		if got, want := fmt.Sprint(waits), "[1s 2s 4s 8s 15s 15s 15s]"; got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
