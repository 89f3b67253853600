package bridge

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pgsink"
	"hcbridge/test/org"
)

// describes answers from a map, and 404 for what is not in it.
type describes map[string]*salesforce.Describe

func (d describes) Describe(_ context.Context, object string) (*salesforce.Describe, error) {
	for name, found := range d {
		if strings.EqualFold(name, object) {
			return found, nil
		}
	}
	return nil, &salesforce.Error{Status: 404, Code: "NOT_FOUND", Class: salesforce.Permanent}
}

func testOrg() describes {
	system := []salesforce.Field{
		{Name: "Id", Type: "id", Length: 18, IDLookup: true},
		{Name: "IsDeleted", Type: "boolean"},
		{Name: "SystemModstamp", Type: "datetime"},
	}
	account := &salesforce.Describe{Fields: append(slices.Clone(system),
		salesforce.Field{Name: "Name", Type: "string", Length: 255, Createable: true, Updateable: true},
		salesforce.Field{Name: "BillingAddress", Type: "address"},
		salesforce.Field{Name: "BillingCity", Type: "string", Length: 40, CompoundFieldName: "BillingAddress", Createable: true, Updateable: true},
		salesforce.Field{Name: "Secret__c", Type: "encryptedstring", Length: 175, Createable: true, Updateable: true},
		salesforce.Field{Name: "External_Id__c", Type: "string", Length: 36, ExternalID: true, Unique: true, Createable: true, Updateable: true},
	)}
	account.Name, account.Queryable = "Account", true
	invoice := &salesforce.Describe{Fields: append(slices.Clone(system),
		salesforce.Field{Name: "Account__c", Type: "reference", Length: 18, ReferenceTo: []string{"Account"}, RelationshipName: "Account__r", Createable: true},
		salesforce.Field{Name: "Total__c", Type: "currency", Precision: 16, Scale: 2, Calculated: true},
	)}
	invoice.Name, invoice.Queryable, invoice.Custom = "Invoice__c", true, true
	feed := &salesforce.Describe{Fields: system[:2]}
	feed.Name, feed.Queryable = "Feed", true
	org := describes{"Account": account, "Invoice__c": invoice, "Feed": feed}
	for _, name := range []string{"Knowledge__kav", "Log__b"} { // they have all that a table needs, but their names
		like := *account
		like.Name = name
		org[name] = &like
	}
	return org
}

