package salesforce

import (
	"net/http"
	"strings"
	"testing"

	"hcbridge/test/org"
)

// Many objects are described for one call per 25, and one that is not to be seen
// spoils nothing and is asked for once more, alone.
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
	for range 25 {
		names = append(names, "Account")
	}
	names = append(names, "Lead")
	sf.HideField("Contact", "Phone")
	used, _ := sf.Usage()
	all, err := c.DescribeAll(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	if after, _ := sf.Usage(); after-used != 3 {
		t.Errorf("%d calls for %d objects, want 3", after-used, len(names))
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

// An org that describes no objects within a composite request is asked for each.
func TestDescribeNotInComposite(t *testing.T) {
	t.Parallel()
	o := newOrg(t)
	o.api = func(w http.ResponseWriter, r *http.Request) {
		const missing = `[{"errorCode":"NOT_FOUND","message":"The requested resource does not exist"}]`
		object, asked := strings.CutSuffix(strings.TrimPrefix(r.URL.Path, "/services/data/v66.0/sobjects/"), "/describe")
		switch {
		case strings.HasSuffix(r.URL.Path, "/composite"):
			reply(w, 200, `{"compositeResponse":[{"body":`+missing+`,"httpStatusCode":404,"referenceId":"d0"},{"body":`+missing+`,"httpStatusCode":404,"referenceId":"d1"}]}`)
		case asked && object == "Account":
			reply(w, 200, `{"name":"Account","fields":[{"name":"Id"}]}`)
		default:
			reply(w, 404, missing)
		}
	}
	all, err := o.client().DescribeAll(t.Context(), []string{"Account", "Nonsense__c"})
	if err != nil || all[0].Err != nil || all[0].Name != "Account" || CodeOf(all[1].Err) != CodeNotFound {
		t.Errorf("%+v, %v", all, err)
	}
}
