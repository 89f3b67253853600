package browser

import (
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"hcbridge/test/org/sobject"
	"hcbridge/test/rig"
)

const token = "s3cret"

// live makes changes that the page must show within two seconds. The bridge looks
// four times a second while a page is open, so each takes a quarter of a second; but
// where 20 processes share a core one of nine took 2.1 s. So it is the median that
// must be in time.
func (b *tab) live(what string, change func() (seen string)) {
	b.t.Helper()
	const promised = 2 * time.Second
	var all []time.Duration
	for range 5 {
		seen := change()
		all = append(all, b.until(what, seen))
	}
	b.t.Logf("%s after %s", what, all)
	if took := rig.Percentile(all, 50); took > promised {
		b.t.Errorf("%s after %s, later than %s", what, all, promised)
	}
}

// cell is JavaScript for the text of a cell of an object's row.
func cell(object, label string) string {
	return fmt.Sprintf(`[...document.querySelectorAll("#objects tbody")].find((b) => b.querySelector("th").textContent.startsWith(%q))?.querySelector("[data-label='%s']").textContent`, object, label)
}

// The page shows what changes as it changes, what Salesforce refuses and why, and
// gets rid of that when it has been mended or is given up. No other test runs beside
// it, as it tells how soon.
func TestStatus(t *testing.T) { //nolint:paralleltest // see above
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_HTTP_ADDR="+addr, "HC_HTTP_TOKEN="+token)
	const refusal = "Accounts are made by sales only"
	var closed atomic.Bool
	closed.Store(true)
	r.SF.Trigger(func(d *sobject.Draft) error {
		if closed.Load() && d.Object.Name == "Account" && d.Get("Name") == "Forbidden" {
			return &sobject.Error{Status: 400, Code: "FIELD_CUSTOM_VALIDATION_EXCEPTION", Message: refusal}
		}
		return nil
	})
	for i := range 10 {
		r.Insert("Account", map[string]any{"Name": fmt.Sprintf("Account %d", i)})
	}
	b := r.Start()
	r.Synced()
	p := open(t, addr, token)
	p.visit("/")
	p.until("the first count", cell("Account", "In Postgres")+` === "10"`)

	rows := 10
	p.live("a record of Salesforce is counted", func() string {
		rows++
		r.Insert("Account", map[string]any{"Name": "One more"})
		return cell("Account", "In Postgres") + fmt.Sprintf(` === "%d"`, rows)
	})
	p.live("a row of the app is counted", func() string {
		rows++
		r.Exec("INSERT INTO salesforce.account (name) VALUES ('From the app')")
		return cell("Account", "In Postgres") + fmt.Sprintf(` === "%d"`, rows)
	})

	failures := 0
	fail := func() string {
		failures++
		rows++
		r.Exec("INSERT INTO salesforce.account (name) VALUES ('Forbidden')")
		return fmt.Sprintf(`[...document.querySelectorAll("#errors .message")].filter((e) => e.textContent.includes(%q)).length === %d && `, refusal, failures) +
			cell("Account", "Failed") + fmt.Sprintf(`.startsWith("%d write")`, failures)
	}
	p.live("a refusal is shown and counted", fail)
	p.until("how many to retry", `document.querySelector("#retry-all")`)
	p.accessible("status with errors")
	p.fits("status with errors", 360, 390)
	p.click("#errors li button:first-of-type")
	p.until("an answer to retry", `document.querySelector("#answer").textContent === "1 sent or read again."`)
	p.until("the refusal again", `document.querySelectorAll("#errors .message").length === `+fmt.Sprint(failures))
	closed.Store(false)
	p.click("#retry-all")
	p.until("no error once it is mended", `document.querySelector("#errors").textContent === "No errors." && `+cell("Account", "Failed")+` === "0"`)
	r.Eventually("what was refused to reach Salesforce", 5*time.Second, func() error { // it is no error any more once it waits to be sent
		if n := r.Count("SELECT count(*) FROM salesforce.account WHERE name = 'Forbidden' AND sfid IS NOT NULL"); n != failures {
			return fmt.Errorf("%d rows of what was refused have reached Salesforce, want %d", n, failures)
		}
		return nil
	})

	closed.Store(true)
	failures = 0
	p.until("the refusal", fail())
	p.click("#errors li button[formaction]")
	p.until("no error once it is dismissed", `document.querySelector("#errors").textContent === "No errors."`)
	if n := r.Count("SELECT count(*) FROM (SELECT state FROM salesforce._trigger_log UNION ALL SELECT state FROM salesforce._trigger_log_archive) l WHERE state = 'IGNORED'"); n != 1 {
		t.Errorf("%d log entries are IGNORED, want 1", n)
	}
	p.accessible("status")
	p.fits("status", 360, 390, 768, 1440, 2560)

	// A page that hears nothing more says so, and since when; and goes on by itself.
	p.mayFail(true)
	b.End(syscall.SIGKILL)
	p.within("that the page is old", 12*time.Second, `!document.querySelector("#stale").hidden && /since \d+:\d+/.test(document.querySelector("#stale").textContent)`)
	p.accessible("status when the bridge is gone")
	r.Start()
	p.until("that the page is of now again", `document.querySelector("#stale").hidden && `+cell("Account", "In Postgres")+` === "`+fmt.Sprint(rows)+`"`)
}

