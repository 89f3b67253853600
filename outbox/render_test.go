package outbox

import (
	"encoding/json"
	"errors"
	"math/big"
	"strings"
	"testing"
)

func TestRenderValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ kind, text, want string }{
		{"string", `a "b" \`, `"a \"b\" \\"`},
		{"string", ``, `""`},
		{"multipicklist", `a;b`, `"a;b"`},
		{"reference", `001000000000001AAA`, `"001000000000001AAA"`},
		{"boolean", `t`, `true`},
		{"boolean", `f`, `false`},
		{"boolean", `true`, `true`},
		{"int", `42`, `42`},
		{"int", `-0`, `0`},
		{"int", `1e+3`, `1000`},
		{"double", `0.1`, `0.1`},
		{"double", `0.30000000000000004`, `0.30000000000000004`},
		{"double", `1e+20`, `100000000000000000000`},
		{"double", `1.5e-07`, `0.00000015`},
		{"double", `-12.5e+1`, `-125`},
		{"double", `1.7976931348623157e+308`, "17976931348623157" + strings.Repeat("0", 292)},
		{"currency", `12345678901234.5678`, `12345678901234.5678`},
		{"currency", `12.00`, `12`},
		{"percent", `.5`, `0.5`},
		{"date", `2026-02-28`, `"2026-02-28"`},
		{"datetime", `2026-02-28 23:59:59`, `"2026-02-28T23:59:59.000Z"`},
		{"datetime", `2026-02-28 23:59:59.123456`, `"2026-02-28T23:59:59.123Z"`},
		{"datetime", `2026-02-28 23:59:59.1+02`, `"2026-02-28T21:59:59.100Z"`},
		{"datetime", `2026-02-28 23:59:59-03:30`, `"2026-03-01T03:29:59.000Z"`},
		{"time", `08:15:00`, `"08:15:00.000Z"`},
		{"time", `08:15:00.25`, `"08:15:00.250Z"`},
		{"anyType", `x`, `"x"`},
	} {
		got, err := renderValue(c.kind, &c.text)
		text, _ := json.Marshal(got)
		if err != nil || string(text) != c.want {
			t.Errorf("%s %s: got %s, %v, want %s", c.kind, c.text, text, err, c.want)
		}
	}
	for _, c := range [][2]string{
		{"boolean", "yes?"},
		{"int", "1.5"},
		{"int", ""},
		{"double", "NaN"},
		{"double", "-Infinity"},
		{"double", "1e999999999"},
		{"double", "--1"},
		{"double", "."},
		{"date", "infinity"},
		{"date", "0044-03-15 BC"},
		{"date", "31.12.2026"},
		{"datetime", "infinity"},
		{"datetime", "2026-02-30 00:00:00"},
		{"time", "24:00:00"},
	} {
		if got, err := renderValue(c[0], &c[1]); err == nil {
			t.Errorf("%s %s: got %v, no error", c[0], c[1], got)
		}
	}
	if got, err := renderValue("string", nil); got != nil || err != nil {
		t.Errorf("null: %v, %v", got, err)
	}
	if got, err := renderValue("boolean", nil); got != false || err != nil {
		t.Errorf("null of a boolean: %v, %v", got, err)
	}
}

func FuzzPlainNumber(f *testing.F) {
	for _, seed := range []string{"1", "-0.50", "1e+20", "1.5e-07", "00012", "+3", "1e400"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := plainNumber(text)
		if err != nil {
			return
		}
		want, ok := new(big.Rat).SetString(text)
		have, ok2 := new(big.Rat).SetString(got)
		if !ok || !ok2 || want.Cmp(have) != 0 || !json.Valid([]byte(got)) || strings.ContainsAny(got, "eE+") {
			t.Fatalf("%q became %q", text, got)
		}
	})
}

func FuzzRenderDateTime(f *testing.F) {
	f.Add("2026-02-28 23:59:59.123456+02")
	f.Fuzz(func(t *testing.T, text string) {
		if got, err := renderDateTime(text); err == nil && !strings.HasSuffix(got.(string), "Z") {
			t.Fatalf("%q became %v", text, got)
		}
	})
}

func TestFieldsOf(t *testing.T) {
	t.Parallel()
	tables := testTables()
	account, contact := &tables[0], &tables[1]
	account.ExternalID = "External_Id__c"
	custom := &Table{Columns: []Column{
		rw("account__c", "Account__c", "reference"),
		{Name: "account__r__no__c", Field: "Account__c", Type: "double", Createable: true, Updateable: true, Relationship: "Account__r", RelationField: "No__c"},
	}}
	for name, c := range map[string]struct {
		table  *Table
		op     Op
		values string
		want   string
	}{
		"null is left out of an insert":      {account, Insert, `name=>a, industry=>NULL`, `{"Name":"a"}`},
		"null clears on update":              {account, Update, `name=>a, industry=>NULL`, `{"Industry":null,"Name":"a"}`},
		"a boolean without a value":          {account, Insert, `active__c=>NULL`, `{}`},
		"a boolean is never null":            {account, Update, `active__c=>NULL`, `{"Active__c":false}`},
		"read-only fields are not sent":      {account, Update, `score__c=>1, currencyisocode=>EUR, name=>a`, `{"Name":"a"}`},
		"createable fields on insert":        {account, Insert, `score__c=>1, currencyisocode=>EUR`, `{"CurrencyIsoCode":"EUR"}`},
		"neither system nor unknown columns": {account, Insert, `sfid=>1, id=>1, systemmodstamp=>x, unmapped=>1, isdeleted=>t`, `{}`},
		"the key of an upsert":               {account, Upsert, `external_id__c=>x`, `{"External_Id__c":"x"}`},
		"a parent by external id":            {contact, Insert, `account__external_id__c=>x`, `{"Account":{"External_Id__c":"x"}}`},
		"a reference wins over an id":        {contact, Update, `account__external_id__c=>x, accountid=>1`, `{"Account":{"External_Id__c":"x"}}`},
		"a reference wins over a null id":    {contact, Update, `account__external_id__c=>x, accountid=>NULL`, `{"Account":{"External_Id__c":"x"}}`},
		"clearing a reference":               {contact, Update, `account__external_id__c=>NULL`, `{"AccountId":null}`},
		"an id wins over a cleared one":      {contact, Update, `account__external_id__c=>NULL, accountid=>1`, `{"AccountId":"1"}`},
		"a custom lookup, key a number":      {custom, Insert, `account__r__no__c=>12`, `{"Account__r":{"No__c":12}}`},
		"clearing a custom lookup":           {custom, Update, `account__r__no__c=>NULL`, `{"Account__c":null}`},
	} {
		values, err := parseHStore(c.values)
		if err != nil {
			t.Fatal(err)
		}
		fields, err := fieldsOf(c.table, c.op, values)
		got, _ := json.Marshal(fields)
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", name, got, err, c.want)
		}
	}
	bad := "x"
	_, err := fieldsOf(account, Update, map[string]*string{"annualrevenue": &bad})
	if f, ok := errors.AsType[*Failure](err); !ok || f.Code != CodeBadValue || f.Class != Permanent || strings.Contains(f.Message, `"x"`) {
		t.Errorf("got %v", err)
	}
}
