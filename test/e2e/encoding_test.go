package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/pgtest"
	testrig "hcbridge/test/rig"
)

// In a database that is not in UTF-8 text is the same on both sides, whatever the
// connection string says of the encoding, and what the database cannot hold fails to be
// read, record by record.
func TestDatabaseInLatin1(t *testing.T) {
	t.Parallel()
	for _, load := range []struct {
		name string
		n    int
	}{{"LoadREST", 50}, {"LoadBulk", 2500}} {
		t.Run(load.name, func(t *testing.T) {
			t.Parallel()
			sf := org.New(org.Options{DailyLimit: 1_000_000}).Start()
			t.Cleanup(sf.Close)
			url := pgtest.EncodedURL(t, "LATIN1")
			r := &rig{testrig.Between(t, sf, pgtest.Speaking(t, url, "UTF8"), "HC_OBJECTS=Every__c", "HC_OBJECT_EVERY__C_ACCESS=read_write",
				"HC_OBJECT_EVERY__C_FIELDS=External_Id__c,Text__c", "HC_OBJECT_EVERY__C_MODE=streaming")}
			r.Env["DATABASE_URL"] = pgtest.Speaking(t, url, "LATIN1")
			ids, err := sf.InsertMany("Every__c", func(yield func(map[string]any) bool) {
				for i := range load.n {
					value := "Größe"
					if i == load.n/3 {
						value = "3 €, my secret"
					}
					if !yield(map[string]any{"Name": "n", "External_Id__c": fmt.Sprintf("e-%d", i), "Text__c": value}) {
						return
					}
				}
			})
			r.Must(err)
			r.Start()
			r.Synced()
			inLoad := ids[load.n/3]
			r.arrived("every__c", load.n-1)
			r.failed("Every__c", inLoad)
			if n := r.Count("SELECT count(*) FROM salesforce.every__c WHERE text__c = 'Größe'"); n != load.n-1 {
				t.Errorf("%d texts have arrived as they are", n)
			}

			byEvent := r.Insert("Every__c", map[string]any{"Name": "n", "Text__c": "日本, my secret"})
			r.Insert("Every__c", map[string]any{"Name": "n", "Text__c": "Älter"})
			r.arrived("every__c", load.n)
			r.failed("Every__c", inLoad, byEvent)
			r.Exec("INSERT INTO salesforce.every__c (external_id__c, text__c) VALUES ('app', 'Übung')")
			r.Exec("UPDATE salesforce.every__c SET text__c = 'Maß' WHERE sfid = $1", ids[0])
			r.Eventually("what the app writes is the same in Salesforce", 10*time.Second, func() error {
				rec, _ := sf.Get("Every__c", ids[0])
				text := r.value("Every__c", rec, "Text__c")
				if n := r.Count("SELECT count(*) FROM salesforce._trigger_log WHERE state IN ('NEW', 'PENDING')"); n > 0 || text != "Maß" {
					return fmt.Errorf("%d wait, and it is %v", n, text)
				}
				return nil
			})
			want := `character with byte sequence 0xe2 0x82 0xac in encoding "UTF8" has no equivalent in encoding "LATIN1"`
			if n := r.Count("SELECT count(*) FROM hcbridge.read_error WHERE code = '22P05' AND message = $1", want); n != 1 {
				t.Errorf("the reason is not given: %s", r.readErrors())
			}
			_, stdout, stderr := r.Command("verify", "Every__c")
			if !strings.HasSuffix(stdout, ": 2 records or rows differ\n") {
				t.Errorf("verify says:\n%s%s", stdout, stderr)
			}

			// What Salesforce says to people may have such characters, too.
			sf.Trigger(func(d *sobject.Draft) error {
				if d.Get("Text__c") == "Übel" {
					return sobject.ErrValidation("“Übel” is wrong", "Text__c")
				}
				return nil
			})
			r.Exec("UPDATE salesforce.every__c SET text__c = 'Übel' WHERE sfid = $1", ids[1])
			r.arrivedAs("SELECT count(*) FROM salesforce._trigger_log WHERE state = 'FAILED' AND sf_message LIKE '%?Übel? is wrong%'", 1)
		})
	}
}