func TestMapObject(t *testing.T) {
	t.Parallel()

	t.Run("EveryMappableFieldByDefault", func(t *testing.T) {
		t.Parallel()
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "account", Access: config.AccessReadWrite}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{"Id", "SystemModstamp", "IsDeleted", "Name", "BillingCity", "Secret__c", "External_Id__c"}
		if !slices.Equal(m.fields, want) {
			t.Errorf("fields %v, want %v", m.fields, want)
		}
		if m.cfg.Name != "Account" || m.table.Name != "account" || !m.delete {
			t.Errorf("object %s, table %s, deletes %v", m.cfg.Name, m.table.Name, m.delete)
		}
		for _, c := range m.outbox.Columns {
			if c.Field == "Secret__c" && (c.Createable || c.Updateable) {
				t.Error("a masked field would be written back")
			}
		}
		for _, f := range m.spec.Fields {
			if sent := slices.Contains([]string{"Name", "BillingCity", "External_Id__c"}, f.Name); f.Fixed == sent {
				t.Errorf("%s is taken for one that is sent: %v", f.Name, !f.Fixed)
			}
		}
	})

	t.Run("ParentsAndWhatSyncingNeeds", func(t *testing.T) {
		t.Parallel()
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "Invoice__c", Fields: []string{"Total__c", "Account__r.External_Id__c"}}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"Id", "SystemModstamp", "IsDeleted", "Total__c", "Account__r.External_Id__c"}; !slices.Equal(m.fields, want) {
			t.Errorf("fields %v, want %v", m.fields, want)
		}
		i := slices.IndexFunc(m.table.Columns, func(c pgsink.Column) bool { return c.Name == "account__r__external_id__c" })
		if i < 0 {
			t.Fatalf("no column account__r__external_id__c in %v", m.table.Columns)
		}
		for _, c := range m.outbox.Columns {
			if c.Relationship == "Account__r" && (c.RelationField != "External_Id__c" || !c.Createable || c.Updateable) {
				t.Errorf("relationship column %+v; it is as writeable as its lookup", c)
			}
		}
	})

	t.Run("NamesAsTheOrgWritesThem", func(t *testing.T) {
		t.Parallel()
		org := testOrg()
		org["Account"].Fields = append(org["Account"].Fields, salesforce.Field{Name: "ParentId", Type: "reference", Length: 18, ReferenceTo: []string{"Account"}, RelationshipName: "Parent", Createable: true})
		for want, cfg := range map[string]config.Object{
			"Id SystemModstamp IsDeleted Name External_Id__c Parent.External_Id__c": {Name: "account", Fields: []string{"NAME", "id", "external_ID__c", "PARENT__R.external_id__C", "Parent.External_Id__c"}, ExternalID: "EXTERNAL_id__c", Indexes: []string{"nAME"}},
			"Id SystemModstamp IsDeleted Account__r.External_Id__c Total__c":        {Name: "INVOICE__C", Fields: []string{"ACCOUNT__r.EXTERNAL_id__c", "account__R__external_ID__c", "total__C"}},
		} {
			m, err := mapObject(t.Context(), org, cfg, "salesforce", false, nil)
			if err != nil {
				t.Errorf("%s: %v", cfg.Name, err)
				continue
			}
			if got := strings.Join(m.fields, " "); got != want {
				t.Errorf("fields %s, want %s", got, want)
			}
			if cfg.ExternalID != "" && (m.spec.ExternalID != "External_Id__c" || m.outbox.ExternalID != "External_Id__c") {
				t.Errorf("external id %s, %s", m.spec.ExternalID, m.outbox.ExternalID)
			}
			for _, f := range m.spec.Fields {
				if f.Indexed != (f.Name == "Name") || f.Unique != (f.Name == "External_Id__c" && cfg.ExternalID != "") {
					t.Errorf("%s: indexed %t, unique %t", f.Name, f.Indexed, f.Unique)
				}
			}
		}
	})

	t.Run("KnowsLongTextAreas", func(t *testing.T) {
		t.Parallel()
		for want, fields := range map[string][]salesforce.Field{
			"text":                    {{Length: 1000, ExtraTypeInfo: "plaintextarea"}, {Length: 500, ExtraTypeInfo: "richtextarea"}, {Length: 32768}},
			"character varying(255)":  {{Length: 255, ExtraTypeInfo: "plaintextarea"}, {Length: 255}},
			"character varying(1000)": {{Length: 1000}},
		} {
			for _, f := range fields {
				f.Name, f.Type = "Area__c", "textarea"
				org := testOrg()
				org["Account"].Fields = append(org["Account"].Fields, f)
				m, err := mapObject(t.Context(), org, config.Object{Name: "Account", Fields: []string{f.Name}}, "salesforce", false, nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, got := m.column(f.Name); got != want {
					t.Errorf("%d characters, %q: %s, want %s", f.Length, f.ExtraTypeInfo, got, want)
				}
			}
		}
	})

	t.Run("LeavesFilesOut", func(t *testing.T) {
		t.Parallel()
		org := testOrg()
		org["Account"].Fields = append(org["Account"].Fields, salesforce.Field{Name: "Body", Type: "base64", Createable: true})
		for want, fields := range map[string][]string{"Id SystemModstamp IsDeleted Name": {"body", "Name"}, "Id SystemModstamp IsDeleted": {"Body"}} {
			m, err := mapObject(t.Context(), org, config.Object{Name: "Account", Fields: fields}, "salesforce", false, nil)
			if err != nil {
				t.Errorf("%v: %v", fields, err)
				continue
			}
			if got := strings.Join(m.fields, " "); got != want || !slices.Equal(m.binary, []string{"Body"}) || !strings.Contains(m.note(), "left out, because no column can hold a file: Body") {
				t.Errorf("fields %s, left out %v, note %q", got, m.binary, m.note())
			}
		}
	})

	t.Run("IndexesParentsByEitherName", func(t *testing.T) {
		t.Parallel()
		org := testOrg()
		org["Invoice__c"].Fields = append(org["Invoice__c"].Fields, salesforce.Field{Name: "AccountId", Type: "reference", Length: 18, ReferenceTo: []string{"Account"}, RelationshipName: "Account"},
			salesforce.Field{Name: "ParentId", Type: "reference", Length: 18, ReferenceTo: []string{"Account"}, RelationshipName: "Parent"})
		for name, index := range map[string]string{"Parent__r.External_Id__c": "Parent.External_Id__c", "Account__r.External_Id__c": "Account__r.External_Id__c", "Account__External_Id__c": "Account.External_Id__c"} {
			cfg := config.Object{Name: "Invoice__c", Fields: []string{"Account__r.External_Id__c", "Account.External_Id__c", "Parent__r.External_Id__c"}, Indexes: []string{name}}
			m, err := mapObject(t.Context(), org, cfg, "salesforce", false, nil)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			for _, f := range m.spec.Fields {
				if f.Indexed != (f.Name == index) {
					t.Errorf("%s: %s is indexed: %t", name, f.Name, f.Indexed)
				}
			}
		}
	})

	t.Run("ParentsOfOneObjectOrOfSeveral", func(t *testing.T) {
		t.Parallel()
		for want, to := range map[string][]string{"Account": {"Account"}, "": {"Account", "Invoice__c"}} {
			org := testOrg()
			org["Invoice__c"].Field("Account__c").ReferenceTo = to
			m, err := mapObject(t.Context(), org, config.Object{Name: "Invoice__c", Fields: []string{"Account__r.External_Id__c"}}, "salesforce", false, nil)
			if err != nil {
				t.Fatal(err)
			}
			of := func(c outbox.Column) bool { return c.RelationField == "External_Id__c" && c.RelationObject == want }
			if !slices.ContainsFunc(m.outbox.Columns, of) {
				t.Errorf("a lookup to %v: %+v", to, m.outbox.Columns)
			}
		}
	})

	t.Run("FreezesWhatItKnowsAndCannotSee", func(t *testing.T) {
		t.Parallel()
		for name, c := range map[string]struct {
			cfg    config.Object
			known  []string
			frozen []string
		}{
			"AllFields":   {config.Object{Name: "Account"}, []string{"Id", "Name", "Gone__c"}, []string{"Gone__c"}},
			"Indexed":     {config.Object{Name: "Account", Indexes: []string{"gone__c"}}, []string{"Id", "Name", "Gone__c"}, []string{"Gone__c"}},
			"NamedFields": {config.Object{Name: "Account", Fields: []string{"Name", "Gone__c"}}, []string{"Name", "Gone__c"}, []string{"Gone__c"}},
			"AnySpelling": {config.Object{Name: "Account", Fields: []string{"GONE__C", "name", "gone__c"}}, []string{"Name", "Gone__c"}, []string{"Gone__c"}},
			"NotWanted":   {config.Object{Name: "Account", Fields: []string{"Name"}}, []string{"Name", "Gone__c", "Gone__r.Key__c"}, nil},
			"AParentByR":  {config.Object{Name: "Account", Fields: []string{"Gone__r.Key__c"}}, []string{"Gone.Key__c"}, []string{"Gone.Key__c"}},
			"AParent":     {config.Object{Name: "Account", Fields: []string{"Gone__r.Key__c"}}, []string{"Gone__r.Key__c"}, []string{"Gone__r.Key__c"}},
		} {
			m, err := mapObject(t.Context(), testOrg(), c.cfg, "salesforce", false, c.known)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if !slices.Equal(m.frozen, c.frozen) || slices.Contains(m.fields, "Gone__c") {
				t.Errorf("%s: frozen %v, fields %v", name, m.frozen, m.fields)
			}
			var captured []string
			for _, column := range m.outbox.Columns {
				if column.Frozen {
					captured = append(captured, column.Field)
				}
			}
			if !slices.Equal(captured, c.frozen) {
				t.Errorf("%s: %v are captured, want %v", name, captured, c.frozen)
			}
		}
	})

	t.Run("ComparesWhatMatters", func(t *testing.T) {
		t.Parallel()
		resolve := func(change func(d *salesforce.Describe)) *mapping {
			org := testOrg()
			change(org["Account"])
			m, err := mapObject(t.Context(), org, config.Object{Name: "Account", Access: config.AccessReadWrite}, "salesforce", false, nil)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		before := resolve(func(*salesforce.Describe) {})
		if !before.equal(resolve(func(d *salesforce.Describe) { slices.Reverse(d.Fields) })) {
			t.Error("the order of the fields makes a difference")
		}
		for name, change := range map[string]func(*salesforce.Field){
			"Length": func(f *salesforce.Field) { f.Length++ }, "Type": func(f *salesforce.Field) { f.Type = "textarea" },
			"Name": func(f *salesforce.Field) { f.Name = "Other__c" }, "Updateable": func(f *salesforce.Field) { f.Updateable = false },
		} {
			if before.equal(resolve(func(d *salesforce.Describe) { change(d.Field("Name")) })) {
				t.Errorf("another %s makes no difference", name)
			}
		}
		replicates := resolve(func(d *salesforce.Describe) { d.Replicateable = true })
		if before.equal(replicates) || before.pollObject(nil).Replicates || !replicates.pollObject(nil).Replicates {
			t.Error("it makes no difference whether the object can be replicated")
		}
	})

	t.Run("Parents", func(t *testing.T) {
		t.Parallel()
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "Invoice__c"}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p := m.pollObject(nil).Parents; len(p) != 1 || p[0].Column != "account__c" || !slices.Equal(p[0].Objects, []string{"Account"}) {
			t.Errorf("parents %+v", p)
		}
	})

	for name, c := range map[string]struct {
		cfg  config.Object
		want string
	}{
		"NoObject":     {config.Object{Name: "Nonsense"}, "HC_OBJECTS"},
		"NoField":      {config.Object{Name: "Account", Fields: []string{"Naame"}}, "HC_OBJECT_ACCOUNT_FIELDS"},
		"Compound":     {config.Object{Name: "Account", Fields: []string{"BillingAddress"}}, "name its parts"},
		"NoSuchIndex":  {config.Object{Name: "Account", Indexes: []string{"Name", "Nope"}}, "no field Nope that is mapped: correct HC_OBJECT_ACCOUNT_INDEXES"},
		"IndexOfFile":  {config.Object{Name: "Account", Fields: []string{"Name"}, Indexes: []string{"Name", "Phone"}}, "index on Phone of Account, which is not among HC_OBJECT_ACCOUNT_FIELDS: correct the indexes in the file that HC_MAPPING_FILE names"},
		"NotExternal":  {config.Object{Name: "Account", ExternalID: "Name"}, "HC_OBJECT_ACCOUNT_EXTERNAL_ID"},
		"IdIsNoKey":    {config.Object{Name: "Account", ExternalID: "Id"}, "HC_OBJECT_ACCOUNT_EXTERNAL_ID"},
		"Article":      {config.Object{Name: "Knowledge__kav"}, "PublishStatus"},
		"BigObject":    {config.Object{Name: "Log__B"}, "big object"},
		"NoStamp":      {config.Object{Name: "Feed"}, "SystemModstamp"},
		"NoParent":     {config.Object{Name: "Invoice__c", Fields: []string{"Owner.Name"}}, "HC_OBJECT_INVOICE__C_FIELDS"},
		"ParentNotKey": {config.Object{Name: "Invoice__c", Fields: []string{"Account__r.Name"}}, "not an external id"},
	} {
		t.Run("Refuses"+name, func(t *testing.T) {
			t.Parallel()
			_, err := mapObject(t.Context(), testOrg(), c.cfg, "salesforce", false, nil)
			var me *mappingError
			if !errors.As(err, &me) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a mapping error about %s", err, c.want)
			}
		})
	}
}

