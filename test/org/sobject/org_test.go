package sobject

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

// bundle is an org whose clock stands still until told.
type bundle struct {
	*Org
	mu  sync.Mutex
	now time.Time
	txs []Tx
}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	b := &bundle{now: time.Date(2024, 5, 1, 12, 0, 0, 123e6, time.UTC)}
	b.Org = NewOrg(NewMemory(), func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	})
	b.Watch(func(tx Tx) { b.txs = append(b.txs, tx) })
	return b
}

func (b *bundle) tick(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

func (b *bundle) do(op Op) Result { return b.Commit(Origin{API: "rest"}, true, []Op{op})[0] }

func (b *bundle) create(t *testing.T, object string, fields map[string]any) string {
	t.Helper()
	r := b.do(Op{Kind: Insert, Object: object, Fields: fields})
	if r.Err != nil {
		t.Fatalf("create %s: %v", object, r.Err)
	}
	return r.ID
}

func (b *bundle) get(t *testing.T, object, id, field string) any {
	t.Helper()
	r, ok := b.Store().Get(object, id)
	if !ok {
		t.Fatalf("no %s %s", object, id)
	}
	return r.Get(b.Store().Object(object), field)
}

func check(t *testing.T, what string, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

type fields = map[string]any

func TestCreate(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	id := b.create(t, "account", fields{"attributes": fields{"type": "Account"}, "NAME": " Acme ", "AnnualRevenue": json.Number("10.99"), "Phone": ""})
	check(t, "prefix", id[:3], "001")
	check(t, "name", b.get(t, "Account", id, "Name"), "Acme")
	check(t, "revenue", b.get(t, "Account", id, "AnnualRevenue"), json.Number("10"))
	check(t, "phone", b.get(t, "Account", id, "Phone"), nil)
	check(t, "owner", b.get(t, "Account", id, "OwnerId"), b.Admin())
	check(t, "creator", b.get(t, "Account", id, "CreatedById"), b.Admin())
	check(t, "stamp", b.get(t, "Account", id, "SystemModstamp"), b.now.Truncate(time.Second))
	check(t, "deleted", b.get(t, "Account", id, "IsDeleted"), false)
	check(t, "id", b.get(t, "Account", id, "Id"), id)

	b.tick(90 * time.Second)
	got := b.Commit(Origin{UserID: b.Integration()}, true, []Op{{Kind: Update, Object: "Account", ID: id[:15], Fields: fields{"BillingCity": "Ulm"}}})[0]
	check(t, "update", got, Result{ID: id})
	check(t, "modifier", b.get(t, "Account", id, "LastModifiedById"), b.Integration())
	check(t, "creator stays", b.get(t, "Account", id, "CreatedById"), b.Admin())
	check(t, "created", b.get(t, "Account", id, "CreatedDate"), b.now.Add(-90*time.Second).Truncate(time.Second))
	check(t, "modified", b.get(t, "Account", id, "LastModifiedDate"), b.now.Truncate(time.Second))
	r, _ := b.Store().Get("Account", id)
	check(t, "writes", r.Writes, 2)
	address, err := json.Marshal(b.get(t, "Account", id, "BillingAddress"))
	if err != nil || !strings.Contains(string(address), `"city":"Ulm"`) || !strings.Contains(string(address), `"geocodeAccuracy":null`) {
		t.Errorf("address is %s, %v", address, err)
	}
	check(t, "no address", b.get(t, "Account", id, "ShippingAddress"), nil)

	person := b.create(t, "Contact", fields{"FirstName": "Josh", "LastName": "Davis", "Salutation": "Mr."})
	check(t, "compound name", b.get(t, "Contact", person, "Name"), "Mr. Josh Davis")
	every := b.create(t, "Every__c", fields{"Text__c": "x", "Loc__Latitude__s": 1.5, "Loc__Longitude__s": "2"})
	check(t, "auto number", b.get(t, "Every__c", every, "Auto__c"), "E-0001")
	check(t, "formula", b.get(t, "Every__c", every, "Formula__c"), "<x>")
	check(t, "default name", b.get(t, "Every__c", every, "Name"), every[:15])
	location, err := json.Marshal(b.get(t, "Every__c", every, "Loc__c"))
	check(t, "location", string(location), `{"latitude":1.5,"longitude":2.0}`)
	check(t, "error", err, nil)
}

func TestRefusals(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	acc := b.create(t, "Account", fields{"Name": "A", "External_Id__c": "K1"})
	gone := b.create(t, "Account", fields{"Name": "B"})
	b.do(Op{Kind: Delete, Object: "Account", ID: gone})
	purged := b.create(t, "Account", fields{"Name": "C"})
	b.do(Op{Kind: Purge, Object: "Account", ID: purged})
	inv := b.create(t, "Invoice__c", fields{})
	line := b.create(t, "Line__c", fields{"Invoice__c": inv})
	for _, n := range []string{"1", "2"} {
		b.create(t, "Every__c", fields{"Legacy_Key__c": "same", "Text__c": n})
	}
	long := strings.Repeat("x", 256)
	wrong := acc[:17] + "1"
	insert := func(object string, f fields) Op { return Op{Kind: Insert, Object: object, Fields: f} }
	account := func(f fields) Op {
		if _, ok := f["Name"]; !ok {
			f["Name"] = "N"
		}
		return insert("Account", f)
	}
	none := []string{}
	tests := []struct {
		name string
		op   Op
		want Error
	}{
		{"required", insert("Account", fields{"Phone": "1"}), Error{400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", []string{"Name"}, nil}},
		{"required null", insert("Account", fields{"Name": " "}), Error{400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", []string{"Name"}, nil}},
		{"required on update", Op{Kind: Update, Object: "Account", ID: acc, Fields: fields{"Name": nil}}, Error{400, "REQUIRED_FIELD_MISSING", "Required fields are missing: [Name]", []string{"Name"}, nil}},
		{"unknown field", account(fields{"FavoritePet__c": "x"}), Error{400, "INVALID_FIELD", "No such column 'FavoritePet__c' on sobject of type Account", nil, nil}},
		{"id in body", account(fields{"Id": acc}), Error{400, "INVALID_FIELD", "The Id field should not be specified in the sobject data.", nil, nil}},
		{"read-only", account(fields{"SystemModstamp": "2024-01-01T00:00:00Z", "CreatedById": acc}), Error{400, "INVALID_FIELD_FOR_INSERT_UPDATE", "Unable to create/update fields: CreatedById, SystemModstamp. Please check the security settings of this field and verify that it is read/write for your profile or permission set.", []string{"CreatedById", "SystemModstamp"}, nil}},
		{"compound name", insert("Contact", fields{"Name": "x", "LastName": "y"}), *ErrReadOnly([]string{"Name"})},
		{"formula", insert("Every__c", fields{"Formula__c": "x"}), *ErrReadOnly([]string{"Formula__c"})},
		{"reparenting", Op{Kind: Update, Object: "Line__c", ID: line, Fields: fields{"Invoice__c": inv}}, *ErrReadOnly([]string{"Invoice__c"})},
		{"too long", account(fields{"Name": long}), Error{400, "STRING_TOO_LONG", "Account Name: data value too large: " + long + " (max length=255)", []string{"Name"}, nil}},
		{"picklist", insert("Every__c", fields{"Pick__c": "Terrible"}), Error{400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Pick: bad value for restricted picklist field: Terrible", []string{"Pick__c"}, nil}},
		{"multi picklist", insert("Every__c", fields{"Multi__c": "Alpha;Nope"}), Error{400, "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", "Multi: bad value for restricted picklist field: Nope", []string{"Multi__c"}, nil}},
		{"email", insert("Contact", fields{"LastName": "x", "Email": "Not a real email address"}), Error{400, "INVALID_EMAIL_ADDRESS", "Email: invalid email address: Not a real email address", []string{"Email"}, nil}},
		{"range", insert("Opportunity", fields{"Amount": json.Number("1e20"), "Name": "x", "StageName": "y", "CloseDate": "2024-01-01"}), Error{400, "NUMBER_OUTSIDE_VALID_RANGE", "Amount: value outside of valid range on numeric field: 1.0E20", []string{"Amount"}, nil}},
		{"latitude", insert("Every__c", fields{"Loc__Latitude__s": 91, "Loc__Longitude__s": 0}), Error{400, "NUMBER_OUTSIDE_VALID_RANGE", "Loc (Latitude): value outside of valid range on numeric field: 91.0", []string{"Loc__Latitude__s"}, nil}},
		{"half a location", insert("Every__c", fields{"Loc__Latitude__s": 9}), Error{400, "FIELD_INTEGRITY_EXCEPTION", "Loc: latitude and longitude must both have a value or both be empty", []string{"Loc__Longitude__s"}, nil}},
		{"datetime", insert("Every__c", fields{"Datetime__c": "yesterday"}), Error{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of datetime from VALUE_STRING value yesterday or request may be missing a required field at [line:1, column:2]", nil, nil}},
		{"date", insert("Every__c", fields{"Date__c": "2023-02-29"}), Error{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of date from VALUE_STRING value 2023-02-29 or request may be missing a required field at [line:1, column:2]", nil, nil}},
		{"null checkbox", insert("Every__c", fields{"Check__c": nil}), Error{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of boolean from VALUE_NULL value null or request may be missing a required field at [line:1, column:2]", nil, nil}},
		{"number for text", insert("Every__c", fields{"Text__c": json.Number("5")}), Error{400, "JSON_PARSER_ERROR", "Cannot deserialize instance of string from VALUE_NUMBER_INT value 5 or request may be missing a required field at [line:1, column:2]", nil, nil}},
		{"malformed id", Op{Kind: Update, Object: "Account", ID: wrong}, Error{400, "MALFORMED_ID", "Record ID: id value of incorrect type: " + wrong, []string{"Id"}, nil}},
		{"other object's id", Op{Kind: Update, Object: "Contact", ID: acc}, Error{400, "MALFORMED_ID", "Record ID: id value of incorrect type: " + acc, []string{"Id"}, nil}},
		{"malformed id in collections delete", Op{Kind: Delete, ID: wrong}, Error{400, "MALFORMED_ID", "malformed id " + wrong, none, nil}},
		{"malformed reference", insert("Contact", fields{"LastName": "x", "AccountId": wrong}), Error{400, "MALFORMED_ID", "Account ID: id value of incorrect type: " + wrong, []string{"AccountId"}, nil}},
		{"reference of wrong type", insert("Contact", fields{"LastName": "x", "AccountId": inv}), Error{400, "MALFORMED_ID", "Account ID: id value of incorrect type: " + inv, []string{"AccountId"}, nil}},
		{"dangling reference", insert("Contact", fields{"LastName": "x", "AccountId": purged}), Error{400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []string{"AccountId"}, nil}},
		{"reference to deleted", insert("Contact", fields{"LastName": "x", "AccountId": gone}), Error{400, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", []string{"AccountId"}, nil}},
		{"update deleted", Op{Kind: Update, Object: "Account", ID: gone}, Error{404, "ENTITY_IS_DELETED", "entity is deleted", none, nil}},
		{"delete deleted", Op{Kind: Delete, Object: "Account", ID: gone}, Error{404, "ENTITY_IS_DELETED", "entity is deleted", none, nil}},
		{"update purged", Op{Kind: Update, Object: "Account", ID: purged}, Error{404, "INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", none, nil}},
		{"unknown object", insert("Nope", nil), Error{404, "NOT_FOUND", "The requested resource does not exist", nil, nil}},
		{"duplicate", account(fields{"External_Id__c": "k1"}), Error{400, "DUPLICATE_VALUE", "duplicate value found: External_Id__c duplicates value on record with id: " + acc[:15], none, nil}},
		{"no external id", Op{Kind: Upsert, Object: "Account", ExternalID: "Namez", Fields: fields{"Namez": "1"}}, Error{404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Namez", nil, nil}},
		{"not an external id", Op{Kind: Upsert, Object: "Account", ExternalID: "Phone", Fields: fields{"Phone": "1"}}, Error{404, "NOT_FOUND", "Provided external ID field does not exist or is not accessible: Phone", nil, nil}},
		{"external id missing", Op{Kind: Upsert, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"Name": "1"}}, Error{400, "MISSING_ARGUMENT", "External_Id__c not specified", none, nil}},
		{"foreign key", insert("Invoice__c", fields{"Account__r": fields{"External_Id__c": "0116"}}), Error{400, "INVALID_FIELD", "Foreign key external ID: 0116 not found for field External_Id__c in entity Account", nil, nil}},
		{"unknown relationship", insert("Invoice__c", fields{"Accounts__r": fields{"External_Id__c": "0116"}}), Error{400, "INVALID_FIELD", "No such column 'Accounts__r' on sobject of type Invoice__c", nil, nil}},
		{"update only", Op{Kind: Upsert, UpdateOnly: true, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"External_Id__c": "new"}}, *ErrNotFound()},
		{"delete user", Op{Kind: Delete, Object: "User", ID: b.Admin()}, Error{400, "INSUFFICIENT_ACCESS_OR_READONLY", "entity type cannot be deleted: User", none, nil}},
	}
	before := len(b.txs)
	for _, tt := range tests {
		got := b.do(tt.op)
		if got.Err == nil || !reflect.DeepEqual(*got.Err, tt.want) {
			t.Errorf("%s: got %#v, want %#v", tt.name, got.Err, tt.want)
		}
		if tt.op.Kind == Insert && got.ID != "" {
			t.Errorf("%s: a refused create has id %s", tt.name, got.ID)
		}
	}
	got := b.do(Op{Kind: Upsert, Object: "Every__c", ExternalID: "Legacy_Key__c", Fields: fields{"Legacy_Key__c": "SAME"}})
	if got.Err == nil || got.Err.Status != 300 || got.Err.Code != "DUPLICATE_EXTERNAL_ID" || len(got.Err.Matches) != 2 {
		t.Errorf("two matches gave %#v", got.Err)
	}
	check(t, "transactions of refusals", len(b.txs), before)
}

func TestUpsert(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	upsert := func(f fields) Result {
		return b.do(Op{Kind: Upsert, Object: "Account", ExternalID: "external_id__c", Fields: f})
	}
	first := upsert(fields{"External_Id__c": " Key ", "Name": "A"})
	check(t, "created", first.Created, true)
	check(t, "again", upsert(fields{"External_Id__c": "KEY", "Phone": "1"}), Result{ID: first.ID})
	check(t, "phone", b.get(t, "Account", first.ID, "Phone"), "1")
	b.do(Op{Kind: Delete, Object: "Account", ID: first.ID})
	second := upsert(fields{"External_Id__c": "Key", "Name": "B"})
	check(t, "deleted records do not match", second.Created, true)
	got := b.do(Op{Kind: Undelete, ID: first.ID})
	if got.Err == nil || got.Err.Code != "DUPLICATE_VALUE" {
		t.Errorf("undelete of a taken key gave %v", got.Err)
	}
	byID := b.do(Op{Kind: Upsert, Object: "Account", ExternalID: "Id", Fields: fields{"Name": "C"}})
	check(t, "by id, created", byID.Created, true)
	check(t, "by id, updated", b.do(Op{Kind: Upsert, Object: "Account", ExternalID: "Id", Fields: fields{"Id": byID.ID, "Name": "D"}}), Result{ID: byID.ID})
	check(t, "name", b.get(t, "Account", byID.ID, "Name"), "D")
	inv := b.create(t, "Invoice__c", fields{"Account__r": fields{"external_id__c": "key"}})
	check(t, "parent by external id", b.get(t, "Invoice__c", inv, "Account__c"), second.ID)

	// Case-sensitive keys are two keys, numbers match by value.
	b.create(t, "Every__c", fields{"Code__c": "a", "Number_Key__c": 5})
	b.create(t, "Every__c", fields{"Code__c": "A"})
	if got := b.do(Op{Kind: Upsert, Object: "Every__c", ExternalID: "Number_Key__c", Fields: fields{"Number_Key__c": json.Number("5.0")}}); got.Created || got.Err != nil {
		t.Errorf("upsert by number gave %v", got)
	}
}

func TestTransaction(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	kept := b.create(t, "Account", fields{"Name": "kept"})
	ops := []Op{
		{Kind: Insert, Object: "Account", Fields: fields{"Name": "good", "External_Id__c": "1"}},
		{Kind: Update, Object: "Account", ID: kept, Fields: fields{"Name": "changed"}},
		{Kind: Insert, Object: "Account", Fields: fields{"Name": "twin", "External_Id__c": "1"}},
	}
	n := b.Store().Len("Account")
	got := b.Commit(Origin{}, true, ops)
	check(t, "rolled back create", got[0], Result{Err: errRolledBack()})
	check(t, "rolled back update", got[1], Result{ID: kept, Err: errRolledBack()})
	check(t, "culprit", got[2].Err.Code, "DUPLICATE_VALUE")
	check(t, "count", b.Store().Len("Account"), n)
	check(t, "name", b.get(t, "Account", kept, "Name"), "kept")

	got = b.Commit(Origin{API: "bulk", Client: "x"}, false, ops)
	check(t, "create", got[0].Err, (*Error)(nil))
	check(t, "update", got[1].Err, (*Error)(nil))
	check(t, "twin", got[2].Err.Message, "duplicate value found: External_Id__c duplicates value on record with id: "+got[0].ID[:15])
	tx := b.txs[len(b.txs)-1]
	check(t, "changes", len(tx.Changes), 2)
	check(t, "origin", tx.Origin, Origin{UserID: b.Admin(), API: "bulk", Client: "x"})
	check(t, "before", tx.Changes[1].Before.Get(tx.Changes[1].Object, "Name"), "kept")
	check(t, "after", tx.Changes[1].After.Get(tx.Changes[1].Object, "Name"), "changed")

	// A value given up in the transaction can be taken again in it, and a
	// record made in it can be changed in it.
	got = b.Commit(Origin{}, true, []Op{
		{Kind: Update, Object: "Account", ID: got[0].ID, Fields: fields{"External_Id__c": nil}},
		{Kind: Insert, Object: "Account", Fields: fields{"Name": "heir", "External_Id__c": "1"}},
		{Kind: Upsert, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"Phone": "7", "External_Id__c": "1"}},
	})
	check(t, "handed over", []any{got[0].Err, got[1].Err, got[2].Err}, []any{(*Error)(nil), (*Error)(nil), (*Error)(nil)})
	check(t, "same record", got[2].ID, got[1].ID)
	check(t, "created date", b.get(t, "Account", got[1].ID, "CreatedDate"), b.now.Truncate(time.Second))

	got = b.Commit(Origin{}, false, []Op{
		{Kind: Update, Object: "Account", ID: kept, Fields: fields{"Phone": "1"}},
		{Kind: Update, Object: "Account", ID: kept[:15], Fields: fields{"Phone": "2"}},
		{Kind: Upsert, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"External_Id__c": "d", "Name": "x"}},
		{Kind: Upsert, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"External_Id__c": "D", "Name": "x"}},
	})
	for i, code := range []string{"", "DUPLICATE_VALUE", "DUPLICATE_VALUE", "DUPLICATE_VALUE"} {
		if (got[i].Err == nil) != (code == "") {
			t.Errorf("repeated operation %d gave %v, want %q", i, got[i].Err, code)
		}
	}
}

func TestDeleteCascades(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	inv := b.create(t, "Invoice__c", fields{})
	kept := b.create(t, "Line__c", fields{"Invoice__c": inv})
	before := b.create(t, "Line__c", fields{"Invoice__c": inv})
	b.do(Op{Kind: Delete, ID: before})
	b.tick(time.Minute)
	check(t, "delete", b.do(Op{Kind: Delete, ID: inv}).Err, (*Error)(nil))
	tx := b.txs[len(b.txs)-1]
	check(t, "changes", len(tx.Changes), 2)
	check(t, "own", tx.Changes[0].Cascade, false)
	check(t, "cascade", tx.Changes[1].Cascade, true)
	check(t, "deleted", b.get(t, "Line__c", kept, "IsDeleted"), true)
	check(t, "live", b.Store().Len("Line__c"), 0)
	check(t, "log", b.Deletions("line__c", b.now.Add(-time.Second), b.now), []Deletion{{kept, b.now.Truncate(time.Second)}})

	b.tick(time.Minute)
	check(t, "undelete", b.do(Op{Kind: Undelete, ID: inv}).Err, (*Error)(nil))
	check(t, "back", b.get(t, "Line__c", kept, "IsDeleted"), false)
	check(t, "deleted on its own", b.get(t, "Line__c", before, "IsDeleted"), true)
	check(t, "stamp", b.get(t, "Line__c", kept, "SystemModstamp"), b.now.Truncate(time.Second))
	check(t, "not in the bin", b.do(Op{Kind: Undelete, ID: inv}).Err.Code, "UNDELETE_FAILED")

	check(t, "purge", b.do(Op{Kind: Purge, ID: inv}).Err, (*Error)(nil))
	if _, ok := b.Store().Get("Line__c", kept); ok {
		t.Errorf("the line outlived its purged invoice")
	}
	check(t, "log of purge", len(b.Deletions("Invoice__c", time.Time{}, b.now)), 2)
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.Before(func(d *Draft) error {
		if d.Object.Name != "Account" {
			return nil
		}
		switch d.Get("Name") {
		case "bad":
			return errors.New("no bad names")
		case "locked":
			return &Error{Status: 400, Code: "UNABLE_TO_LOCK_ROW", Message: "unable to obtain exclusive access", Fields: []string{}}
		case "late":
			d.Tx.At = d.Tx.At.Add(-30 * time.Second)
		}
		return d.Set("Description", "seen "+d.Kind.String())
	})
	id := b.create(t, "Account", fields{"Name": "late"})
	check(t, "description", b.get(t, "Account", id, "Description"), "seen insert")
	check(t, "stamp", b.get(t, "Account", id, "SystemModstamp"), b.now.Add(-30*time.Second).Truncate(time.Second))
	check(t, "refusal", b.do(Op{Kind: Update, ID: id, Object: "Account", Fields: fields{"Name": "bad"}}).Err, ErrValidation("no bad names"))
	check(t, "name", b.get(t, "Account", id, "Name"), "late")
	check(t, "lock", b.do(Op{Kind: Update, ID: id, Object: "Account", Fields: fields{"Name": "locked"}}).Err.Code, "UNABLE_TO_LOCK_ROW")
}

// What a request without allOrNone keeps is executed anew for each time that
// something of it was refused.
func TestTriggersRunAgain(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.RunAgain(true)
	seen := map[string]int{}
	b.Before(func(d *Draft) error {
		name, _ := d.Get("Name").(string)
		seen[name]++
		if name == "bad" || name == "worse" && seen["good"] > 1 {
			return errors.New("no")
		}
		return d.Set("Description", fmt.Sprint(seen[name]))
	})
	insert := func(name string) Op { return Op{Kind: Insert, Object: "Account", Fields: fields{"Name": name}} }
	results := b.Commit(Origin{}, false, []Op{insert("good"), insert("bad"), insert("worse")})
	check(t, "refused", [3]bool{results[0].Err != nil, results[1].Err != nil, results[2].Err != nil}, [3]bool{false, true, true})
	check(t, "description", b.get(t, "Account", results[0].ID, "Description"), "3")
	check(t, "records", len(b.Store().Lookup("Account", "Name", "good")), 1)
	check(t, "seen", fmt.Sprint(seen), "map[bad:1 good:3 worse:2]")
	seen = map[string]int{}
	results = b.Commit(Origin{}, true, []Op{insert("other"), insert("bad")})
	check(t, "rolled back", results[0].Err.Code, "ALL_OR_NONE_OPERATION_ROLLED_BACK")
	check(t, "seen", fmt.Sprint(seen), "map[bad:1 other:1]")
}

func TestAccessAndNewFields(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	old := b.create(t, "Invoice__c", fields{})
	b.SetAccess(func(user string, ob *Object, f *Field) (bool, bool) {
		return user != b.Integration() || f.Name != "Notes__c", user != b.Integration() || f.Name != "Amount__c"
	})
	try := func(f fields) *Error {
		return b.Commit(Origin{UserID: b.Integration()}, true, []Op{{Kind: Insert, Object: "Invoice__c", Fields: f}})[0].Err
	}
	check(t, "hidden", try(fields{"Notes__c": "x"}), ErrNoColumn("Notes__c", "Invoice__c"))
	check(t, "read-only", try(fields{"Amount__c": 1}), ErrReadOnly([]string{"Amount__c"}))
	check(t, "allowed", try(fields{"Paid__c": true}), (*Error)(nil))

	b.Store().Define(b.Store().Object("Invoice__c").With(checkbox("New__c", "New", true), externalID("Key2__c", "Key", 10)))
	check(t, "default of old records", b.get(t, "Invoice__c", old, "New__c"), true)
	check(t, "update", b.do(Op{Kind: Update, Object: "Invoice__c", ID: old, Fields: fields{"Key2__c": "k"}}).Err, (*Error)(nil))
	check(t, "indexed", len(b.Store().Lookup("Invoice__c", "Key2__c", "K")), 1)
	check(t, "child of account", len(b.Store().Object("Account").Children) > 0, true)
	if got := b.Store().Object("Invoice__c").Children; len(got) == 0 {
		t.Errorf("a redefined object lost its children")
	}
}

// Watchers see transactions in order while many goroutines commit and read.
func TestConcurrency(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				b.do(Op{Kind: Upsert, Object: "Account", ExternalID: "External_Id__c", Fields: fields{"External_Id__c": string(rune('a' + g%4)), "Name": "x"}})
				b.Store().ScanStamp("Account", time.Time{}, func(Record) bool { return true })
				b.Store().Scan("Account", "", func(Record) bool { return true })
				b.Store().Lookup("Account", "External_Id__c", "a")
			}
		}()
	}
	wg.Wait()
	check(t, "accounts", b.Store().Len("Account"), 4)
	check(t, "transactions", len(b.txs), 400)
	for i, tx := range b.txs {
		if tx.Seq != uint64(i)+2 { // the first seeded the org
			t.Fatalf("transaction %d has number %d", i, tx.Seq)
		}
	}
	nonces := map[uint64]bool{}
	writes := 0
	b.Store().Scan("Account", "", func(r Record) bool {
		nonces[r.Nonce] = true
		writes += r.Writes
		return true
	})
	check(t, "nonces", len(nonces), 4)
	check(t, "writes", writes, 400)
}
