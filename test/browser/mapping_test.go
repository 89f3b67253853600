package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"hcbridge/test/rig"
)

// mapped waits until the environment block has a line.
func (b *tab) mapped(line string) {
	b.t.Helper()
	b.until("the line "+line, fmt.Sprintf(`document.querySelector("#block").value.split("\n").includes(%q)`, line))
}

// starts runs a bridge with exactly this block, beside what logs it in, and
// returns the columns and indexes of a table once it is loaded.
func starts(t *testing.T, block, table string) (columns, indexes []string) {
	t.Helper()
	r := rig.New(t, strings.Split(strings.TrimSpace(block), "\n")...)
	r.Start()
	r.Synced()
	list := func(sql string) []string {
		var all []string
		if err := r.Pool.QueryRow(t.Context(), sql, table).Scan(&all); err != nil {
			t.Fatal(err)
		}
		return all
	}
	return list(`SELECT array_agg(attname || ' ' || format_type(atttypid, atttypmod) ORDER BY attnum) FROM pg_attribute WHERE attrelid = ('salesforce.' || $1)::regclass AND attnum > 0`),
		list(`SELECT array_agg(indexname::text ORDER BY indexname) FROM pg_indexes WHERE schemaname = 'salesforce' AND tablename = $1`)
}

// By keyboard alone one finds an object, chooses its fields, and leaves with a
// block with which a bridge starts and makes the table that was announced.
func TestMappingByKeyboard(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone", "HC_HTTP_ADDR="+addr)
	r.Start()
	r.Synced()
	p := open(t, addr, "")
	p.visit("/")
	p.tabTo(`a[href="/mapping"]`)
	p.press(kb.Enter)
	p.until("the mapping page", `document.title.startsWith("Mapping") && document.querySelector("#block")`)
	p.mapped("HC_OBJECTS=Account")
	p.mapped("HC_OBJECT_ACCOUNT_FIELDS=Name,Phone")
	p.accessible("mapping as one finds it")

	p.tabTo("#q")
	p.press("con", "tact")
	p.until("what is found", `document.querySelectorAll("#found li").length === 1 && document.querySelector("#hits").textContent === "1 object."`)
	p.tabTo("#add-Contact")
	p.press(kb.Enter)
	p.until("the fields", `document.activeElement?.id === "h-detail" && document.activeElement.textContent.startsWith("Contact")`)
	p.mapped("HC_OBJECTS=Account,Contact")

	p.tabTo("#access")
	p.press(kb.ArrowDown)
	p.mapped("HC_OBJECT_CONTACT_ACCESS=read_write")
	p.tabTo("#poll_interval")
	p.press("9", "0", "s")
	p.tabTo("#every")
	p.mapped("HC_OBJECT_CONTACT_POLL_INTERVAL=1m30s")
	p.tabTo("#none")
	p.press(kb.Enter)
	p.mapped("HC_OBJECT_CONTACT_FIELDS=Id")
	for _, field := range []string{"LastName", "Email"} {
		p.tabTo(fmt.Sprintf("[name=field][value=%s]", field))
		p.press(" ")
	}
	p.tabTo("[name=index][value=Email]")
	p.press(" ")
	p.mapped("HC_OBJECT_CONTACT_FIELDS=LastName,Email")
	p.mapped("HC_OBJECT_CONTACT_INDEXES=Email")
	p.mapped("HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c")
	p.accessible("mapping with an object")
	p.fits("mapping", 360, 390, 768, 1440, 2560)

	announced := func(script string) []string { return eval[[]string](p, script) }
	wantColumns := announced(`[...document.querySelectorAll(".layout tbody tr")].map((r) => r.querySelector("th").firstChild.textContent.trim() + " " + r.querySelector("td").textContent)`)
	wantIndexes := announced(`[...document.querySelectorAll("#result li")].map((e) => e.textContent.split(" ")[0])`)
	slices.Sort(wantIndexes)
	columns, indexes := starts(t, p.value("#block"), "contact")
	if !slices.Equal(columns, wantColumns) || len(columns) < 8 {
		t.Errorf("the table has columns\n%q, announced were\n%q", columns, wantColumns)
	}
	if !slices.Equal(indexes, wantIndexes) {
		t.Errorf("the table has indexes %q, announced were %q", indexes, wantIndexes)
	}
}

