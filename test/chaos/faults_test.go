package chaos

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"

	"hcbridge/test/org"
)

// fault is one thing that can go wrong. plan decides by chance how exactly: in
// words, and as what to do when it begins, which returns what ends it (nil: it
// ends by itself). Both are called by a goroutine of their own.
type fault struct {
	name   string
	weight int
	ages   bool // what it leaves takes minutes, which pass by a restart
	plan   func(random *rand.Rand) (text string, begin func(w *world) (end func()))
}

// once is a fault that begins and is over.
func once(name string, weight int, do func(w *world)) fault {
	return fault{name: name, weight: weight, plan: func(*rand.Rand) (string, func(*world) func()) {
		return name, func(w *world) func() { do(w); return nil }
	}}
}

// while is one that lasts.
func while(name string, weight int, begin, end func(w *world)) fault {
	return fault{name: name, weight: weight, plan: func(*rand.Rand) (string, func(*world) func()) {
		return name, func(w *world) func() { begin(w); return func() { end(w) } }
	}}
}

// patient is f, whose consequences take minutes.
func patient(f fault) fault {
	f.ages = true
	return f
}

// numbered is one with a number from low to high.
func numbered(name string, weight, low, high int, begin func(w *world, n int) (end func())) fault {
	return fault{name: name, weight: weight, plan: func(random *rand.Rand) (string, func(*world) func()) {
		n := low + random.IntN(high-low+1)
		return fmt.Sprintf("%s %d", name, n), func(w *world) func() { return begin(w, n) }
	}}
}

func of[T any](random *rand.Rand, list ...T) T { return list[random.IntN(len(list))] }

