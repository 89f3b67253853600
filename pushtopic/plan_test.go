package pushtopic

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestName(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		"Account":                 "hc_Account",
		"Invoice__c":              "hc_Invoice__c",
		"ServiceContractLines__c": "hc_ServiceContra_d94bbe48", // the hash must never change
		"Exactly22Characters__c":  "hc_Exactly22Characters__c",
	} {
		if got := Name(object); got != want || len(got) > 25 {
			t.Errorf("%s: got %s, want %s", object, got, want)
		}
	}
	if got, want := Channel("hc_Account"), "/topic/hc_Account"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestNameIsShortAndDistinct(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		object := rapid.StringMatching(`[A-Za-z][A-Za-z0-9_]{0,60}`)
		a, b := object.Draw(t, "a"), object.Draw(t, "b")
		if len(Name(a)) > 25 || !strings.HasPrefix(Name(a), "hc_") {
			t.Errorf("%s has name %s", a, Name(a))
		}
		if (a == b) != (Name(a) == Name(b)) {
			t.Errorf("%s and %s have names %s and %s", a, b, Name(a), Name(b))
		}
	})
}

func TestSupported(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]bool{
		"Account": true, "account": true, "Task": true, "WorkOrderLineItem": true, "User": false, "Product2": false,
		"Event": false, "Order": false, "PushTopic": false, "": false, "Invoice__c": false,
	} {
		if got := Supported(object, false); got != want {
			t.Errorf("standard %s: got %t", object, got)
		}
	}
	for object, want := range map[string]bool{
		"Invoice__c": true, "ns__Invoice__C": true, "Setting__mdt": false, "Note__e": false, "Big__b": false, "Far__x": false, "Account": false,
	} {
		if got := Supported(object, true); got != want {
			t.Errorf("custom %s: got %t", object, got)
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	fields := []Field{
		{Name: "Id", Type: "id", Length: 18},
		{Name: "Name", Type: "string", Length: 255},
		{Name: "BillingStreet", Type: "textarea", Length: 255, Compound: "BillingAddress"},
		{Name: "BillingAddress", Type: "address"},
		{Name: "Description", Type: "textarea", Length: 32000},
		{Name: "Body", Type: "base64"},
		{Name: "Secret__c", Type: "encryptedstring", Length: 175},
		{Name: "Loc__c", Type: "location"},
		{Name: "Loc__Latitude__s", Type: "double", Compound: "Loc__c"},
		{Name: "Any", Type: "anyType"},
		{Name: "Complex", Type: "complexvalue"},
		{Name: "Owner.Name", Type: "string", Length: 80},
		{Name: "systemmodstamp", Type: "datetime"},
		{Name: "Name", Type: "string", Length: 255},
		{Name: "OwnerId", Type: "reference", Length: 18},
		{Name: "x FROM User", Type: "string"},
	}
	s, err := Plan("Account", false, fields, "64.0")
	if err != nil {
		t.Fatal(err)
	}
	if want := "SELECT Id,SystemModstamp,Name,BillingStreet,Loc__Latitude__s,OwnerId FROM Account"; s.Query != want {
		t.Errorf("query:\n got %s\nwant %s", s.Query, want)
	}
	if want := "[BillingAddress Description Body Secret__c Loc__c Any Complex Owner.Name x FROM User]"; fmt.Sprint(s.Left) != want {
		t.Errorf("left:\n got %v\nwant %s", s.Left, want)
	}
	if s.Name != "hc_Account" || s.Object != "Account" || s.APIVersion != "64.0" {
		t.Errorf("spec is %+v", s)
	}
	if _, err := Plan("User", false, fields, "64.0"); !errors.Is(err, ErrUnsupported) {
		t.Errorf("User: %v", err)
	}
	for _, version := range []string{"", "v64.0", "36.0", "NaN", "-1", "1e9"} {
		if _, err := Plan("Account", false, fields, version); err == nil {
			t.Errorf("version %q: no error", version)
		}
	}
}

func TestPlanKeepsToTheLimit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.SliceOfNDistinct(rapid.StringMatching(`[A-Z][A-Za-z0-9_]{0,40}__c`), 0, 120, strings.ToLower).Draw(t, "names")
		var fields []Field
		for _, name := range names {
			fields = append(fields, Field{Name: name, Type: "string", Length: 80})
		}
		s, err := Plan("Invoice__c", true, fields, "64.0")
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Query) > 1300 {
			t.Errorf("query has %d characters", len(s.Query))
		}
		if got := slices.Concat(s.Carried[2:], s.Left); !slices.Equal(got, names) {
			t.Errorf("carried and left are %v, want all of %v in order", got, names)
		}
		if len(s.Left) > 0 && len(s.Query)+len(",")+len(s.Left[0]) <= 1300 {
			t.Errorf("%s would have fitted", s.Left[0])
		}
	})
}
