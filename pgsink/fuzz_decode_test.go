package pgsink

import (
	"encoding/csv"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"hcbridge/test/pgtest"
)

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"Id":"a01B0000009ZjAmIAK","Name":"x","Double__c":1e3,"Parent__r":{"External_Id__c":null},"BillingAddress":{"city":"c"}}`))
	f.Add([]byte(`{"Id":"a01B0000009ZjAm","Loc__c":null,"Any__c":[1],"CreatedDate":"2020-01-01T00:00:00+0000","Time__c":5}`))
	table := mustTable(f, every())
	f.Fuzz(func(t *testing.T, record []byte) {
		row, err := table.Decode(record)
		if err != nil {
			var re *RecordError
			if !errors.As(err, &re) {
				t.Fatalf("error %v is no RecordError", err)
			}
			return
		}
		if len(row.SFID) != 18 || len(row.Values) != len(table.Columns) {
			t.Fatalf("row %+v", row)
		}
		for i, v := range row.Values {
			if v == nil {
				continue
			}
			if again := canon(table.Columns[i].kind, *v); again == nil || *again != *v {
				t.Errorf("canon(%q) is %q", *v, str(again))
			}
		}
	})
}

// The scanner agrees with encoding/csv but for carriage returns, and finds the
// same records when the text comes in parts.
func FuzzCSV(f *testing.F) {
	f.Add("\"a\",\"b\"\n\"1\",\"x\"\"y\nz\"\n")
	f.Add("a,b\n,\n\"\"\n")
	f.Add("a,\"b\"\r\n\r\n\"c\"\r\n1,")
	f.Fuzz(func(t *testing.T, text string) {
		got, gerr := scanAll(text)
		parts, perr := scanParts(text)
		if (gerr == nil) != (perr == nil) || gerr == nil && !reflect.DeepEqual(got, parts) {
			t.Fatalf("%q: at once %q, %v; in parts %q, %v", text, got, gerr, parts, perr)
		}
		if strings.Contains(text, "\r") {
			return
		}
		in := csv.NewReader(strings.NewReader(text))
		in.FieldsPerRecord = -1
		want, werr := in.ReadAll()
		for _, w := range want {
			if len(w) == 1 && w[0] == "" {
				return // a lone empty value, which we take for an empty line
			}
		}
		if (werr == nil) != (gerr == nil) || werr == nil && !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: got %q, %v; want %q, %v", text, got, gerr, want, werr)
		}
	})
}

// What canon makes of anything is its own canonical form, and valid UTF-8.
func FuzzCanon(f *testing.F) {
	for _, text := range []string{
		"", "23.0", "-0.0", "1.5e-7", "1E401", "NaN", "Infinity", "0x1F", "1_000", "2010-01-01", "2010-01-01Z", "2019-04-23T00:00:00.000Z", "today", "allballs", "infinity",
		"2011-07-07T00:37:00.000+0000", "2020-08-06T06:22:19.000Z", "1588323600000", "4000-12-31T23:59:59.999Z", "13:30:00.250Z", "48600000",
		"ZZ", "true", "0", "yes", "001M000000qfPyS", "a\xed\xa0\x80\xffb", "\x00", "not a value: x",
	} {
		for k := kindText; k <= kindTime; k++ {
			f.Add(int(k), text)
		}
	}
	f.Fuzz(func(t *testing.T, k int, text string) {
		if k < int(kindText) || k > int(kindTime) {
			return
		}
		got := canon(kind(k), text)
		if got == nil {
			if text != "" {
				t.Fatalf("canon(%d, %q) is null", k, text)
			}
			return
		}
		again := canon(kind(k), *got)
		if again == nil || *again != *got {
			t.Errorf("canon(%d, %q) is %q, and of that %q", k, text, *got, str(again))
		}
		if utf8.ValidString(text) && !utf8.ValidString(*got) || (kind(k) == kindText || kind(k) == kindAny || kind(k) == kindID) && !utf8.ValidString(*got) {
			t.Errorf("canon(%d, %q) is %q, no UTF-8", k, text, *got)
		}
	})
}

// Names fit Postgres, stay what they are if they are short enough, and differ
// if what they stand for does.
func FuzzNames(f *testing.F) {
	f.Add("Account", "account__c")
	f.Add(strings.Repeat("é", 40)+"A", strings.Repeat("é", 40)+"B")
	f.Add("Parent__r.External_Id__c", `x"; DROP TABLE t; --`)
	f.Add("a\x00b", "\xff")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, name := range []string{a, b} {
			if !usable(name) {
				continue
			}
			for _, made := range []string{ColumnName(name), TableName(name), indexName(name, "x", true), indexName("x", name, false)} {
				if len(made) > maxName || !usable(made) {
					t.Errorf("%q becomes %q", name, made)
				}
			}
			if lower := strings.ToLower(name); len(lower) <= maxName && TableName(name) != lower {
				t.Errorf("%q becomes %q", name, TableName(name))
			}
			if quoted := quote(name); strings.Count(quoted, `"`)%2 != 0 || strings.Contains(strings.ReplaceAll(quoted[1:len(quoted)-1], `""`, ""), `"`) {
				t.Errorf("%q is quoted %s", name, quoted)
			}
		}
		// Not EqualFold, which takes more for equal than PostgreSQL would.
		lowerA, lowerB := strings.ToLower(a), strings.ToLower(b)
		if usable(a) && usable(b) && (TableName(a) == TableName(b)) != (lowerA == lowerB) {
			t.Errorf("%q and %q become %q and %q", a, b, TableName(a), TableName(b))
		}
	})
}

// What is no value of its type is none to Postgres either, which has values of
// its own that Salesforce has not (fault 45).
func TestCanonIsRefused(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	types := map[kind][]string{
		kindNumber: {"double precision", "numeric", "integer"}, kindDate: {"date"}, kindTime: {"time"}, kindBool: {"boolean"},
		kindDatetime: {"timestamp"},
	}
	for _, text := range []string{
		"NaN", "nan", "Infinity", "-Infinity", "inf", "0x1F", "0b1", "1_000", " 5", "5 ", "1e", "today", "now", "tomorrow", "epoch", "infinity", "allballs", "yes", "on", "t", "n",
		"10:00 AM", "20100101", "January 8, 1999", "2010-01-01 BC", "2010-13-01", "24:00:00", "12:00:60", "2010-01-01T00:00:00 PST", "a\x1fb",
	} {
		for k, list := range types {
			got := *canon(k, text)
			if got == text || !strings.HasPrefix(got, notValue) {
				if digits(text) || k == kindDatetime || k == kindTime {
					continue // a number, or milliseconds
				}
				t.Errorf("canon(%d, %q) is %q", k, text, got)
			}
			for _, typ := range list {
				var read string
				if err := pool.QueryRow(t.Context(), "SELECT ($1::text)::"+typ+"::text", got).Scan(&read); err == nil {
					t.Errorf("%s takes %q as %s", typ, got, read)
				}
			}
		}
	}
}

// scanParts gives the scanner one byte more each time.
func scanParts(text string) (records [][]string, err error) {
	var r csvRecord
	for start, end := 0, 0; ; {
		n, err := r.scan([]byte(text[start:end]), end == len(text))
		switch {
		case err != nil:
			return records, err
		case n == 0 && end < len(text):
			end++
			continue
		case len(r.values) == 0:
			return records, nil
		}
		var values []string
		for _, v := range r.values {
			values = append(values, string(v))
		}
		records, start = append(records, values), start+n
	}
}
