package soql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"hcbridge/test/org/sobject"
)

type fields = map[string]any

// world is a small org: two accounts, the second a child of the first, and
// contacts, invoices and a few odd records.
func world(t *testing.T) (*sobject.Org, map[string]string) {
	t.Helper()
	now := time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC)
	org := sobject.NewOrg(sobject.NewMemory(), func() time.Time { return now })
	ids := map[string]string{}
	add := func(key, object string, f fields) {
		r := org.Commit(sobject.Origin{}, true, []sobject.Op{{Kind: sobject.Insert, Object: object, Fields: f}})[0]
		if r.Err != nil {
			t.Fatalf("create %s: %v", key, r.Err)
		}
		ids[key] = r.ID
		now = now.Add(time.Minute)
	}
	add("acme", "Account", fields{"Name": "Acme", "External_Id__c": "K1", "AnnualRevenue": 350000000, "NumberOfEmployees": 400, "BillingCity": "Ulm"})
	add("sub", "Account", fields{"Name": "acme sub", "ParentId": ids["acme"], "Industry": "Energy"})
	add("quote", "Account", fields{"Name": `O'Neil 50% \ _x`})
	add("ann", "Contact", fields{"LastName": "Ann", "AccountId": ids["sub"], "Birthdate": "1980-02-03"})
	add("bob", "Contact", fields{"LastName": "Bob", "HasOptedOutOfEmail": true})
	add("inv", "Invoice__c", fields{"Name": "I1", "Account__c": ids["sub"], "Amount__c": 12.5, "Due__c": "2024-06-01"})
	add("inv2", "Invoice__c", fields{"Name": "I2", "Paid__c": true})
	add("every", "Every__c", fields{"Name": "E", "Datetime__c": "2011-07-07T00:37:00Z", "Time__c": "13:30:00", "Secret__c": "abc", "Blob__c": "AAAA", "Loc__Latitude__s": 1, "Loc__Longitude__s": 2, "Code__c": "AbC"})
	add("gone", "Account", fields{"Name": "gone"})
	org.Commit(sobject.Origin{}, true, []sobject.Op{{Kind: sobject.Delete, Object: "Account", ID: ids["gone"]}})
	return org, ids
}

