package outbox

import "testing"

// Of two rows with one external id, or two that Salesforce takes for one, the second is
// not sent, as its upsert would write over the record of the first. One that takes over
// what another gives up is.
func TestPlanOfTwins(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		log  []string
		want string // in both modes
		with func(*Column, *backlog)
	}{
		"in another case": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC", "INSERT account/3 - : external_id__c=>abd"},
			want: "DUPLICATE_EXTERNAL_ID 2; upsert account 1 3",
		},
		"in another case, which matters": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "upsert account 1; upsert account 2",
			with: func(c *Column, _ *backlog) { c.Cased = true },
		},
		"the same where case matters": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>abc"},
			want: "DUPLICATE_EXTERNAL_ID 2; upsert account 1",
			with: func(c *Column, _ *backlog) { c.Cased = true },
		},
		"of a record that has it": {
			log:  []string{"UPDATE account/1 001 : name=>b | name=>a, external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "DUPLICATE_EXTERNAL_ID 2; update account 1",
		},
		"of a record that gets it": {
			log:  []string{"UPDATE account/1 001 : external_id__c=>abc | external_id__c=>x", "INSERT account/2 - : external_id__c=>ABC"},
			want: "DUPLICATE_EXTERNAL_ID 2; update account 1",
		},
		"of one that gives it up": {
			log:  []string{"UPDATE account/1 001 : external_id__c=>x | external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "update account 1; upsert account 2",
		},
		"of one that is deleted": {
			log:  []string{"DELETE account/1 001 :  | external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "delete account 1; upsert account 2",
		},
		"with a child, which waits": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC", "INSERT contact/1 - : account__external_id__c=>ABC"},
			want: "DUPLICATE_EXTERNAL_ID 2; upsert account 1",
		},
		"that may have been sent": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "upsert account 1; upsert account 2",
			with: func(_ *Column, b *backlog) { b.entries[1].message = CodeInDoubt },
		},
		"of a row that is gone": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "ignore-DELETE account/1 - :  | external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "upsert account 1; upsert account 3",
			with: func(_ *Column, b *backlog) {
				b.entries[0].message = CodeInDoubt
				delete(b.rows, key{"account", 1})
			},
		},
		"behind changes that are not read": {
			log:  []string{"INSERT account/1 - : external_id__c=>abc", "INSERT account/2 - : external_id__c=>ABC"},
			want: "upsert account 1",
			with: func(_ *Column, b *backlog) { b.cut = 1 },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, mode := range []bool{false, true} {
				tables, b := testTables(), logOf(t, c.log...)
				tables[0].ExternalID = "External_Id__c"
				if c.with != nil {
					c.with(tables[0].external(), &b)
				}
				if got := show(testPlanner(mode, tables).plan(b)); got != c.want {
					t.Errorf("merged %v:\n got %s\nwant %s", mode, got, c.want)
				}
			}
		})
	}
}

// The refused row shows why, and the record of the other keeps its values.
func TestTwins(t *testing.T) {
	t.Parallel()
	b := setup(t, withExternalID)
	b.exec(`INSERT INTO salesforce.account (name, external_id__c) VALUES ('first', 'abc'), ('second', 'ABC')`)
	b.drain()
	b.want("rows", b.list(`SELECT concat_ws('|', name, sfid, _hc_lastop, _hc_err::json->>'code') FROM salesforce.account ORDER BY id`),
		"first|acc000000000001AAA|INSERTED second|FAILED|DUPLICATE_EXTERNAL_ID")
	b.want("log", b.live(), "INSERT/FAILED")
	b.want("record", b.name(), "first")
	b.want("message", b.one(`SELECT sf_message LIKE 'DUPLICATE_EXTERNAL_ID: the row with id 1 has the same External_Id__c%' FROM salesforce._trigger_log`), "true")

	b.exec(`UPDATE salesforce.account SET external_id__c = 'xyz' WHERE name = 'second'; SELECT salesforce.hc_capture_insert_from_row(hstore(salesforce.account.*), 'account') FROM salesforce.account WHERE name = 'second'`)
	b.drain()
	b.want("with another", b.list(`SELECT concat_ws('|', name, sfid, _hc_lastop) FROM salesforce.account ORDER BY id`), "first|acc000000000001AAA|INSERTED second|acc000000000002AAA|INSERTED")
	b.want("log in the end", b.live(), "")
}
