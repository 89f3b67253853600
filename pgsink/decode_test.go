package pgsink

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// every maps a field of every type.
func every() Spec {
	return Spec{Schema: "salesforce", Object: "Every__c", ExternalID: "External__c", Fields: []Field{
		{Name: "Id", Type: "id", Length: 18},
		{Name: "Name", Type: "string", Length: 80},
		{Name: "Auto__c", Type: "string", Length: 30},
		{Name: "Formula__c", Type: "string", Length: 1300},
		{Name: "External__c", Type: "string", Length: 40, Unique: true},
		{Name: "OwnerId", Type: "reference", Length: 18},
		{Name: "Picklist__c", Type: "picklist", Length: 255, Indexed: true},
		{Name: "Old__c", Type: "picklist", Length: 40},
		{Name: "Multi__c", Type: "multipicklist", Length: 1000},
		{Name: "Combo__c", Type: "combobox"},
		{Name: "Email__c", Type: "email", Length: 80},
		{Name: "Phone__c", Type: "phone"},
		{Name: "Url__c", Type: "url", Length: 255},
		{Name: "Area__c", Type: "textarea", Length: 255},
		{Name: "About__c", Type: "textarea", Length: 1000},
		{Name: "Long__c", Type: "textarea", Length: 32768},
		{Name: "Secret__c", Type: "encryptedstring", Length: 175},
		{Name: "Check__c", Type: "boolean"},
		{Name: "Int__c", Type: "int"},
		{Name: "BigInt__c", Type: "long"},
		{Name: "Double__c", Type: "double", Precision: 18, Scale: 2},
		{Name: "Currency__c", Type: "currency"},
		{Name: "Percent__c", Type: "percent"},
		{Name: "CurrencyIsoCode", Type: "picklist", Length: 3},
		{Name: "Date__c", Type: "date"},
		{Name: "CreatedDate", Type: "datetime"},
		{Name: "Time__c", Type: "time"},
		{Name: "BillingCity", Type: "string", Length: 40},
		{Name: "Loc__Latitude__s", Type: "double"},
		{Name: "Loc__Longitude__s", Type: "double"},
		{Name: "Body__c", Type: "base64"},
		{Name: "Any__c", Type: "anyType"},
		{Name: "Category__c", Type: "DataCategoryGroupReference"},
		{Name: "Future__c", Type: "hologram"},
		{Name: "Parent__r.External_Id__c", Type: "string", Length: 50},
		{Name: "Account.External_Id__c", Type: "double"},
		{Name: "SystemModstamp", Type: "datetime"},
		{Name: "IsDeleted", Type: "boolean"},
	}}
}

