package chaos

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/test/check"
	"hcbridge/test/org/truth"
)

// backlog is one transaction of the app that changes thousands of rows, in the
// middle of the run.
func (w *world) backlog(ctx context.Context) {
	sleep(ctx, w.plan.length/3)
	w.database.RLock()
	defer w.database.RUnlock()
	ctx = context.WithoutCancel(ctx)
	err := w.app.Do(ctx, func(tx *check.Tx) error { //nolint:wrapcheck // the checker's own words
		for n := range w.plan.backlog {
			row := map[string]any{"name": "Backlog", "fax": fmt.Sprintf("mark b%d", n)}
			if w.plan.keyed {
				row["external_id__c"] = fmt.Sprintf("key b%d", n)
			}
			if _, err := tx.Insert(ctx, "Account", row); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.T.Errorf("backlog: %v", err)
	}
}

// sfids are the Salesforce ids in a text.
var sfids = regexp.MustCompile(`\b[a-z0-9A-Z]{15}[A-Z0-5]{3}\b`)

// history is what happened in the org to the records that are named, in order.
func history(log *truth.Log, violations []check.Violation) string {
	named := map[string]bool{}
	for _, v := range violations {
		for _, id := range sfids.FindAllString(v.String(), -1) {
			named[id] = true
		}
	}
	var b strings.Builder
	for _, c := range log.Snapshot(objects()).Changes {
		if !named[c.ID()] {
			continue
		}
		fmt.Fprintf(&b, "%s %s %s %s by %s %s cascade %t replay %d:", c.At.Format(time.StampMilli), c.Object.Name, c.ID(), c.Kind, c.User, c.API, c.Cascade, c.Replay)
		for _, f := range c.Object.Fields {
			if v, changed := c.Changed(f.Name); changed && v != nil {
				fmt.Fprintf(&b, " %s=%v", f.Name, v)
			} else if changed {
				fmt.Fprintf(&b, " %s=null", f.Name)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// state is what explains a run that went wrong: what waits, and what the bridge
// says of itself.
func (w *world) state() string {
	var b strings.Builder
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for _, q := range []string{
		"SELECT status::text FROM hcbridge.instance",
		"SELECT row_to_json(m)::text FROM hcbridge.mark AS m ORDER BY seq DESC LIMIT 20",
		"SELECT row_to_json(e)::text FROM hcbridge.read_error AS e LIMIT 40",
		"SELECT row_to_json(h)::text FROM hcbridge.hold AS h LIMIT 40",
		"SELECT row_to_json(l)::text FROM salesforce._trigger_log AS l WHERE state IN ('NEW', 'PENDING', 'FAILED') ORDER BY state = 'FAILED', id LIMIT 40",
		"SELECT row_to_json(l)::text FROM salesforce._trigger_log_archive AS l WHERE state = 'FAILED' ORDER BY id LIMIT 40",
	} {
		rows, err := w.Pool.Query(ctx, q)
		if err != nil {
			fmt.Fprintf(&b, "%s: %v\n", q, err)
			continue
		}
		list, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		fmt.Fprintf(&b, "%s: %d rows %v\n", q, len(list), err)
		for _, text := range list {
			if text != nil {
				fmt.Fprintf(&b, "  %s\n", *text)
			}
		}
	}
	return b.String()
}

// logs writes what the bridges said to files, where HCBRIDGE_CHAOS_LOGS names a folder.
func (w *world) logs() {
	dir := os.Getenv("HCBRIDGE_CHAOS_LOGS")
	if dir == "" {
		return
	}
	var b strings.Builder
	for n, bridge := range w.bridges {
		fmt.Fprintf(&b, "bridge %d\n%s", n+1, bridge.Log.String())
	}
	if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("chaos-%d.log", w.plan.seed)), []byte(b.String()), 0o600); err != nil {
		w.T.Error(err)
	}
}