// All objects are described by one call, and where the org refuses that, or one of them,
// one by one.
func TestDescribeAll(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	client, err := salesforce.New(salesforce.Config{
		LoginURL: sf.URL(), Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	objects := []config.Object{{Name: "account"}, {Name: "Contact"}, {Name: "Nonsense__c"}}
	for _, refused := range []bool{false, true} {
		want := 2 // one for all, and one for that which is not there
		if refused {
			want = 3 // the refused one does not count
			sf.Fault(org.Fault{Path: `/composite$`, Verb: org.Reject, Status: 403, Body: `[{"message":"no","errorCode":"API_DISABLED_FOR_ORG"}]`})
		}
		before, _ := sf.Usage()
		d, err := describeAll(t.Context(), client, objects)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			account, err := d.Describe(t.Context(), "Account")
			_, none := d.Describe(t.Context(), "nonsense__c")
			if _, err := d.Describe(t.Context(), "Contact"); err != nil {
				t.Error(err)
			}
			if err != nil || account.Name != "Account" || salesforce.CodeOf(none) != salesforce.CodeNotFound {
				t.Errorf("refused %v: %v, %v", refused, err, none)
			}
		}
		if after, _ := sf.Usage(); after-before != want {
			t.Errorf("refused %v: %d calls, want %d", refused, after-before, want)
		}
	}
}
