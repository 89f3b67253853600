package pgsink

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// plain decodes a record of the small mapping.
func (b *bundle) plain(n int, name, amount string) Row {
	b.t.Helper()
	row, err := b.table.Decode(fmt.Appendf(nil, `{"Id":%q,"Name":%q,"Ext__c":null,"Amount__c":%s,"SystemModstamp":"2024-05-01T08:00:00.000+0000","IsDeleted":false}`, id(n), name, amount))
	if err != nil {
		b.t.Fatal(err)
	}
	return row
}

func TestComparison(t *testing.T) {
	t.Parallel()
	kinds := func(differences []Difference) (out []string) {
		for _, d := range differences {
			words := []string{string(d.Kind)}
			for _, f := range d.Fields {
				words = append(words, f.Field)
			}
			out = append(out, strings.Join(words, " "))
		}
		return out
	}

	t.Run("FindsExactlyWhatAReadWouldWrite", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		rows := []Row{b.plain(1, "Same", "1.50"), b.plain(2, "Same", "1e2"), b.plain(3, "Other", "7"), b.plain(4, "No row", "1"), b.plain(5, "null", "null")}
		rows[4].Values[0] = nil
		var changes []Change
		for i, row := range rows {
			if i != 3 {
				changes = append(changes, Change{Table: b.table, Kind: Read, Row: row})
			}
		}
		if _, err := b.sink.Apply(t.Context(), Batch{Changes: changes}); err != nil {
			t.Fatal(err)
		}
		b.exec(`UPDATE salesforce.account SET name = NULL, amount__c = 8 WHERE sfid = $1`, id(3))
		b.exec(`INSERT INTO salesforce.account (sfid) VALUES ($1)`, id(9))
		c, err := b.sink.Compare(t.Context(), b.table)
		if err != nil {
			t.Fatal(err)
		}
		bad := b.plain(6, "Refused", "1")
		nul := "a\x00b"
		bad.Values[0] = &nul
		gone := b.plain(7, "Deleted", "1")
		gone.Deleted = true
		got, err := c.Rows(t.Context(), append(rows, bad, gone))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Rest(t.Context(), func(d []Difference) error { got = append(got, d...); return nil }); err != nil {
			t.Fatal(err)
		}
		want := []string{"values Name Amount__c", "no_row", "refused", "no_record"}
		if fmt.Sprint(kinds(got)) != fmt.Sprint(want) {
			t.Errorf("got %v, want %v", kinds(got), want)
		}
		if err := c.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})

	t.Run("ReadsCSVInBatches", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		b.exec(`INSERT INTO salesforce.account (sfid, name, amount__c, systemmodstamp, isdeleted)
			SELECT '001' || lpad(n::text, 12, '0') || 'AAA', 'Name ' || n, n, '2024-05-01 08:00:00', false FROM generate_series(1, 60000) AS n`)
		// Of a comparison before Postgres remembers that nothing was seen.
		b.exec("ALTER TABLE hcbridge.seen SET (autovacuum_enabled = off)")
		b.exec("INSERT INTO hcbridge.seen (run, sfid) SELECT 1, n FROM generate_series(1, 10000) AS n")
		b.exec("DELETE FROM hcbridge.seen")
		b.exec("VACUUM (TRUNCATE FALSE) hcbridge.seen")
		c, err := b.sink.Compare(t.Context(), b.table)
		if err != nil {
			t.Fatal(err)
		}
		body := &strings.Builder{}
		body.WriteString("\"Id\",\"Name\",\"Ext__c\",\"Amount__c\",\"SystemModstamp\",\"IsDeleted\"\n")
		for n := 1; n <= 59_000; n++ {
			fmt.Fprintf(body, "\"001%012dAAA\",\"Name %d\",\"\",\"%d\",\"2024-05-01T08:00:00.000Z\",\"false\"\n", n, n, n)
		}
		n, err := c.CSV(t.Context(), strings.NewReader(body.String()), func([]Difference) error { return errors.New("a difference") })
		if err != nil || n != 59_000 {
			t.Fatalf("%d records, %v", n, err)
		}
		stray := 0
		err = c.Rest(t.Context(), func(d []Difference) error {
			if len(d) > compareBatch {
				t.Errorf("%d differences at once", len(d))
			}
			stray += len(d)
			return nil
		})
		if err != nil || stray != 1000 {
			t.Errorf("%d rows without a record, want 1000; %v", stray, err)
		}
		b.want("59000", "SELECT reltuples FROM pg_class WHERE oid = 'hcbridge.seen'::regclass")
	})

	t.Run("FindChangesNothing", func(t *testing.T) {
		t.Parallel()
		b := setup(t, account())
		find := func() error {
			return pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error { return b.table.Find(t.Context(), tx) })
		}
		if err := find(); err != nil {
			t.Error(err)
		}
		b.exec(`ALTER TABLE salesforce.account DROP COLUMN amount__c`)
		var mismatch *Mismatch
		if err := find(); !errors.As(err, &mismatch) || !strings.HasSuffix(err.Error(), ": column amount__c is missing: run the bridge with this mapping first") {
			t.Errorf("a missing column: %v", err)
		}
		b.exec(`CREATE TABLE salesforce.other (id int); DROP TABLE salesforce.account; ALTER TABLE salesforce.other RENAME TO account`)
		if err := find(); !errors.As(err, &mismatch) || !strings.HasSuffix(err.Error(), ": 5 columns are missing (name, ext__c, amount__c, systemmodstamp, isdeleted): run the bridge with this mapping first") {
			t.Errorf("a table of something else: %v", err)
		}
		b.exec(`DROP TABLE salesforce.account`)
		if err := find(); !errors.As(err, &mismatch) {
			t.Errorf("a missing table: %v", err)
		}
	})
}

func TestLacks(t *testing.T) {
	t.Parallel()
	if got, want := lacks(strings.Split("a b c d e f g", " ")), "7 columns are missing (a, b, c, d, e, …)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
