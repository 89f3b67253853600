package outbox

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// A change of a column that is not mapped, or not writeable, is not sent, which archive and log tell: of
// an update with other columns or alone, and of an insert.
func TestUnmapped(t *testing.T) {
	t.Parallel()
	for _, algorithm := range []string{Ordered, Merged} {
		t.Run(algorithm, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var text bytes.Buffer
			b.restart(func(c *Config) { c.Algorithm, c.Log = algorithm, zerolog.New(&text).Level(zerolog.InfoLevel) })
			step := func(sql, want string) {
				t.Helper()
				b.exec(sql)
				b.drain()
				b.want(sql, b.list(`SELECT concat_ws('|', state, sf_message) FROM salesforce._trigger_log_archive ORDER BY id DESC LIMIT 1`), want)
			}
			step(`INSERT INTO salesforce.account (name) VALUES ('a')`, "SUCCESS")
			step(`UPDATE salesforce.account SET name = 'b'`, "SUCCESS")
			step(`UPDATE salesforce.account SET name = name`, "IGNORE")
			b.want("told of nothing", text.String(), "")
			step(`UPDATE salesforce.account SET name = 'c', unmapped = 'u'`, "SUCCESS|unmapped: not mapped, not sent")
			step(`UPDATE salesforce.account SET unmapped = '", "x"=>"y", ', isdeleted = true`, "IGNORE|unmapped: not mapped, not sent")
			step(`INSERT INTO salesforce.account (name, unmapped) VALUES ('d', 'u')`, "SUCCESS|unmapped: not mapped, not sent")
			step(`DELETE FROM salesforce.account WHERE name = 'd'`, "SUCCESS")
			// Nor is that of a column which Salesforce does not let it write.
			step(`UPDATE salesforce.account SET score__c = 1, currencyisocode = 'EUR'`, "IGNORED|currencyisocode, score__c: not updateable in Salesforce, not sent")
			step(`UPDATE salesforce.account SET name = 'e', score__c = 2, unmapped = 'w'`, "SUCCESS|unmapped: not mapped, not sent; score__c: not updateable in Salesforce, not sent")
			step(`INSERT INTO salesforce.account (name, score__c, currencyisocode) VALUES ('f', 1, 'EUR')`, "SUCCESS|score__c: not createable in Salesforce, not sent")
			if want := `{"level":"warn","component":"outbox","event":"unmapped_change","object":"Account","columns":["unmapped"]`; strings.Count(text.String(), "\n") != 1 || !strings.HasPrefix(text.String(), want) {
				t.Errorf("the log says\n%swant once %s", text.String(), want)
			}
			// Nor that of one for which Salesforce shows a mask.
			b.restart(func(c *Config) {
				c.Algorithm = algorithm
				c.Tables[0].Columns = slices.DeleteFunc(c.Tables[0].Columns, func(c Column) bool { return c.Name == "industry" })
				c.Tables[0].Columns = append(c.Tables[0].Columns, Column{Name: "industry", Field: "Secret__c", Type: "encryptedstring"})
			})
			step(`UPDATE salesforce.account SET industry = '4711' WHERE name = 'f'`, "IGNORED|industry: masked in Salesforce, not sent")
			step(`INSERT INTO salesforce.account (name, score__c, industry) VALUES ('g', 1, '4711')`, "SUCCESS|score__c: not createable in Salesforce, not sent; industry: masked in Salesforce, not sent")
		})
	}

	t.Run("by a job", func(t *testing.T) {
		t.Parallel()
		b, _ := setupJobs(t)
		b.exec(`INSERT INTO salesforce.account (name, unmapped, external_id__c, score__c) SELECT 'a', 'u', 'x' || n, n FROM generate_series(1, 2500) AS n`)
		b.run()
		b.hurryJobs()
		b.run()
		b.want("archive", b.list(`SELECT concat_ws('|', state, sf_message, count(*)) FROM salesforce._trigger_log_archive GROUP BY state, sf_message`), "SUCCESS|unmapped: not mapped, not sent; score__c: not createable in Salesforce, not sent|2500")
	})
}