func query(t *testing.T, store sobject.Store, text string, opts Opts) ([]Row, int) {
	t.Helper()
	q, err := Parse(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	rows, total, err := Run(store, q, opts)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return rows, total
}

func TestConditions(t *testing.T) {
	t.Parallel()
	org, ids := world(t)
	tests := []struct {
		from, where string
		want        string // Name or LastName of the rows in id order
	}{
		{"Account", "", "Acme|acme sub|O'Neil 50% \\ _x"},
		{"Account", "Name = 'ACME'", "Acme"},
		{"account", "name LIKE 'acme%'", "Acme|acme sub"},
		{"Account", "Name LIKE '%me'", "Acme"},
		{"Account", "Name LIKE 'A_me'", "Acme"},
		{"Account", `Name LIKE '%50\% \\ \_x'`, `O'Neil 50% \ _x`},
		{"Account", `Name LIKE '%\%'`, ""},
		{"Account", `Name = 'o\'neil 50% \\ _x'`, `O'Neil 50% \ _x`},
		{"Account", `Name = '\u0041cme'`, "Acme"},
		{"Account", "Industry = null", "Acme|O'Neil 50% \\ _x"},
		{"Account", "Industry = ''", "Acme|O'Neil 50% \\ _x"},
		{"Account", "Industry != null", "acme sub"},
		{"Account", "Industry != 'Energy'", "Acme|O'Neil 50% \\ _x"},
		{"Account", "Industry NOT IN ('energy')", "Acme|O'Neil 50% \\ _x"},
		{"Account", "Industry IN ('ENERGY', null)", "Acme|acme sub|O'Neil 50% \\ _x"},
		{"Account", "NOT Name LIKE 'acme%'", "O'Neil 50% \\ _x"},
		{"Account", "NOT (Name = 'Acme' OR Name = 'acme sub')", "O'Neil 50% \\ _x"},
		{"Account", "Name > 'acme' AND Name < 'b'", "acme sub"},
		{"Account", "AnnualRevenue = 3.5e8", "Acme"},
		{"Account", "AnnualRevenue >= 350000000.00", "Acme"},
		{"Account", "AnnualRevenue < 350000000", ""},
		{"Account", "AnnualRevenue != 1", "Acme|acme sub|O'Neil 50% \\ _x"},
		{"Account", "NumberOfEmployees IN (400.0, 3)", "Acme"},
		{"Account", "External_Id__c = 'k1'", "Acme"},
		{"Account", "External_Id__c IN ('k1', 'k2') AND Name = 'x'", ""},
		{"Account", "Id = '" + ids["sub"][:15] + "'", "acme sub"},
		{"Account", "Id IN ('" + ids["sub"] + "', '" + ids["acme"] + "', '" + ids["gone"] + "', '" + ids["sub"] + "')", "Acme|acme sub"},
		{"Account", "Id > '" + ids["acme"] + "'", "acme sub|O'Neil 50% \\ _x"},
		{"Account", "Id >= '" + ids["acme"] + "' AND Id < '" + ids["quote"] + "'", "Acme|acme sub"},
		{"Account", "Id != '" + ids["acme"] + "'", "acme sub|O'Neil 50% \\ _x"},
		{"Account", "Parent.Name = 'acme'", "acme sub"},
		{"Account", "Parent.Name != 'acme'", "Acme|O'Neil 50% \\ _x"},
		{"Account", "Owner.Name LIKE 'ada%' AND Name = 'Acme'", "Acme"},
		{"Account a", "a.Name = 'Acme'", "Acme"},
		{"Account", "Account.Name = 'Acme';", "Acme"},
		{"Account", "CreatedDate < 2024-05-01T12:01:00Z", "Acme"},
		{"Account", "CreatedDate <= 2024-05-01T14:01:00+02:00", "Acme|acme sub"},
		{"Account", "CreatedDate = 2024-05-01T12:01:00.000Z", "acme sub"},
		{"Account", "SystemModstamp > 2024-05-01T12:00:00.5Z", "acme sub|O'Neil 50% \\ _x"},
		{"Account", "SystemModstamp >= 2024-05-01T12:01:00Z AND SystemModstamp < 2024-05-01T12:02:00Z", "acme sub"},
		{"Account", "(SystemModstamp > 2024-05-01T12:00:00Z OR (SystemModstamp = 2024-05-01T12:00:00Z AND Id > '" + ids["acme"] + "'))", "acme sub|O'Neil 50% \\ _x"},
		{"Account", "IsDeleted = true", ""},
		{"Account", "Id IN (SELECT AccountId FROM Contact)", "acme sub"},
		{"Account", "Id NOT IN (SELECT AccountId FROM Contact WHERE LastName = 'Ann')", "Acme|O'Neil 50% \\ _x"},
		{"Contact", "HasOptedOutOfEmail = null", "Ann"},
		{"Contact", "HasOptedOutOfEmail != null", "Bob"},
		{"Contact", "HasOptedOutOfEmail = TRUE", "Bob"},
		{"Contact", "Birthdate = 1980-02-03", "Ann"},
		{"Contact", "Birthdate < 1980-02-04", "Ann"},
		{"Contact", "Account.Parent.Name = 'Acme'", "Ann"},
		{"Contact", "Account.Name = null", "Bob"},
		{"Contact", "AccountId = '" + ids["sub"] + "'", "Ann"},
		{"Invoice__c", "Account__r.Parent.BillingCity = 'ulm'", "I1"},
		{"Invoice__c", "Paid__c = false", "I1"},
		{"Invoice__c", "Amount__c > 12.49 AND Due__c > 2024-05-31", "I1"},
		{"Every__c", "Time__c > 13:29:59Z", "E"},
		{"Every__c", "Code__c = 'AbC'", "E"},
		{"Every__c", "Code__c = 'abc'", ""},
	}
	for _, tt := range tests {
		text := "SELECT Id FROM " + tt.from
		if tt.where != "" {
			text += " WHERE " + tt.where
		}
		rows, total := query(t, org.Store(), text, Opts{})
		var got []string
		for _, r := range rows {
			o := org.Store().ObjectOf(r.Record().ID)
			name := r.Record().Get(o, "LastName")
			if name == nil {
				name = r.Record().Get(o, "Name")
			}
			got = append(got, fmt.Sprint(name))
		}
		if strings.Join(got, "|") != tt.want || total != len(rows) {
			t.Errorf("%s\n got %s\nwant %s", text, strings.Join(got, "|"), tt.want)
		}
		count, n := query(t, org.Store(), strings.Replace(text, "SELECT Id", "select COUNT()", 1), Opts{})
		if n != len(rows) || count != nil {
			t.Errorf("%s: COUNT() is %d", text, n)
		}
	}
	if _, n := query(t, org.Store(), "SELECT COUNT() FROM Account WHERE IsDeleted = true", Opts{All: true}); n != 1 {
		t.Errorf("queryAll counts %d deleted", n)
	}
	if rows, _ := query(t, org.Store(), "SELECT Id FROM Account WHERE Id = '"+ids["gone"]+"'", Opts{All: true}); len(rows) != 1 {
		t.Errorf("queryAll by id found %d", len(rows))
	}
}

func TestOrderAndLimit(t *testing.T) {
	t.Parallel()
	org, _ := world(t)
	for text, want := range map[string]string{
		"SELECT Name FROM Account ORDER BY Name DESC":                                      `O'Neil 50% \ _x|acme sub|Acme`,
		"SELECT Name FROM Account ORDER BY Industry, Name":                                 `Acme|O'Neil 50% \ _x|acme sub`,
		"SELECT Name FROM Account ORDER BY Industry NULLS LAST, Name DESC":                 `acme sub|O'Neil 50% \ _x|Acme`,
		"SELECT Name FROM Account ORDER BY Industry DESC NULLS LAST, Id":                   `acme sub|Acme|O'Neil 50% \ _x`,
		"SELECT Name FROM Account ORDER BY Parent.Name NULLS FIRST, Id DESC":               `O'Neil 50% \ _x|Acme|acme sub`,
		"SELECT Name FROM Account ORDER BY Id LIMIT 2":                                     "Acme|acme sub",
		"SELECT Name FROM Account ORDER BY SystemModstamp, Id LIMIT 1 OFFSET 1":            "acme sub",
		"SELECT Name FROM Account ORDER BY SystemModstamp DESC LIMIT 1":                    `O'Neil 50% \ _x`,
		"SELECT Name FROM Account LIMIT 0":                                                 "",
		"SELECT Name FROM Account LIMIT 5 OFFSET 9":                                        "",
		"SELECT Name FROM Account ORDER BY Id OFFSET 2":                                    `O'Neil 50% \ _x`,
		"SELECT Name FROM Account WHERE Id != null ORDER BY Name ASC NULLS FIRST LIMIT 1;": "Acme",
	} {
		rows, _ := query(t, org.Store(), text, Opts{})
		var got []string
		for _, r := range rows {
			got = append(got, r.Cells()[0].CSV())
		}
		if strings.Join(got, "|") != want {
			t.Errorf("%s\n got %s\nwant %s", text, strings.Join(got, "|"), want)
		}
	}
}

func TestRows(t *testing.T) {
	t.Parallel()
	org, ids := world(t)
	const base = "/services/data/v66.0"
	for text, want := range map[string]string{
		"SELECT id, NAME, AnnualRevenue, NumberOfEmployees, Phone, IsDeleted FROM account WHERE Name = 'Acme'":                           `{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/$acme"},"Id":"$acme","Name":"Acme","AnnualRevenue":3.5E8,"NumberOfEmployees":400,"Phone":null,"IsDeleted":false}`,
		"SELECT Datetime__c, Time__c, Secret__c, Blob__c, Loc__c FROM Every__c":                                                          `{"attributes":{"type":"Every__c","url":"/services/data/v66.0/sobjects/Every__c/$every"},"Datetime__c":"2011-07-07T00:37:00.000+0000","Time__c":"13:30:00.000Z","Secret__c":"***","Blob__c":"/services/data/v66.0/sobjects/Every__c/$every/Blob__c","Loc__c":{"latitude":1.0,"longitude":2.0}}`,
		"SELECT Account.Name, LastName, account.parent.Name, Account.Parent.Parent.Name, Account.Id FROM Contact WHERE LastName = 'Ann'": `{"attributes":{"type":"Contact","url":"/services/data/v66.0/sobjects/Contact/$ann"},"Account":{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/$sub"},"Name":"acme sub","Parent":{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/$acme"},"Name":"Acme","Parent":null},"Id":"$sub"},"LastName":"Ann"}`,
		"SELECT Account.Name FROM Contact WHERE LastName = 'Bob'":                                                                        `{"attributes":{"type":"Contact","url":"/services/data/v66.0/sobjects/Contact/$bob"},"Account":null}`,
		"SELECT Owner.Username FROM Account WHERE Name = 'Acme'":                                                                         `{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/$acme"},"Owner":{"attributes":{"type":"User","url":"/services/data/v66.0/sobjects/User/$admin"},"Username":"admin@hc.example"}}`,
		"SELECT COUNT(Id), MIN(Name) first, MAX(AnnualRevenue) FROM Account":                                                             `{"attributes":{"type":"AggregateResult"},"expr0":3,"first":"Acme","expr2":3.5E8}`,
	} {
		rows, _ := query(t, org.Store(), text, Opts{})
		want = strings.ReplaceAll(want, "$admin", org.Admin())
		for _, key := range slices.SortedFunc(slices.Values([]string{"acme", "sub", "ann", "bob", "every"}), strings.Compare) {
			want = strings.ReplaceAll(want, "$"+key, ids[key])
		}
		if len(rows) != 1 || string(rows[0].JSON(base)) != want {
			t.Errorf("%s\n got %s\nwant %s", text, rows[0].JSON(base), want)
		}
	}
	rows, _ := query(t, org.Store(), "SELECT Id, CreatedDate, Amount__c, Account__r.Name, Account__r.Parent.Name, Notes__c, Paid__c FROM Invoice__c ORDER BY Id", Opts{})
	for i, want := range []string{
		ids["inv"] + ",2024-05-01T12:05:00.000Z,12.5,acme sub,Acme,,false",
		ids["inv2"] + ",2024-05-01T12:06:00.000Z,,,,,true",
	} {
		var got []string
		for _, c := range rows[i].Cells() {
			got = append(got, c.CSV())
		}
		if strings.Join(got, ",") != want {
			t.Errorf("row %d is %v, want %s", i, got, want)
		}
	}
	if got := strings.Join(rows[0].query.Columns(), ","); got != "Id,CreatedDate,Amount__c,Account__r.Name,Account__r.Parent.Name,Notes__c,Paid__c" {
		t.Errorf("columns are %s", got)
	}
	rows, _ = query(t, org.Store(), "SELECT FIELDS(ALL) FROM Invoice__c LIMIT 200", Opts{})
	if got, want := len(rows[0].Cells()), len(org.Store().Object("Invoice__c").Fields); got != want {
		t.Errorf("FIELDS(ALL) gave %d fields, want %d", got, want)
	}
}

// TestMetadata compares with what the Salesforce CLI's own tests have on record.
func TestMetadata(t *testing.T) {
	t.Parallel()
	org, _ := world(t)
	tests := []struct{ query, want string }{
		{"SELECT Name, Owner.Name FROM Account", "Name(String) Owner[OwnerId](Name(String))"},
		{"SELECT Id, Account__r.Parent.AnnualRevenue, Account__r.Name, Paid__c, Due__c FROM Invoice__c", "Id(Id) Account__r[Account__c](Parent[ParentId](AnnualRevenue(Double)number) Name(String)) Paid__c(Boolean) Due__c(Date)"},
		{"SELECT COUNT(Id), MAX(Amount__c) most, MIN(Name) FROM Invoice__c", "expr0=count(Id)number most=max(Amount__c)number expr2=min(Name)"},
		{"SELECT COUNT() FROM Account", ""},
	}
	for _, test := range tests {
		q, err := Parse(test.query)
		if err == nil {
			err = q.Bind(org.Store(), nil)
		}
		if err != nil {
			t.Fatalf("%s: %v", test.query, err)
		}
		if got := metadataText(q.Metadata()); got != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.query, got, test.want)
		}
	}
}

