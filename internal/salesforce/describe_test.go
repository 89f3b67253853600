package salesforce

import (
	"fmt"
	"testing"

	"hcbridge/test/org"
)

// Many objects are described for one call per 25, and one that is not to be
// seen spoils nothing.
func TestDescribeAll(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	c, err := New(Config{
		LoginURL: sf.URL(), Auth: AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword,
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Login(t.Context()); err != nil {
		t.Fatal(err)
	}
	names := []string{"contact", "Nonsense__c", "Account"}
	for i := range 25 {
		names = append(names, fmt.Sprintf("None%d__c", i))
	}
	names = append(names, "Lead")
	sf.HideField("Contact", "Phone")
	used, _ := sf.Usage()
	all, err := c.DescribeAll(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := sf.Usage(); after-used != 2 {
		t.Errorf("%d calls for %d objects, want 2", after-used, len(names))
	}
	for i, want := range map[int]string{0: "Contact", 2: "Account", 28: "Lead"} {
		if all[i].Err != nil || all[i].Name != want {
			t.Errorf("%s is described as %+v", names[i], all[i])
		}
	}
	if all[1].Describe != nil || CodeOf(all[1].Err) != CodeNotFound || ClassOf(all[1].Err) != Permanent {
		t.Errorf("an object that does not exist: %v", all[1].Err)
	}
	single, err := c.Describe(t.Context(), "Contact")
	if err != nil || len(single.Fields) != len(all[0].Fields) || all[0].Field("Phone") != nil {
		t.Errorf("%d fields alone, %d with others, %v", len(single.Fields), len(all[0].Fields), err)
	}
	if _, err := c.DescribeAll(t.Context(), []string{"Account", "x/../y"}); err == nil {
		t.Error("what is no name is asked for")
	}
}

// An object is replicateable unless its description denies it.
func TestDescribeReplicateable(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]bool{"": true, `"replicateable":true,`: true, `"replicateable":false,`: false} {
		description := `{"name":"Account",` + said + `"fields":[{"name":"Id"}]}`
		o := newOrg(t)
		o.answers(200, description)
		d, err := o.client().Describe(t.Context(), "Account")
		if err != nil || d.Replicateable != want {
			t.Errorf("%s alone: %+v, %v", description, d, err)
		}
		o.answers(200, `{"compositeResponse":[{"body":`+description+`,"httpStatusCode":200,"referenceId":"d0"}]}`)
		all, err := o.client().DescribeAll(t.Context(), []string{"Account"})
		if err != nil || all[0].Replicateable != want {
			t.Errorf("%s with others: %+v, %v", description, all, err)
		}
	}
}