// faults is the table of all that happens.
var faults = []fault{
	// Requests to the org.
	{"request", 30, false, func(random *rand.Rand) (string, func(*world) func()) {
		f := org.Fault{
			Path:  of(random, "", "", "/query", "/composite", "/composite", "/sobjects", "^/cometd/", "/oauth2/token", "/describe", "/limits", "/jobs/"),
			Verb:  of(random, org.Reject, org.FailAfterWrite, org.FailAfterWrite, org.HTML, org.Redirect, org.Cut, org.Garble, org.Drop, org.Trickle),
			Times: 1 + random.IntN(3),
		}
		if f.Verb == org.Redirect {
			f.Body = "http://127.0.0.1:9/elsewhere"
		}
		if f.Verb == org.FailAfterWrite && random.IntN(2) == 0 {
			f.Status, f.Body = 502, "<html>Bad Gateway</html>"
		}
		return rule(f)
	}},
	{"slow", 8, false, func(random *rand.Rand) (string, func(*world) func()) {
		return rule(org.Fault{
			Path: of(random, "", "/query", "/composite", "/sobjects", "^/cometd/", "/oauth2/token"), Verb: org.Slow,
			Delay: time.Duration(100+random.IntN(2500)) * time.Millisecond, Before: random.IntN(2) == 0, Times: 1 + random.IntN(10),
		})
	}},
	// A request that runs on when its connection is gone, and commits late.
	{"hold", 8, false, func(random *rand.Rand) (string, func(*world) func()) {
		text, begin := rule(org.Fault{Method: of(random, "POST", "PATCH", ""), Path: of(random, "/composite", "/sobjects"), Verb: org.Hold, Before: random.IntN(3) > 0, Times: 1 + random.IntN(3)})
		cut := random.IntN(2) == 0
		return fmt.Sprintf("%s, cut %t", text, cut), func(w *world) func() {
			release := begin(w)
			return func() {
				if cut {
					w.toOrg.cut()
				}
				release()
			}
		}
	}},
	{"error", 8, false, func(random *rand.Rand) (string, func(*world) func()) {
		code := of(random, "UNKNOWN_EXCEPTION", "SERVER_UNAVAILABLE", "INVALID_SESSION_ID", "UNABLE_TO_LOCK_ROW", "REQUEST_RUNNING_TOO_LONG", "QUERY_TIMEOUT", "INVALID_QUERY_LOCATOR")
		status := map[string]int{"UNKNOWN_EXCEPTION": 500, "SERVER_UNAVAILABLE": 503, "INVALID_SESSION_ID": 401}[code]
		if status == 0 {
			status = 400
		}
		return rule(org.Fault{Path: of(random, "/query", "/composite", "/sobjects"), Verb: org.Reject, Status: status, Body: fmt.Sprintf(`[{"message":"chaos","errorCode":%q}]`, code), Times: 1 + random.IntN(3)})
	}},
	{"read only", 3, true, func(random *rand.Rand) (string, func(*world) func()) {
		return rule(org.Fault{Method: of(random, "POST", "PATCH"), Path: "/composite", Verb: org.Reject, Status: 403, Body: `[{"message":"chaos","errorCode":"INSERT_UPDATE_DELETE_NOT_ALLOWED_DURING_MAINTENANCE"}]`, Times: 1 + random.IntN(3)})
	}},
	{"api limit", 3, true, func(*rand.Rand) (string, func(*world) func()) {
		return "the org's calls are used up", func(w *world) func() {
			used, _ := w.SF.Usage()
			w.SF.DailyLimit(used)
			return func() { w.SF.DailyLimit(1_000_000) }
		}
	}},
	numbered("record locks, one in", 5, 2, 10, func(w *world, n int) func() {
		w.refuse.Store(int64(n))
		return func() { w.refuse.Store(0) }
	}),
	numbered("late commit, seconds", 6, 1, 10, func(w *world, n int) func() {
		w.late.Store(int64(time.Duration(n) * time.Second))
		return nil
	}),
	numbered("clock ahead, minutes", 4, 1, 240, func(w *world, n int) func() {
		w.ahead.Add(int64(time.Duration(n) * time.Minute))
		return nil
	}),
	once("clock ahead, 25 hours", 1, func(w *world) { w.ahead.Add(int64(25 * time.Hour)) }),
	once("expire locators", 3, func(w *world) { w.SF.ExpireLocators() }),
	once("revoke tokens", 6, func(w *world) { w.SF.RevokeTokens() }),
	once("job fails", 2, func(w *world) { w.SF.Jobs().FailIngest("chaos", 1); w.SF.Jobs().FailQuery("chaos", 1) }),
	numbered("job stops after", 2, 1, 100, func(w *world, n int) func() { w.SF.Jobs().StopAfter(n, 1); return nil }),

	// The stream.
	once("unknown client", 6, func(w *world) { w.SF.Forget() }),
	numbered("unknown client every polls", 3, 1, 5, func(w *world, n int) func() {
		w.SF.Stream().ForgetEvery(n)
		return func() { w.SF.Stream().ForgetEvery(0) }
	}),
	once("disconnect", 4, func(w *world) { w.SF.Stream().DisconnectAll() }),
	once("expire replay", 5, func(w *world) { w.SF.ExpireReplay() }),
	while("mute", 6, func(w *world) { w.SF.Mute(true) }, func(w *world) { w.SF.Mute(false) }),
	numbered("drop events, one in", 6, 1, 5, func(w *world, n int) func() {
		w.SF.Stream().Drop(func(_ string, id int64) bool { return id%int64(n) == 0 })
		return func() { w.SF.Stream().Drop(nil) }
	}),
	numbered("duplicate events", 4, 2, 5, func(w *world, n int) func() {
		w.SF.Stream().Duplicate(n)
		return func() { w.SF.Stream().Duplicate(1) }
	}),
	while("reverse events", 4, func(w *world) { w.SF.ReverseEvents(true) }, func(w *world) { w.SF.ReverseEvents(false) }),
	{"omit field", 3, false, func(random *rand.Rand) (string, func(*world) func()) {
		k := of(random, kinds...)
		field := of(random, k.theirs, k.both)
		return "events of " + k.object + " omit " + field, func(w *world) func() { w.SF.OmitFromEvents(k.object, field); return nil }
	}},
	{"refuse handshake", 4, true, func(random *rand.Rand) (string, func(*world) func()) {
		reason := of(random, "503::Server is too busy.  Please try your request again later.", "401::Authentication invalid", "403::Handshake denied")
		n := 1 + random.IntN(2)
		return fmt.Sprintf("refuse %d handshakes: %s", n, reason), func(w *world) func() {
			w.SF.Stream().RefuseHandshake(reason, n)
			w.SF.Forget()
			return nil
		}
	}},
	{"refuse subscribe", 4, true, func(random *rand.Rand) (string, func(*world) func()) {
		text := of(random, "403:denied_by_security_policy:create_denied", "400::The replayId {1} you provided was invalid.")
		reason := of(random, "", "503::Server is too busy.")
		n := 1 + random.IntN(3)
		return fmt.Sprintf("refuse %d subscribes: %s (%s)", n, text, reason), func(w *world) func() {
			w.SF.Stream().RefuseSubscribe("", text, reason, n)
			w.SF.Forget()
			return nil
		}
	}},
	once("rotate cookies", 3, func(w *world) { w.SF.Stream().RotateCookies() }),
	patient(while("no events of the day left", 2, func(w *world) { w.SF.Stream().SetAllocation(1) }, func(w *world) { w.SF.Stream().SetAllocation(0) })),
	{"topic", 5, true, func(random *rand.Rand) (string, func(*world) func()) {
		object := of(random, objects()...)
		change := of(random, map[string]any{"IsActive": false}, map[string]any{"NotifyForOperationUpdate": false}, map[string]any{"Query": "SELECT Id FROM " + object + " WHERE Name = 'Nobody'"}, nil)
		return fmt.Sprintf("topic of %s becomes %v", object, change), func(w *world) func() {
			for _, r := range w.SF.Records("PushTopic") {
				if r.Get(w.SF.Object("PushTopic"), "Name") != "hc_"+object {
					continue
				}
				if change == nil {
					_ = w.SF.Delete("PushTopic", r.ID)
				} else {
					_ = w.SF.Update("PushTopic", r.ID, change)
				}
			}
			return nil
		}
	}},
	patient(while("no right to topics", 2, func(w *world) { w.SF.DenyPushTopics(true) }, func(w *world) { w.SF.DenyPushTopics(false) })),
	{"hide record", 3, false, func(random *rand.Rand) (string, func(*world) func()) {
		object, at := of(random, objects()...), random.Float64()
		return "a record of " + object + " out of sight", func(w *world) func() {
			list := w.SF.Records(object)
			if len(list) == 0 {
				return nil
			}
			id := list[int(at*float64(len(list)))].ID
			w.SF.HideRecord(object, id)
			return func() { w.SF.ShowRecord(object, id) }
		}
	}},
	{"gap events", 2, false, func(random *rand.Rand) (string, func(*world) func()) {
		object, n := of(random, objects()...), random.IntN(4)
		return fmt.Sprintf("change events of %s: gaps, %d lost", object, n), func(w *world) func() {
			w.SF.GapEvents(object, true)
			w.SF.LoseChanges(object, n)
			return func() { w.SF.GapEvents(object, false) }
		}
	}},

	// The network.
	{"network to the org", 14, false, func(random *rand.Rand) (string, func(*world) func()) {
		return network(random, "org", func(w *world) *wire { return w.toOrg })
	}},
	{"network to Postgres", 14, false, func(random *rand.Rand) (string, func(*world) func()) {
		return network(random, "Postgres", func(w *world) *wire { return w.toPG })
	}},
	once("cut all connections to the org", 3, func(w *world) { w.toOrg.cut() }),
	once("cut all connections to Postgres", 3, func(w *world) { w.toPG.cut() }),

	// Postgres.
	once("terminate all sessions", 5, func(w *world) {
		w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge'")
	}),
	once("terminate a session", 6, func(w *world) {
		w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge' ORDER BY random() LIMIT 1")
	}),
	once("terminate the listener", 4, func(w *world) {
		w.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'hcbridge' AND query ~* '^(un)?listen|pg_listening'")
	}),
	numbered("Postgres stops at once, ms", 6, 0, 1500, func(w *world, n int) func() {
		w.stopPostgres(time.Duration(n) * time.Millisecond)
		return nil
	}),
	numbered("migration locks a table, ms", 3, 200, 2500, func(w *world, n int) func() {
		w.migrate(time.Duration(n) * time.Millisecond)
		return nil
	}),
	while("disk full", 4, func(w *world) { w.full(true) }, func(w *world) { w.full(false) }),

	// The process.
	once("kill", 8, func(w *world) { w.end(syscall.SIGKILL, func() {}) }),
	numbered("kill and stay down, ms", 3, 100, 2000, func(w *world, n int) func() {
		w.end(syscall.SIGKILL, func() { time.Sleep(time.Duration(n) * time.Millisecond) })
		return nil
	}),
	once("restart", 3, func(w *world) { w.end(syscall.SIGTERM, func() {}) }),
	numbered("stand still, ms", 4, 100, 2000, func(w *world, n int) func() {
		w.still(time.Duration(n) * time.Millisecond)
		return nil
	}),
}