func mustTable(t testing.TB, spec Spec) *Table {
	t.Helper()
	table, err := NewTable(spec)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestCanon(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind     kind
		in, want string
	}{
		{kindText, " as is ", " as is "},
		{kindID, "001M000000qfPyS", "001M000000qfPySIAU"},
		{kindID, "AbCdEfGhIjKlMnO", "AbCdEfGhIjKlMnOVKV"},
		{kindID, "not an id", "not an id"},
		{kindBool, "TRUE", "true"},
		{kindBool, "0", "false"},
		{kindNumber, "23.0", "23"},
		{kindNumber, "9007199254740993", "9007199254740993"},
		{kindNumber, "123456789012345678.25", "123456789012345678.25"},
		{kindNumber, "1.23E8", "123000000"},
		{kindNumber, "1.5e-7", "0.00000015"},
		{kindNumber, "-0.0", "0"},
		{kindNumber, "-0.50", "-0.5"},
		{kindNumber, "007", "7"},
		{kindNumber, ".5", "0.5"},
		{kindNumber, "1e99999999999", "1e99999999999"},
		{kindNumber, "1e-99999999999", "1e-99999999999"},
		{kindNumber, "NaN", "not a value: NaN"},
		{kindNumber, "-", "not a value: -"},
		{kindNumber, "1.2.3", "not a value: 1.2.3"},
		{kindText, "a\xed\xa0\x80\xed\xbf\xbfb\xff", "a\ufffd\ufffdb\ufffd"},
		{kindID, "001\xff", "001\ufffd"},
		{kindDate, "2010-01-01", "2010-01-01"},
		{kindDate, "2019-04-23T00:00:00.000Z", "2019-04-23"},
		{kindDate, "2019-04-23T00:00:00.000+0000", "2019-04-23"},
		{kindDate, "2019-04-23T00:00:00+00:00", "2019-04-23"},
		{kindDate, "2019-04-23T00:00:00.001Z", "not a value: 2019-04-23T00:00:00.001Z"},
		{kindDate, "2019-04-23T12:00:00.000Z", "not a value: 2019-04-23T12:00:00.000Z"},
		{kindDate, "2019-04-23T00:00:00.000+0100", "not a value: 2019-04-23T00:00:00.000+0100"},
		{kindDate, "2019-04-23T00:00:00", "not a value: 2019-04-23T00:00:00"},
		{kindDate, "2019-04-23T00:00:00.Z", "not a value: 2019-04-23T00:00:00.Z"},
		{kindDate, "2019-04-23T", "not a value: 2019-04-23T"},
		{kindDate, "2019-02-29T00:00:00.000Z", "not a value: 2019-02-29T00:00:00.000Z"},
		{kindDatetime, "2011-07-07T00:37:00.000+0000", "2011-07-07 00:37:00"},
		{kindDatetime, "2020-08-06T06:22:19.000Z", "2020-08-06 06:22:19"},
		{kindDatetime, "2020-08-06T06:22:19.120Z", "2020-08-06 06:22:19.120"},
		{kindDatetime, "2020-08-06T06:22:19.1234567Z", "2020-08-06 06:22:19.123"},
		{kindDatetime, "2020-03-01T01:00:00.000+0230", "2020-02-29 22:30:00"},
		{kindDatetime, "2020-03-01T01:00:00-05:00", "2020-03-01 06:00:00"},
		{kindDatetime, "1700-01-01T00:00:00Z", "1700-01-01 00:00:00"},
		{kindDatetime, "4000-12-31T23:59:59.000+0000", "4000-12-31 23:59:59"},
		{kindDatetime, "1588323600000", "2020-05-01 09:00:00"},
		{kindDatetime, "2020-08-06 06:22:19.120", "2020-08-06 06:22:19.120"},
		{kindDatetime, "tomorrow", "not a value: tomorrow"},
		{kindTime, "13:30:00.000Z", "13:30:00"},
		{kindTime, "13:30:00.250Z", "13:30:00.250"},
		{kindTime, "48600000", "13:30:00"},
		{kindTime, "25:00:00", "not a value: 25:00:00"},
	} {
		if got := canon(c.kind, c.in); got == nil || *got != c.want {
			t.Errorf("canon(%d, %q) = %v, want %q", c.kind, c.in, str(got), c.want)
		}
		if again := canon(c.kind, c.want); again == nil || *again != c.want {
			t.Errorf("canon(%d, %q) = %v, not itself", c.kind, c.want, str(again))
		}
	}
	if got := canon(kindText, ""); got != nil {
		t.Errorf("the empty string is %q, want null", *got)
	}
}

func str(p *string) string {
	if p == nil {
		return "<null>"
	}
	return *p
}

// value of a column in a row.
func (t *Table) value(row Row, field string) string { return str(row.Values[t.fields[field]]) }

