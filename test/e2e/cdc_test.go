package e2e

import (
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

const accountChanges = "/data/AccountChangeEvent"

// cdcRig is a rig whose org captures changes and whose clock can be put forward:
// stamps hold seconds. Polls are a day apart.
type cdcRig struct {
	*rig
	ahead *atomic.Int64 // nanoseconds
}

func newCDC(t *testing.T, selected []string, settings ...string) *cdcRig {
	t.Helper()
	ahead := &atomic.Int64{}
	r := &cdcRig{ahead: ahead, rig: streamRig(t, org.Options{
		Now:     func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) },
		Objects: append(sobject.Standard(), sobject.Asset()),
	}, append([]string{"HC_OBJECT_ACCOUNT_MODE=cdc", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Site,NumberOfEmployees,External_Id__c,BillingCity,Description"}, settings...)...)}
	r.Must(r.SF.Select(selected...))
	return r
}

// later lets the org's clock reach another second.
func (r *cdcRig) later() { r.ahead.Add(int64(2 * time.Second)) }

// heard waits until the bridge is subscribed and has applied an event.
func (r *cdcRig) heard(channel string, makes func() string) (id string) {
	r.T.Helper()
	r.Synced()
	r.Eventually("subscription", 30*time.Second, func() error {
		if len(r.accepted(channel)) == 0 {
			return fmt.Errorf("not subscribed")
		}
		return nil
	})
	id = makes()
	r.Eventually("position", 15*time.Second, func() error {
		if r.Count("SELECT count(*) FROM hcbridge.position WHERE channel = $1", channel) == 0 {
			return fmt.Errorf("no event has been applied")
		}
		return nil
	})
	r.later()
	return id
}

func (r *cdcRig) account(fields map[string]any) func() string {
	return func() string { return r.Insert("Account", fields) }
}

// becomes waits until an expression over a record's row has a value.
func (r *cdcRig) becomes(table, id, expr, want string) {
	r.T.Helper()
	r.Eventually(expr+" of "+id, 10*time.Second, func() error {
		var got *string
		err := r.Pool.QueryRow(r.T.Context(), "SELECT max("+expr+") FROM salesforce."+table+" WHERE sfid = $1", id).Scan(&got)
		if text := str(got); err == nil && text != want {
			err = fmt.Errorf("it is %q, want %q", text, want)
		}
		return err
	})
}

func str(p *string) string {
	if p == nil {
		return "<null>"
	}
	return *p
}

// What change events prove is applied from them alone, and what they do not
// prove is read back.
func TestChangeDataCapture(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account"})
	r.Start()
	id := r.heard(accountChanges, r.account(map[string]any{"Name": "First", "Phone": "1", "Site": "S", "BillingCity": "Ulm"}))
	r.becomes("account", id, "concat_ws(',', name, phone, site, billingcity)", "First,1,S,Ulm")
	r.shows("streaming by change events", 10*time.Second, func(_ status.Connection, o status.Object) bool { return o.ModeEffective == "cdc" && o.Message == "" })
	r.Equal("Account") // the first record may have come by the first poll

	// All other ways are refused: a poll may mark records at any time, and on a
	// slow machine reading them back would hide what events do.
	refused := r.SF.Fault(org.Fault{Path: "/composite/sobjects/|/jobs/query", Verb: org.Reject})
	second := r.Insert("Account", map[string]any{"Name": "Second"})
	r.becomes("account", second, "concat_ws(',', name, phone, isdeleted::text)", "Second,false")
	stamp := r.Count("SELECT extract(epoch FROM systemmodstamp)::int FROM salesforce.account WHERE sfid = $1", second)
	r.later()
	r.Must(r.SF.Update("Account", second, map[string]any{"Phone": "2", "BillingCity": "Bonn"}))
	r.becomes("account", second, "concat_ws(',', name, phone, billingcity)", "Second,2,Bonn")
	r.later()
	r.Must(r.SF.Update("Account", second, map[string]any{"Phone": nil, "BillingCity": nil}))
	r.becomes("account", second, "concat_ws(',', name, phone, billingcity)", "Second")
	if now := r.Count("SELECT extract(epoch FROM systemmodstamp)::int FROM salesforce.account WHERE sfid = $1", second); now != stamp {
		t.Errorf("a patch moved the stamp, so no poll would look again")
	}
	// One event of two records, by a bulk load.
	r.later()
	bulk := r.SF.AsBulk("loader@hc.example")
	r.Must(bulk.Update("Account", second, map[string]any{"Site": "bulk"}))
	r.becomes("account", second, "site", "bulk")
	r.later()
	for _, res := range r.SF.Org().Commit(sobject.Origin{API: "apex"}, true, []sobject.Op{
		{Kind: sobject.Update, Object: "Account", ID: id, Fields: map[string]any{"Site": "both"}},
		{Kind: sobject.Update, Object: "Account", ID: second, Fields: map[string]any{"Site": "both"}},
	}) {
		if res.Err != nil {
			t.Fatal(res.Err)
		}
	}
	r.becomes("account", id, "site", "both")
	r.becomes("account", second, "site", "both")
	r.later()
	r.Must(r.SF.Delete("Account", second))
	r.becomes("account", second, "name", "<null>")
	refused.Release()

	r.Must(r.SF.Undelete("Account", second))
	r.becomes("account", second, "concat_ws(',', name, site)", "Second,both")
	r.later()
	text := strings.Repeat("0123456789\n", 200)
	r.Must(r.SF.Update("Account", id, map[string]any{"Description": text}))
	r.becomes("account", id, "md5(description)", md5Of(r, text))
	r.later()
	text = strings.Replace(text, "0123456789\n", "other\n", 1)
	r.Must(r.SF.Update("Account", id, map[string]any{"Description": text, "Phone": "3"})) // comes as a difference
	r.becomes("account", id, "md5(description) || phone", md5Of(r, text)+"3")
	r.later()
	r.SF.GapEvents("Account", true)
	r.Must(r.SF.Update("Account", id, map[string]any{"Name": "After a gap"}))
	r.becomes("account", id, "name", "After a gap")
	r.Must(r.SF.Delete("Account", second))
	r.becomes("account", second, "name", "<null>")
	r.Equal("Account")
}

// A row whose stamp alone waits for the next poll is in step, and what differs otherwise
// is told with it.
func TestVerifyOfPatchedRows(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account"})
	b := r.Start()
	id := r.heard(accountChanges, r.account(map[string]any{"Name": "A", "Phone": "1"}))
	r.Equal("Account")
	r.Must(r.SF.Update("Account", id, map[string]any{"Phone": "2"}))
	r.becomes("account", id, "phone", "2")
	b.End(syscall.SIGTERM)
	if code, out, stderr := r.Command("verify", "Account"); code != 0 || !strings.Contains(out, "both sides are equal") {
		t.Errorf("verify: %d, %s%s", code, out, stderr)
	}
	r.Must(r.SF.Update("Account", id, map[string]any{"Site": "unheard"}))
	if code, out, _ := r.Command("verify", "Account"); code != 1 || !strings.Contains(out, "Site is ") || !strings.Contains(out, "SystemModstamp is ") {
		t.Errorf("verify: %d, %s", code, out)
	}
}

func md5Of(r *cdcRig, text string) (sum string) {
	r.T.Helper()
	r.Must(r.Pool.QueryRow(r.T.Context(), "SELECT md5($1)", strings.TrimSpace(text)).Scan(&sum))
	return sum
}

// An event that was lost hides behind the next one, but not from a poll.
func TestChangeEventLost(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account"})
	b := r.Start()
	id := r.heard(accountChanges, r.account(map[string]any{"Name": "A", "Phone": "1", "Site": "1"}))
	r.Equal("Account")
	last := "1"
	for n := 2; ; n++ {
		value := strconv.Itoa(n)
		r.SF.LoseChanges("Account", 1)
		r.Must(r.SF.Update("Account", id, map[string]any{"Phone": value})) // lost for good
		r.later()
		r.Must(r.SF.Update("Account", id, map[string]any{"Site": value}))
		r.becomes("account", id, "site", value)
		if r.Count("SELECT count(*) FROM salesforce.account WHERE sfid = $1 AND phone = $2", id, last) == 1 {
			last = value
			break
		}
		if n > 5 {
			t.Fatal("no event was lost")
		}
		last = value // the first poll may read the record back meanwhile
	}
	b.End(syscall.SIGTERM)
	r.Start() // polls at once
	r.becomes("account", id, "concat_ws(',', phone, site)", last+","+last)
	r.Equal("Account")
}

// What the delete or the merge of a record does to those that refer to it, nobody
// tells: not their change events, nor a poll, as their stamps stay.
func TestChangeDataCaptureOfParents(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account"}, "HC_OBJECTS=Account,Contact,Invoice__c", "HC_OBJECT_CONTACT_MODE=polling", "HC_OBJECT_INVOICE__C_MODE=polling")
	kept, gone, lost := r.Insert("Account", map[string]any{"Name": "Kept"}), r.Insert("Account", map[string]any{"Name": "Gone"}), r.Insert("Account", map[string]any{"Name": "Lost"})
	contact := r.Insert("Contact", map[string]any{"LastName": "Of gone", "AccountId": gone})
	moved := r.Insert("Contact", map[string]any{"LastName": "Of lost", "AccountId": lost})
	invoice := r.Insert("Invoice__c", map[string]any{"Name": "Of gone", "Account__c": gone})
	r.Start()
	r.heard(accountChanges, r.account(map[string]any{"Name": "First"}))
	r.Equal("Account", "Contact", "Invoice__c")

	r.Must(r.SF.Delete("Account", gone))
	r.becomes("invoice__c", invoice, "concat_ws(',', name, account__c)", "Of gone")
	r.becomes("contact", contact, "lastname", "<null>")
	r.Must(r.SF.As(org.DefaultOther).Merge("Account", kept, lost))
	r.becomes("contact", moved, "accountid", kept)
	r.Equal("Account", "Contact", "Invoice__c")
}

// Where Salesforce says that it cannot tell what changed, everything is looked
// at, and the gap is on record.
func TestChangeOverflow(t *testing.T) {
	t.Parallel()
	for name, cause := range map[string]func(r *cdcRig, ids []string){
		"TooManyChanges": func(r *cdcRig, ids []string) {
			r.SF.OverflowAbove(1)
			var ops []sobject.Op
			for i, id := range ids[:len(ids)-1] {
				ops = append(ops, sobject.Op{Kind: sobject.Update, Object: "Account", ID: id, Fields: map[string]any{"Phone": fmt.Sprint("new", i)}})
			}
			ops = append(ops, sobject.Op{Kind: sobject.Delete, Object: "Account", ID: ids[len(ids)-1]},
				sobject.Op{Kind: sobject.Insert, Object: "Account", Fields: map[string]any{"Name": "born"}})
			for _, res := range r.SF.Org().Commit(sobject.Origin{API: "apex"}, true, ops) {
				if res.Err != nil {
					r.T.Fatal(res.Err)
				}
			}
		},
		// Changes of the schema need not move stamps, so polls find nothing.
		"Conversion": func(r *cdcRig, ids []string) {
			r.Exec("SET xmlbinary = 'hex'; UPDATE salesforce.account SET phone = 'unlike Salesforce' WHERE sfid = '" + ids[2] + "'")
			r.SF.Convert("Account")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newCDC(t, []string{"Account"})
			r.Start()
			ids := []string{r.heard(accountChanges, r.account(map[string]any{"Name": "A"}))}
			for i := range 9 {
				ids = append(ids, r.Insert("Account", map[string]any{"Name": fmt.Sprint(i)}))
			}
			r.Equal("Account")
			r.later()
			cause(r, ids)
			r.Eventually("gap", 15*time.Second, func() error {
				if all, open := r.gaps("many changes"); all != 1 || open != 0 {
					return fmt.Errorf("%d gaps, %d open", all, open)
				}
				return nil
			})
			r.Equal("Account")
		})
	}
}

// A stopped bridge takes up the stream where it was, up to three days later.
func TestChangeReplay(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account"})
	b := r.Start()
	id := r.heard(accountChanges, r.account(map[string]any{"Name": "A"}))
	r.Equal("Account")
	position := r.Count("SELECT replay_id FROM hcbridge.position WHERE channel = $1", accountChanges)
	b.End(syscall.SIGTERM)
	r.Must(r.SF.Update("Account", id, map[string]any{"Phone": "while down"}))
	r.ahead.Add(int64(71 * time.Hour))
	r.Start()
	r.Eventually("replay", 30*time.Second, func() error {
		list := r.accepted(accountChanges)
		if last := string(list[len(list)-1].Replay); len(list) < 2 || last != fmt.Sprint(position) {
			return fmt.Errorf("%d subscriptions, the last from %s, want %d", len(list), last, position)
		}
		if r.Count("SELECT replay_id FROM hcbridge.position WHERE channel = $1", accountChanges) <= position {
			return fmt.Errorf("the event of the pause has not come")
		}
		return nil
	})
	r.Equal("Account")
	r.SF.ExpireReplay()
	r.SF.Forget()
	r.gapClosed("no longer holds")
	r.later()
	r.Must(r.SF.Update("Account", id, map[string]any{"Phone": "after the gap"}))
	r.becomes("account", id, "phone", "after the gap")
}

// An object without change events is polled, and says what to do; the others
// are not affected.
func TestChangeEventsRefused(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Contact", "Asset"}, "HC_OBJECTS=Account,Contact,Asset", "HC_OBJECT_CONTACT_MODE=cdc", "HC_OBJECT_ASSET_MODE=cdc",
		"HC_OBJECT_ACCOUNT_POLL_INTERVAL=1s", "HC_OBJECT_CONTACT_POLL_INTERVAL=1s")
	r.SF.DenyCapture("Contact", true)
	b := r.Start()
	// Asset is one that PushTopics do not support.
	id := r.heard("/data/AssetChangeEvent", func() string { return r.Insert("Asset", map[string]any{"Name": "Pump", "SerialNumber": "1"}) })
	r.Must(r.SF.Update("Asset", id, map[string]any{"SerialNumber": "2"}))
	r.becomes("asset", id, "serialnumber", "2")
	for object, want := range map[string]string{
		"Account": "select it in Setup → Change Data Capture", "Contact": "grant View All Records on Contact",
	} {
		r.Eventually("reason", 20*time.Second, func() error {
			st, _ := r.Status()
			for _, o := range st.Objects {
				if o.Object == object && o.Mode == "cdc" && o.ModeEffective == "polling" && strings.Contains(o.Message, want) {
					return nil
				}
			}
			return fmt.Errorf("status %+v", st.Objects)
		})
		if n := strings.Count(b.Log.String(), want); n != 1 {
			t.Errorf("%s: said %d times", object, n)
		}
	}
	account := r.Insert("Account", map[string]any{"Name": "Polled"})
	r.becomes("account", account, "name", "Polled")
	r.Equal("Account", "Contact")
}

// What the app writes comes back as change events and causes nothing more, and
// fields that follow from others arrive with them.
func TestChangeDataCaptureBothWays(t *testing.T) {
	t.Parallel()
	r := newCDC(t, []string{"Account", "Line__c", "Invoice__c"}, "HC_OBJECTS=Account,Invoice__c,Line__c", "HC_OBJECT_ACCOUNT_ACCESS=read_write",
		"HC_OBJECT_INVOICE__C_MODE=cdc", "HC_OBJECT_LINE__C_MODE=cdc", "HC_OBJECT_LINE__C_FIELDS=Name,Quantity__c,Label__c,Invoice__c")
	r.Start()
	r.heard(accountChanges, r.account(map[string]any{"Name": "A"}))
	for i := range 20 {
		r.Exec("INSERT INTO salesforce.account (name, phone) VALUES ($1, '0')", fmt.Sprint("local ", i))
	}
	r.Exec("UPDATE salesforce.account SET phone = '1' WHERE name LIKE 'local %'")
	r.Equal("Account")
	r.later()
	r.Exec("UPDATE salesforce.account SET phone = '2' WHERE name = 'local 7'")
	r.Equal("Account")
	if n := r.Count("SELECT count(*) FROM salesforce.account"); n != 21 {
		t.Errorf("%d rows, want 21", n)
	}
	if n := r.SF.WritesBy()["rest"]; n < 41 || n > 62 {
		t.Errorf("%d writes by the bridge, for 20 inserts and 21 updates", n)
	}

	invoice := r.Insert("Invoice__c", map[string]any{"Name": "I"})
	line := r.Insert("Line__c", map[string]any{"Invoice__c": invoice, "Quantity__c": 2})
	r.becomes("line__c", line, "label__c", "2 pieces")
	r.later()
	r.Must(r.SF.Update("Line__c", line, map[string]any{"Quantity__c": 3}))
	r.becomes("line__c", line, "label__c", "3 pieces")
	r.Equal("Line__c", "Invoice__c")
}