// rule is a fault of the org's requests.
func rule(f org.Fault) (string, func(*world) func()) {
	text := fmt.Sprintf("%s %s%q ×%d", f.Verb, f.Method, f.Path, f.Times)
	if f.Delay > 0 || f.Before {
		text += fmt.Sprintf(" %s before %t", f.Delay, f.Before)
	}
	if f.Status > 0 {
		text += fmt.Sprintf(" %d %.60s", f.Status, f.Body)
	}
	return text, func(w *world) func() { return w.SF.Fault(f).Remove }
}

// network spoils a wire.
func network(random *rand.Rand, name string, of_ func(*world) *wire) (string, func(*world) func()) {
	x := toxic{
		Name: fmt.Sprintf("t%d", random.Uint32()), Stream: of(random, "upstream", "downstream"), Toxicity: of[float32](random, 1, 1, 0.5),
		Type: of(random, "latency", "bandwidth", "slicer", "limit_data", "limit_data", "timeout", "reset_peer", "slow_close"),
	}
	switch x.Type {
	case "latency":
		x.Attributes = map[string]any{"latency": 20 + random.IntN(400), "jitter": random.IntN(200)}
	case "bandwidth":
		x.Attributes = map[string]any{"rate": 5 + random.IntN(100)} // KB/s
	case "slicer":
		x.Attributes = map[string]any{"average_size": 20 + random.IntN(200), "size_variation": 10, "delay": 500} // bytes, µs
	case "limit_data":
		x.Attributes = map[string]any{"bytes": random.IntN(20_000)}
	case "timeout":
		x.Attributes = map[string]any{"timeout": of(random, 0, 500)} // 0 = a black hole
	case "reset_peer":
		x.Attributes = map[string]any{"timeout": random.IntN(300)}
	case "slow_close":
		x.Attributes = map[string]any{"delay": 100 + random.IntN(1000)}
	}
	return fmt.Sprintf("%s: %s %s %v of %v", name, x.Stream, x.Type, x.Attributes, x.Toxicity), func(w *world) func() {
		of_(w).add(x)
		return func() { of_(w).remove(x.Name) }
	}
}