func TestDecode(t *testing.T) {
	t.Parallel()
	table := mustTable(t, every())

	t.Run("ReadsAnEventWithItsCompounds", func(t *testing.T) {
		t.Parallel()
		row, err := table.Decode([]byte(`{"Id":"a01B0000009ZjAm","Name":"INV \ud800 \u0000","SystemModstamp":"2020-08-06T06:22:19.000Z",
			"BillingAddress":{"BillingCity":"Kandy","BillingStreet":null},"Loc__c":{"latitude":7.29,"longitude":80.63},
			"double__c":1.0E3,"attributes":{"type":"Every__c"},"Unmapped__c":{"x":[1]},"Any__c":{"a" : 1}}`))
		if err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]string{
			"Name": "INV \ufffd \x00", "BillingCity": "Kandy", "Loc__Latitude__s": "7.29", "Loc__Longitude__s": "80.63",
			"Double__c": "1000", "Any__c": `{"a":1}`, "SystemModstamp": "2020-08-06 06:22:19",
		} {
			if got := table.value(row, field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		if row.SFID != "a01B0000009ZjAmIAK" || !row.Stamp.Equal(time.Date(2020, 8, 6, 6, 22, 19, 0, time.UTC)) {
			t.Errorf("id %s, stamp %v", row.SFID, row.Stamp)
		}
		missing := strings.Join(row.Missing, ",")
		if !strings.Contains(missing, "Parent__r.External_Id__c") || strings.Contains(missing, "BillingCity") || strings.Contains(missing, "Double__c") {
			t.Errorf("missing are %s", missing)
		}
	})

	t.Run("ReadsARESTRecordWithItsParents", func(t *testing.T) {
		t.Parallel()
		row, err := table.Decode([]byte(`{"attributes":{"type":"Every__c","url":"/x"},"Id":"a01B0000009ZjAmIAK","IsDeleted":true,
			"Parent__r":{"attributes":{},"External_Id__c":"P1"},"Account":null,"BillingAddress":null,
			"Loc__c":{"Loc__Latitude__s":1,"Loc__Longitude__s":null},"SystemModstamp":"2020-08-06T06:22:19.000+0000"}`))
		if err != nil {
			t.Fatal(err)
		}
		for field, want := range map[string]string{
			"Parent__r.External_Id__c": "P1", "Account.External_Id__c": "<null>", "BillingCity": "<null>", "Loc__Latitude__s": "1",
		} {
			if got := table.value(row, field); got != want {
				t.Errorf("%s is %q, want %q", field, got, want)
			}
		}
		missing := strings.Join(row.Missing, ",")
		if !row.Deleted || strings.Contains(missing, "Account") || strings.Contains(missing, "BillingCity") || strings.Contains(missing, "Loc__L") {
			t.Errorf("deleted %v, missing are %s", row.Deleted, missing)
		}
	})

	t.Run("PrefersTheExactName", func(t *testing.T) {
		t.Parallel()
		row, err := table.Decode([]byte(`{"id":"001000000000002AAA","Id":"001000000000001AAA","NAME":"other","Name":"exact"}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := table.value(row, "Name"); got != "exact" || row.SFID != "001000000000001AAA" || !row.Stamp.IsZero() {
			t.Errorf("name %q, id %s", got, row.SFID)
		}
	})

	t.Run("DoesNotTakeOneAddressForAnother", func(t *testing.T) {
		t.Parallel()
		lead := mustTable(t, Spec{Schema: "s", Object: "Lead", Fields: []Field{
			{Name: "City", Type: "string"}, {Name: "ShippingCity", Type: "string"}, {Name: "SystemModstamp", Type: "datetime"},
		}})
		row, err := lead.Decode([]byte(`{"Id":"001000000000002AAA","ShippingAddress":{"city":"S"},"BillingAddress":{"city":"B"}}`))
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(row.Missing, ","); got != "City,SystemModstamp" {
			t.Errorf("missing are %s", got)
		}
		if row, err = lead.Decode([]byte(`{"Id":"001000000000002AAA","Address":{"city":"L"},"BillingAddress":{"city":"B"}}`)); err != nil || lead.value(row, "City") != "L" {
			t.Errorf("city %q, %v", lead.value(row, "City"), err)
		}
	})

	t.Run("RefusesWhatIsNoRecord", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{``, `null`, `[]`, `"x"`, `{`, `{}`, `{"Id":null}`, `{"Id":"x"}`, `{"Id":5}`, `{"Id":"001000000000001'AA"}`} {
			var re *RecordError
			if _, err := table.Decode([]byte(text)); !errors.As(err, &re) {
				t.Errorf("%q gives %v, want a RecordError", text, err)
			}
		}
	})
}

// The same value has one canonical form, whichever way it comes.
func TestDecodeAgreesOnEveryForm(t *testing.T) {
	t.Parallel()
	table := mustTable(t, every())
	rapid.Check(t, func(rt *rapid.T) {
		event := map[string]any{"Id": id(1)[:15]}
		rest := map[string]any{"Id": id(1), "attributes": map[string]any{"type": "Every__c"}}
		header, record := []string{"Id"}, []string{id(1)}
		for _, c := range table.Columns {
			e, r, bulk := drawForms(rt, c)
			event[c.Field], rest[c.Field] = e, r
			if parent, field, dotted := strings.Cut(c.Field, "."); dotted {
				delete(event, c.Field)
				delete(rest, c.Field)
				event[parent], rest[parent] = map[string]any{field: e}, map[string]any{field: r, "attributes": 1}
			}
			header, record = append(header, c.Field), append(record, bulk)
		}
		a := mustDecode(rt, table, event)
		b := mustDecode(rt, table, rest)
		var text strings.Builder
		for _, line := range [][]string{header, record} {
			for i, v := range line {
				if i > 0 {
					text.WriteByte(',')
				}
				text.WriteString(`"` + strings.ReplaceAll(v, `"`, `""`) + `"`)
			}
			text.WriteByte('\n')
		}
		c := decodeCSV(rt, table, text.String())
		for i, col := range table.Columns {
			if x, y, z := str(a.Values[i]), str(b.Values[i]), str(c.Values[i]); x != y || y != z {
				rt.Errorf("%s: event %q, REST %q, CSV %q", col.Field, x, y, z)
			}
			if v := a.Values[i]; v != nil && str(canon(col.kind, *v)) != *v {
				rt.Errorf("%s: canon(%q) is %q", col.Field, *v, str(canon(col.kind, *v)))
			}
		}
		if !a.Stamp.Equal(c.Stamp) || a.SFID != c.SFID || len(a.Missing)+len(b.Missing)+len(c.Missing) > 0 {
			rt.Errorf("rows %+v and %+v", a, c)
		}
	})
}

func mustDecode(t *rapid.T, table *Table, members map[string]any) Row {
	text, err := json.Marshal(members)
	if err != nil {
		t.Fatal(err)
	}
	row, err := table.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

func decodeCSV(t *rapid.T, table *Table, text string) Row {
	records, err := scanAll(text)
	if err != nil || len(records) != 2 {
		t.Fatalf("%d records, %v", len(records), err)
	}
	d, err := table.CSV(records[0])
	if err != nil {
		t.Fatal(err)
	}
	var values [][]byte
	for _, v := range records[1] {
		values = append(values, []byte(v))
	}
	row, err := d.Decode(values)
	if err != nil {
		t.Fatal(err)
	}
	return row
}

// scanAll reads CSV that is all there.
func scanAll(text string) (records [][]string, err error) {
	var r csvRecord
	for data := []byte(text); len(data) > 0; {
		n, err := r.scan(data, true)
		if err != nil || len(r.values) == 0 {
			return records, err
		}
		var values []string
		for _, v := range r.values {
			values = append(values, string(v))
		}
		records, data = append(records, values), data[n:]
	}
	return records, nil
}

// drawForms draws a value and writes it as an event, as REST and as Bulk CSV.
func drawForms(t *rapid.T, c Column) (event, rest any, bulk string) {
	if c.Field != "SystemModstamp" && c.Type != "boolean" && rapid.IntRange(0, 4).Draw(t, "null") == 0 {
		return nil, nil, ""
	}
	switch c.kind {
	case kindText, kindAny:
		s := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\r\n\",;\t\\é😀")))).Draw(t, "text")
		s = strings.ToValidUTF8(s, "\ufffd")
		return s, s, s
	case kindID:
		n := rapid.IntRange(0, 1<<30).Draw(t, "id")
		return id(n), id(n), id(n)
	case kindBool:
		v := rapid.Bool().Draw(t, "bool")
		return v, v, fmt.Sprint(v)
	case kindNumber:
		digits := rapid.Int64Range(-999999999999999999, 999999999999999999).Draw(t, "digits")
		scale := rapid.IntRange(0, 18).Draw(t, "scale")
		text := new(big.Rat).SetFrac(big.NewInt(digits), new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)).FloatString(scale)
		plain := text
		if scale == 0 {
			plain += ".0"
		}
		return json.Number(fmt.Sprintf("%dE-%d", digits, scale)), json.Number(plain), text
	case kindDate:
		d := rapid.Int64Range(-8520336000, 64092211200).Draw(t, "date")
		s := time.Unix(d, 0).UTC().Format("2006-01-02")
		return s + "T00:00:00.000Z", s, s
	case kindDatetime:
		at := time.UnixMilli(rapid.Int64Range(-8520336000000, 64092211200000).Draw(t, "datetime")).UTC()
		zone := time.FixedZone("", rapid.IntRange(-12*4, 14*4).Draw(t, "zone")*15*60)
		return at.Format("2006-01-02T15:04:05.000Z"), at.In(zone).Format("2006-01-02T15:04:05.000-0700"), at.Format("2006-01-02T15:04:05.000Z")
	case kindTime:
		at := time.UnixMilli(rapid.Int64Range(0, 24*60*60*1000-1).Draw(t, "time")).UTC()
		return at.Format("15:04:05.000Z"), at.Format("15:04:05.000Z"), at.Format("15:04:05.000Z")
	}
	return nil, nil, ""
}

