package outbox

import "testing"

// namesakes are the test tables, where contacts have an external id by the name of
// the accounts' too.
func namesakes() []Table {
	tables := testTables()
	tables[1].Columns = append(tables[1].Columns, rw("external_id__c", "External_Id__c", "string"))
	return tables
}

// setupNamesakes has external ids of an SQL type, and the account 1 that is in
// Salesforce.
func setupNamesakes(t *testing.T, kind string, tables []Table) *bundle {
	t.Helper()
	b := setup(t)
	b.exec(`ALTER TABLE salesforce.account ALTER external_id__c TYPE ` + kind + ` USING NULL;
		ALTER TABLE salesforce.contact ALTER account__external_id__c TYPE ` + kind + ` USING NULL, ADD external_id__c ` + kind)
	b.install(tables)
	b.restart(func(c *Config) { c.Tables = tables })
	b.hex(`INSERT INTO salesforce.account (name, external_id__c, sfid) VALUES ('there', '1', '001')`)
	b.sf.records["001"], b.sf.objects["001"] = map[string]any{"External_Id__c": "1"}, "Account"
	return b
}

func TestNamesakesOfParents(t *testing.T) {
	t.Parallel()
	duplicate := Failure{Class: Permanent, Code: codeDuplicate, Message: "duplicate value found"}
	lastName := func(name string) func(Call, Record) bool {
		return func(_ Call, r Record) bool { return r.Fields["LastName"] == name }
	}

	t.Run("a refused record of another object holds up no child", func(t *testing.T) {
		t.Parallel()
		b := setupNamesakes(t, "varchar(255)", namesakes())
		b.sf.script(refuse(1, duplicate, lastName("refused")))
		b.exec(`INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('refused', '1')`)
		b.drain()
		b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', '1')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED")
		b.want("archive", b.archived(), "INSERT/SUCCESS")
	})

	for _, kind := range []string{"varchar(255)", "double precision"} {
		t.Run("nor does a refused twin of its parent: "+kind, func(t *testing.T) {
			t.Parallel()
			b := setupNamesakes(t, kind, namesakes())
			b.sf.script(refuse(1, duplicate, named("twin")))
			b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('twin', '1');
				INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', '1')`)
			b.drain()
			b.want("log", b.live(), "INSERT/FAILED")
			b.want("archive", b.archived(), "INSERT/SUCCESS")
		})
	}

	t.Run("a child waits for its own parent, whatever has its external id besides", func(t *testing.T) {
		t.Parallel()
		b := setupNamesakes(t, "varchar(255)", namesakes())
		b.hex(`INSERT INTO salesforce.contact (lastname, external_id__c, sfid) VALUES ('there', '2', '003')`)
		b.sf.script(refuse(1, duplicate, named("refused")))
		b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('refused', '2'), ('unsent', NULL);
			INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', '2')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED INSERT/NEW")
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
		b.drain()
		b.want("log", b.live(), "")
		b.want("rows", b.list(`SELECT DISTINCT _hc_lastop FROM salesforce.contact WHERE lastname = 'child'`), "INSERTED")
	})

	t.Run("of a lookup to several objects it waits for a record of any", func(t *testing.T) {
		t.Parallel()
		tables := namesakes()
		tables[1].Columns[2].RelationObject = ""
		b := setupNamesakes(t, "varchar(255)", tables)
		b.sf.script(refuse(1, duplicate, lastName("refused")))
		b.exec(`INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('refused', '2')`)
		b.drain()
		b.exec(`INSERT INTO salesforce.contact (lastname, account__external_id__c) VALUES ('child', '2')`)
		b.drain()
		b.want("log", b.live(), "INSERT/FAILED INSERT/NEW")
		b.exec(`UPDATE salesforce._trigger_log SET state = 'NEW' WHERE state = 'FAILED'`)
		b.drain()
		b.want("log", b.live(), "")
	})
}

// A circle that only namesakes close is none: there the child would go first, and
// be refused.
func TestPlanOfNamesakes(t *testing.T) {
	t.Parallel()
	tables := append(namesakes(), Table{Object: "Region__c", Name: "region__c", ReadWrite: true, Columns: []Column{rw("external_id__c", "External_Id__c", "string")}})
	tables[0].Columns = append(tables[0].Columns, Column{
		Name: "region__r__external_id__c", Field: "Region__r.External_Id__c", Type: "string", Createable: true, Updateable: true,
		Relationship: "Region__r", RelationObject: "Region__c", RelationField: "External_Id__c",
	})
	log := []string{
		"INSERT account/1 - : external_id__c=>1, region__r__external_id__c=>1",
		"INSERT contact/1 - : external_id__c=>1, account__external_id__c=>1",
		"INSERT region__c/1 - : external_id__c=>1",
	}
	for _, merged := range []bool{false, true} {
		got := show(testPlanner(merged, tables).plan(logOf(t, log...)))
		if want := "insert region__c 3; insert account 1; insert contact 2"; got != want {
			t.Errorf("merged %v:\n got %s\nwant %s", merged, got, want)
		}
	}
}