func metadataText(list []Metadata) string {
	out := make([]string, len(list))
	for i, m := range list {
		switch {
		case m.Aggregate:
			out[i] = m.ColumnName + "=" + m.DisplayName
		case m.ForeignKeyName != nil:
			out[i] = m.ColumnName + "[" + *m.ForeignKeyName + "](" + metadataText(m.JoinColumns) + ")"
		default:
			out[i] = m.ColumnName + "(" + *m.ApexType + ")"
		}
		if m.NumberType {
			out[i] += "number"
		}
	}
	return strings.Join(out, " ")
}

func TestErrors(t *testing.T) {
	t.Parallel()
	org, _ := world(t)
	const hint = ". If you are attempting to use a custom field, be sure to append the '__c' after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
	tests := []struct{ text, code, message string }{
		{"SELECT Bacon__c FROM Account LIMIT 2", "INVALID_FIELD", "\nSELECT Bacon__c FROM Account LIMIT 2\n       ^\nERROR at Row:1:Column:8\nNo such column 'Bacon__c' on entity 'Account'" + hint},
		{"SELECT Id FROM Account\nWHERE Nope = 1", "INVALID_FIELD", "\nWHERE Nope = 1\n      ^\nERROR at Row:2:Column:7\nNo such column 'Nope' on entity 'Account'" + hint},
		{"SELECT Hidden__c FROM Account", "INVALID_FIELD", "*No such column 'Hidden__c' on entity"},
		{"SELECT Fax FROM Account", "INVALID_FIELD", "*No such column 'Fax' on entity"},
		{"SELECT Foo__r.Name FROM Account", "INVALID_FIELD", "*Didn't understand relationship 'Foo__r' in field path"},
		{"SELECT Account.Foo FROM Contact", "INVALID_FIELD", "*No such column 'Foo' on entity 'Account'"},
		{"SELECT Id, iD FROM Account", "INVALID_FIELD", "*duplicate field selected: Id"},
		{"SELECT Id FROM Leads", "INVALID_TYPE", "\nSELECT Id FROM Leads\n               ^\nERROR at Row:1:Column:16\nsObject type 'Leads' is not supported. If you are attempting to use a custom object, be sure to append the '__c' after the entity name. Please reference your WSDL or the describe call for the appropriate names."},
		{"SELEKT Id FROM Account", "MALFORMED_QUERY", "unexpected token: SELEKT"},
		{"SELECT Id FROM", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT FROM Account", "MALFORMED_QUERY", "unexpected token: FROM"},
		{"SELECT Id, FROM Account", "MALFORMED_QUERY", "unexpected token: FROM"},
		{"", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token: <EOF>"},
		{"SELECT Id FROM Account WHERE Name = 'a' AND Name = 'b' OR Name = 'c'", "MALFORMED_QUERY", "unexpected token: OR"},
		{"SELECT Id FROM Account WHERE Name = \"a\"", "MALFORMED_QUERY", "line 1:36 no viable alternative at character '\"'"},
		{`SELECT Id FROM Account WHERE Name = 'a\q'`, "MALFORMED_QUERY", `Invalid string literal 'a\q'. Illegal character sequence '\q' in string literal.`},
		{`SELECT Id FROM Account WHERE Name = 'a\%'`, "MALFORMED_QUERY", `Invalid string literal 'a\%'. Illegal character sequence '\%' in string literal.`},
		{"SELECT Id FROM Account WHERE Name = 'a", "MALFORMED_QUERY", "unexpected char: '''"},
		{"SELECT Id FROM Account LIMIT -1", "MALFORMED_QUERY", "unexpected token: -1"},
		{"SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000"},
		{"SELECT Id FROM Account garbage here", "MALFORMED_QUERY", "unexpected token: here"},
		{"SELECT Id FROM Account WHERE CreatedDate > '2024-01-01T00:00:00Z'", "INVALID_FIELD", "*ERROR at Row:1:Column:44\nvalue of filter criterion for field 'CreatedDate' must be of type dateTime and should not be enclosed in quotes"},
		{"SELECT Id FROM Account WHERE CreatedDate > 2024-01-01", "INVALID_FIELD", "*must be of type dateTime"},
		{"SELECT Id FROM Account WHERE Name = 5", "INVALID_FIELD", "*must be of type string and should be enclosed in quotes"},
		{"SELECT Id FROM Account WHERE Description = 'x'", "INVALID_FIELD", "*field 'Description' can not be filtered in a query call"},
		{"SELECT Id FROM Account WHERE BillingAddress = 'x'", "INVALID_FIELD", "*field 'BillingAddress' can not be filtered in a query call"},
		{"SELECT Id FROM Account ORDER BY Description", "INVALID_FIELD", "*field 'Description' can not be sorted in a query call"},
		{"SELECT Id FROM Account WHERE Id = 'abc'", "INVALID_QUERY_FILTER_OPERATOR", "*invalid ID field: abc"},
		{"SELECT Id FROM Account WHERE AnnualRevenue > 3000000000", "MALFORMED_QUERY", `For input string: "3000000000"`},
		{"SELECT FIELDS(ALL) FROM Account", "MALFORMED_QUERY", "The SOQL FIELDS function must have a LIMIT of at most 200"},
		{"SELECT Parent.Parent.Parent.Parent.Parent.Parent.Name FROM Account", "MALFORMED_QUERY", "*at most 5 levels"},
		{"SELECT Id FROM Account WHERE " + strings.Repeat("(", 5000), "MALFORMED_QUERY", "query is too deeply nested"},
	}
	visible := func(_ *sobject.Object, f *sobject.Field) bool { return f.Name != "Fax" }
	for _, tt := range tests {
		q, err := Parse(tt.text)
		if err == nil {
			_, _, err = Run(org.Store(), q, Opts{Visible: visible})
		}
		var got *Error
		if !errors.As(err, &got) {
			t.Errorf("%s: got %v, want an *Error", tt.text, err)
			continue
		}
		want, part := strings.CutPrefix(tt.message, "*")
		if got.Code != tt.code || (part && !strings.Contains(got.Message, want)) || (!part && got.Message != want) {
			t.Errorf("%s\n got %s %q\nwant %s %q", tt.text, got.Code, got.Message, tt.code, want)
		}
		if strings.Contains(got.Detail, "ERROR at") {
			t.Errorf("%s: the detail has marks: %q", tt.text, got.Detail)
		}
	}
}

// What a PushTopic may not contain shows in the parsed query.
func TestFlags(t *testing.T) {
	t.Parallel()
	org, ids := world(t)
	for text, want := range map[string]string{
		"SELECT Id, Name FROM Account WHERE Name NOT IN ('a') AND Phone != 'x';": "",
		"SELECT Id FROM Account LIMIT 1":                                         "limit",
		"SELECT Id FROM Account ORDER BY Id":                                     "order",
		"SELECT Id FROM Account OFFSET 1":                                        "offset",
		"SELECT COUNT() FROM Account":                                            "count aggregate",
		"SELECT MAX(Name) FROM Account":                                          "aggregate",
		"SELECT Name FROM Account GROUP BY Name HAVING COUNT(Id) > 1":            "aggregate",
		"SELECT Id, Parent.Name FROM Account":                                    "relationship",
		"SELECT Id FROM Account WHERE Parent.Name = 'a'":                         "relationship",
		"SELECT Id, (SELECT Id FROM Contacts) FROM Account":                      "relationship subquery",
		"SELECT Id FROM Account WHERE NOT Name = 'a'":                            "not",
		"SELECT Id FROM Account WHERE Id IN (SELECT AccountId FROM Contact)":     "semijoin",
		"SELECT TYPEOF Owner WHEN User THEN Id END FROM Account":                 "typeof",
		"SELECT Account.Id FROM Account":                                         "",
	} {
		q, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var got []string
		for _, flag := range []struct {
			name string
			on   bool
		}{
			{"limit", q.Limit >= 0},
			{"order", q.OrderBy != nil},
			{"offset", q.Offset >= 0},
			{"count", q.Count},
			{"aggregate", q.Aggregate},
			{"relationship", q.Relationship},
			{"subquery", q.Subquery},
			{"not", q.Not},
			{"semijoin", q.SemiJoin},
			{"typeof", q.TypeOf},
		} {
			if flag.on {
				got = append(got, flag.name)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: flags %v, want %s", text, got, want)
		}
	}
	q, err := Parse("SELECT id, name FROM account WHERE industry = 'energy' AND (phone = null OR Phone = 'x')")
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Bind(org.Store(), nil); err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(q.Object().Name, q.SelectFields(), q.WhereFields()); got != "Account[Id Name] [Industry Phone]" {
		t.Errorf("bound: %s", got)
	}
	for key, want := range map[string]bool{"acme": false, "sub": true} {
		r, _ := org.Store().Get("Account", ids[key])
		if q.Match(org.Store(), r) != want {
			t.Errorf("match of %s is not %v", key, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"SELECT Id, Account.Name FROM Contact WHERE (SystemModstamp > 2024-05-01T12:00:00Z OR (SystemModstamp = 2024-05-01T12:00:00Z AND Id > '003000000000001')) ORDER BY SystemModstamp, Id LIMIT 2000",
		`SELECT COUNT() FROM Account a WHERE a.Name LIKE '%\_x\u0041' AND NOT b IN (1, -2.5e3, null, true, 2024-01-01)`,
		"SELECT Id, (SELECT Id FROM Contacts) FROM Account WHERE Id IN (SELECT AccountId FROM Contact) GROUP BY x HAVING y OFFSET 3;",
		"SELECT TYPEOF What WHEN Account THEN Phone END FROM Event", "select fields(all) from x limit 1",
	} {
		f.Add(seed)
	}
	store := sobject.NewOrg(sobject.NewMemory(), nil).Store()
	f.Fuzz(func(t *testing.T, s string) {
		q, err := Parse(s)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" || e.Message == "" {
				t.Fatalf("error without facts: %#v", err)
			}
			return
		}
		if q.From == "" || (len(q.Select) == 0 && !q.Count && !q.Subquery && !q.TypeOf) {
			t.Fatalf("accepted a query of nothing: %#v", q)
		}
		if _, _, err := Run(store, q, Opts{}); err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Code == "" {
				t.Fatalf("run: %#v", err)
			}
		}
	})
}