func TestCSV(t *testing.T) {
	t.Parallel()

	t.Run("KeepsCarriageReturnsInsideQuotes", func(t *testing.T) {
		t.Parallel()
		got, err := scanAll("\"a\",\"b\"\r\n\"x\r\ny\",\"say \"\"hi\"\", ok\"\n\nplain,\"\"\n\"last\",end\r\n1,")
		want := [][]string{{"a", "b"}, {"x\r\ny", `say "hi", ok`}, {"plain", ""}, {"last", "end"}, {"1", ""}}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("read %q, %v, want %q", got, err, want)
		}
	})

	t.Run("RefusesWhatIsCutOff", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{`"a`, `"a""`, `"a"b`, `a"b`, "\"a\"\rb"} {
			if got, err := scanAll(text); !errors.Is(err, errCSV) {
				t.Errorf("%q gives %q, %v", text, got, err)
			}
		}
	})

	t.Run("ChecksItsHeader", func(t *testing.T) {
		t.Parallel()
		table := mustTable(t, account())
		for _, header := range [][]string{{"Name", "SystemModstamp"}, {"Id", "Name"}} {
			if _, err := table.CSV(header); err == nil {
				t.Errorf("header %q was accepted", header)
			}
		}
		d, err := table.CSV([]string{"SYSTEMMODSTAMP", "id", "Other"})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.Decode([][]byte{[]byte("1")}); err == nil {
			t.Error("a short row was accepted")
		}
		if _, err := d.Decode([][]byte{nil, []byte("x"), nil}); err == nil {
			t.Error("a row without an id was accepted")
		}
		row, err := d.Decode([][]byte{[]byte("2020-01-01T00:00:00.000Z"), []byte(id(1)), []byte("x")})
		if err != nil || row.SFID != id(1) || len(row.Missing) != 4 {
			t.Errorf("row %+v, %v", row, err)
		}
	})
}