// migrate holds the strongest lock on a table, as a slow ALTER does, while the app
// rests.
func (w *world) migrate(d time.Duration) {
	w.database.Lock()
	defer w.database.Unlock()
	tx, err := w.Pool.Begin(w.T.Context())
	if err != nil {
		w.T.Errorf("migration: %v", err)
		return
	}
	if _, err = tx.Exec(w.T.Context(), "LOCK TABLE salesforce.contact IN ACCESS EXCLUSIVE MODE"); err != nil {
		w.T.Errorf("migration: %v", err)
	}
	time.Sleep(d)
	if err := tx.Rollback(w.T.Context()); err != nil {
		w.T.Errorf("migration: %v", err)
	}
}

// full makes Postgres refuse what the bridge writes as where no disk is left.
func (w *world) full(on bool) {
	w.sql(fmt.Sprintf("UPDATE chaos.disk SET is_full = %t", on))
}

// fullSQL puts the switch into all tables that the bridge writes to.
const fullSQL = `
CREATE SCHEMA chaos;
CREATE TABLE chaos.disk (is_full boolean);
INSERT INTO chaos.disk VALUES (false);
CREATE FUNCTION chaos.extend() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF current_setting('application_name') = 'hcbridge' AND (SELECT is_full FROM chaos.disk) THEN
        RAISE EXCEPTION 'could not extend file "base/16384/16385": No space left on device' USING ERRCODE = '53100', HINT = 'Check free disk space.';
    END IF;
    RETURN NULL;
END $$;
DO $$
DECLARE t regclass;
BEGIN
    FOR t IN SELECT c.oid::regclass FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE c.relkind = 'r' AND n.nspname IN ('salesforce', 'hcbridge') LOOP
        EXECUTE format('CREATE TRIGGER chaos_disk BEFORE INSERT OR UPDATE ON %s FOR EACH STATEMENT EXECUTE FUNCTION chaos.extend()', t);
    END LOOP;
END $$;`