// While nothing flows the page says what has stopped, since when and why.
func TestStatusOfAStop(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_HTTP_ADDR="+addr)
	r.Start()
	r.Synced()
	p := open(t, addr, "")
	p.visit("/")
	p.until("that all is well", `document.querySelector("#flow").textContent === "Both directions flow."`)
	if code, _, stderr := r.Command("pause"); code != 0 {
		t.Fatal(stderr)
	}
	p.until("the pause", `/has stopped: .*paused.*since \d{4}-/.test(document.querySelector("#flow").textContent)`)
	r.Exec("INSERT INTO salesforce.account (name) VALUES ('Later')")
	p.until("what waits meanwhile", cell("Account", "Pending")+` === "1"`)
	p.accessible("status of a stop")
}

// The chart has a bar for each minute of an hour or each quarter of an hour of a
// day, in both directions; loads and API calls show how far they are.
func TestActivity(t *testing.T) {
	t.Parallel()
	p := open(t, example(t), "")
	p.visit("/")
	seen := func(name string) bool {
		return eval[bool](p, fmt.Sprintf(`getComputedStyle(document.querySelector("figure.%s")).display !== "none"`, name))
	}
	if !seen("hour") || seen("day") {
		t.Error("the hour is not what one sees first")
	}
	p.press(kb.Tab, kb.Tab, kb.Tab, kb.ArrowRight)
	if seen("hour") || !seen("day") {
		t.Error("the arrow keys do not choose the day")
	}
	for figure, bars := range map[string]int{"hour": 59, "day": 96} { // nothing has happened in this minute
		for _, direction := range []string{"in", "out"} {
			if n := eval[int](p, fmt.Sprintf(`document.querySelectorAll("figure.%s rect.%s").length`, figure, direction)); n < bars-2 || n > bars {
				t.Errorf("%d bars %s in the %s, want %d", n, direction, figure, bars)
			}
		}
	}
	if !eval[bool](p, `(() => { const m = document.querySelector("#calls"); return m.value === 21408 && m.max === 115000 && m.high === 92000 })()`) {
		t.Error("the API calls are not measured against limit and budget")
	}
	if !eval[bool](p, `(() => { const p = document.querySelector("progress"); return p.value === 61000 && p.max === 84300 })()`) {
		t.Error("the load does not show how far it is")
	}
	p.accessible("a busy day")
	p.fits("a busy day", 360, 1440)
}