// What one does with the mouse: look through an object that was never seen, take
// out another, take the texts away.
func TestMapping(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account,Contact", "HC_OBJECT_ACCOUNT_INDEXES=Name", "HC_HTTP_ADDR="+addr, "HC_HTTP_TOKEN="+token)
	r.Start()
	r.Synced()
	p := open(t, addr, token)
	p.visit("/mapping?object=Account")
	p.until("what is configured", `document.querySelector("[name=index][value=Name]").checked && document.querySelector("#every").checked`)
	before := p.value("#block")

	p.click(`[name=field][value=Phone]`)
	p.until("that only some are wanted", `document.querySelector("#some").checked && !/_FIELDS=.*Phone/.test(document.querySelector("#block").value) && document.querySelector("#chosen").innerText.includes("changed")`)
	p.click("#every")
	p.until("the block of before", fmt.Sprintf(`document.querySelector("#block").value === %q && !document.querySelector("#chosen").innerText.includes("changed")`, before))

	p.set("#poll_interval", "soon")
	p.until("what is wrong", `document.querySelector("#problems").textContent.includes("not a duration")`)
	p.accessible("mapping with a mistake")
	p.set("#poll_interval", "")
	p.until("that nothing is wrong", `document.querySelector("#problems").textContent === ""`)
	p.set("#filter", "billing")
	p.until("what the filter leaves", `[...document.querySelectorAll(".fields tbody tr")].filter((r) => !r.hidden).every((r) => /billing/i.test(r.textContent))`)

	p.click("#drop-Contact")
	p.mapped("HC_OBJECTS=Account")
	p.until("what is no longer synced", `document.querySelector("#chosen").innerText.includes("No longer synced: Contact")`)
	p.click("#add-Every__c")
	p.mapped("HC_OBJECTS=Account,Every__c")
	p.until("its fields", `document.querySelector("#h-detail").textContent.startsWith("Every__c") && document.querySelector("#problems").textContent === ""`)

	p.click("[data-copy=block]")
	p.until("that it was copied", `/Copied|Selected/.test(document.querySelector("#said").textContent)`)
	dir := t.TempDir()
	_, err := chromedp.CallBrowser(p.ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{
		Behavior: browser.SetDownloadBehaviorBehaviorAllow, BrowserContextID: chromedp.FromContext(p.ctx).BrowserContextID, DownloadPath: dir,
	})
	p.must(err)
	for name, area := range map[string]string{"hcbridge.env": "#block", "mapping.json": "#file"} {
		p.click(map[string]string{"hcbridge.env": "[formaction='/mapping/env']", "mapping.json": "[formaction='/mapping/file']"}[name])
		r.Eventually("the download of "+name, 10*time.Second, func() error {
			text, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil && string(text) != p.value(area) {
				err = fmt.Errorf("it holds\n%s", text)
			}
			return err
		})
	}
	file := filepath.Join(dir, "mapping.json")
	columns, _ := starts(t, "HC_MAPPING_FILE="+file+"\nHC_OBJECTS=Account,Every__c", "every__c")
	other, _ := starts(t, p.value("#block"), "every__c")
	slices.Sort(columns)
	slices.Sort(other)
	if !slices.Equal(columns, other) {
		t.Errorf("the file makes\n%q, the block\n%q", columns, other)
	}
	if n := r.Count("SELECT count(*) FROM hcbridge.object"); n != 2 {
		t.Errorf("the page has changed what is synced: %d objects", n)
	}
}

// The page works without scripts.
func TestMappingWithoutScripts(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account", "HC_HTTP_ADDR="+addr)
	r.Start()
	r.Synced()
	p := open(t, addr, "")
	p.scripts(false)
	p.visit("/mapping")
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "lead"))
	p.click("[name=search]")
	p.until("what is found", `document.querySelectorAll("#found li").length === 1`)
	p.click("#add-Lead")
	p.until("the fields", `document.querySelector("#h-detail")`)
	p.click("#some")
	for _, field := range eval[[]string](p, `[...document.querySelectorAll("[name=field]:checked:not(:disabled)")].map((e) => e.value).filter((v) => !["LastName", "Company"].includes(v))`) {
		eval[bool](p, fmt.Sprintf(`(document.querySelector("[name=field][value=%s]").checked = false, true)`, field))
	}
	p.click("noscript button")
	p.until("the block", `/^HC_OBJECT_LEAD_FIELDS=(LastName,Company|Company,LastName)$/m.test(document.querySelector("#block").value)`)
}

// Typing in an org of many objects finds them at once and asks the org once.
func TestMappingOfALargeOrg(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_OBJECTS=Account", "HC_HTTP_ADDR="+addr)
	for i := range 600 {
		thing := r.SF.Object("Line__c").With()
		thing.Name, thing.Label, thing.KeyPrefix = fmt.Sprintf("Thing_%d__c", i), fmt.Sprintf("Thing %d", i), fmt.Sprintf("x%02x", i)[:3]
		r.SF.Define(thing)
	}
	r.Start()
	r.Synced()
	p := open(t, addr, "")
	p.visit("/mapping")
	before := r.SF.Calls()["describe_global"]
	began := time.Now()
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "thing_59"))
	p.until("what is found", `document.querySelector("#hits").textContent === "11 objects."`)
	t.Logf("found after %s", time.Since(began))
	p.do(chromedp.SendKeys(chromedp.CSS("#q"), "9"))
	p.until("what is found", `document.querySelector("#hits").textContent === "1 object."`)
	p.click("#add-Thing_599__c")
	p.until("its fields", `document.querySelector("#h-detail")`)
	if n := r.SF.Calls()["describe_global"]; n != before || n == 0 {
		t.Errorf("the org was asked for its objects %d times, before %d times", n, before)
	}
}

// A bridge to which no object is mapped serves the page on which they are chosen.
func TestMappingOfNothing(t *testing.T) {
	t.Parallel()
	addr := rig.FreeAddr(t)
	r := rig.New(t, "HC_HTTP_ADDR="+addr)
	delete(r.Env, "HC_OBJECTS")
	r.Env["DATABASE_URL"] = "postgres://nobody@127.0.0.1:1/none" // it needs none
	r.Start()
	p := open(t, addr, "")
	p.visit("/")
	p.until("why nothing flows", `/no object is mapped/.test(document.querySelector("#flow").textContent)`)
	p.accessible("status of nothing")
	p.visit("/mapping")
	p.until("the objects", `document.querySelector("#add-Account")`)
	p.click("#add-Account")
	p.mapped("HC_OBJECTS=Account")
}
