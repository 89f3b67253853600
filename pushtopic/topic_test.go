package pushtopic

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// org keeps PushTopics as Salesforce does.
type org struct {
	topics  []Topic
	calls   []string
	refuses []string // fields it does not know
	fault   error    // of the next write
	race    *Topic   // made by somebody else just before a create
}

type columnError string

func (e columnError) Error() string { return "no such column" }

func (e columnError) RefusedField() string { return string(e) }

func (o *org) Find(context.Context, string) ([]Topic, error) {
	o.calls = append(o.calls, "find")
	return slices.Clone(o.topics), nil // more than asked for, as LIKE 'hc_%' gives
}

func (o *org) Create(_ context.Context, t Topic) (string, error) {
	o.calls = append(o.calls, "create")
	if o.race != nil {
		o.topics = append(o.topics, *o.race)
		return "", errors.New("DUPLICATE_VALUE")
	}
	if err := o.check(t); err != nil {
		return "", err
	}
	t.ID = fmt.Sprintf("0IF%012d", len(o.topics)+1)
	o.topics = append(o.topics, t)
	return t.ID, nil
}

func (o *org) Update(_ context.Context, t Topic) error {
	o.calls = append(o.calls, "update")
	if err := o.check(t); err != nil {
		return err
	}
	o.topics[slices.IndexFunc(o.topics, func(have Topic) bool { return have.ID == t.ID })] = t
	return nil
}

func (o *org) check(t Topic) error {
	if err := o.fault; err != nil {
		o.fault = nil
		return err
	}
	for _, field := range o.refuses {
		if strings.Contains(t.Query+",", field) {
			return fmt.Errorf("create: %w", columnError(strings.ToLower(field)))
		}
	}
	return nil
}

func (o *org) Delete(_ context.Context, id string) error {
	o.calls = append(o.calls, "delete "+id)
	if err := o.fault; err != nil {
		o.fault = nil
		return err
	}
	o.topics = slices.DeleteFunc(o.topics, func(t Topic) bool { return t.ID == id })
	return nil
}

const us = "salesforce/1a2b"

func account(t *testing.T) Spec {
	t.Helper()
	s, err := Plan("Account", false, []Field{{Name: "Name", Type: "string"}, {Name: "Gone__c", Type: "string"}}, "64.0")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEnsure(t *testing.T) {
	t.Parallel()

	ensure := func(t *testing.T, o *org) (Topic, Spec, Action) {
		t.Helper()
		topic, spec, action, err := Ensure(t.Context(), o, us, account(t))
		if err != nil {
			t.Fatal(err)
		}
		return topic, spec, action
	}

	t.Run("CreatesThenKeeps", func(t *testing.T) {
		t.Parallel()
		o := &org{}
		topic, _, action := ensure(t, o)
		want := Topic{
			ID: "0IF000000000001", Name: "hc_Account", Query: "SELECT Id,SystemModstamp,Name,Gone__c FROM Account", ApiVersion: 64,
			IsActive: true, NotifyForFields: "All", NotifyForOperationCreate: true, NotifyForOperationUpdate: true,
			NotifyForOperationDelete: true, NotifyForOperationUndelete: true, Description: "hcbridge: Account of salesforce/1a2b",
		}
		if action != Created || topic != want || o.topics[0] != want {
			t.Errorf("%s %+v", action, topic)
		}
		// Salesforce may give the query back with spaces.
		o.topics[0].Query = "SELECT Id, SystemModstamp, Name,  Gone__c\nFROM Account"
		topic, _, action = ensure(t, o)
		if action != Kept || topic.ID != want.ID || fmt.Sprint(o.calls) != "[find create find]" {
			t.Errorf("%s %+v, calls %v", action, topic, o.calls)
		}
		// A describe may list the fields in another order.
		o.topics[0].Query = "SELECT Gone__c, Id, Name, SystemModstamp FROM Account"
		topic, _, action = ensure(t, o)
		if action != Kept || topic != o.topics[0] || fmt.Sprint(o.calls) != "[find create find find]" {
			t.Errorf("%s %+v, calls %v", action, topic, o.calls)
		}
		text, err := json.Marshal(o.topics[0])
		if err != nil || !strings.Contains(string(text), `"ApiVersion":64,"IsActive":true,"NotifyForFields":"All","NotifyForOperationCreate":true`) {
			t.Errorf("JSON form is %s, %v", text, err)
		}
	})

	t.Run("RepairsWhatSomebodyChanged", func(t *testing.T) {
		t.Parallel()
		for i, change := range []func(*Topic){
			func(t *Topic) { t.IsActive = false },
			func(t *Topic) { t.Query = "SELECT Id FROM Account" },
			func(t *Topic) { t.Query = strings.Replace(t.Query, "Name", "Id", 1) },
			func(t *Topic) { t.Query += " WHERE Name = 'a,b'" },
			func(t *Topic) { t.NotifyForFields = "Referenced" },
			func(t *Topic) { t.NotifyForOperationCreate = false },
			func(t *Topic) { t.NotifyForOperationUpdate = false },
			func(t *Topic) { t.NotifyForOperationDelete = false },
			func(t *Topic) { t.NotifyForOperationUndelete = false },
			func(t *Topic) { t.ApiVersion = 50 },
			func(t *Topic) { t.Name = "HC_Account" },
		} {
			o := &org{}
			want, _, _ := ensure(t, o)
			change(&o.topics[0])
			topic, _, action := ensure(t, o)
			if action != Repaired || topic != want || o.topics[0] != want || len(o.topics) != 1 {
				t.Errorf("change %d: %s %+v", i, action, topic)
			}
		}
	})

	t.Run("NeverTouchesAForeignTopic", func(t *testing.T) {
		t.Parallel()
		for _, description := range []string{"", "made by hand", "hcbridge: Contact of salesforce/1a2b", "Hcbridge: Account of salesforce/1a2b"} {
			foreign := Topic{ID: "0IF1", Name: "hc_Account", Query: "SELECT Id FROM Account", Description: description}
			o := &org{topics: []Topic{foreign}}
			_, _, _, err := Ensure(t.Context(), o, us, account(t))
			if !errors.Is(err, ErrForeign) || o.topics[0] != foreign || fmt.Sprint(o.calls) != "[find]" {
				t.Errorf("%q: %v, calls %v", description, err, o.calls)
			}
		}
	})

	t.Run("SharesTheTopicOfAnotherBridge", func(t *testing.T) {
		t.Parallel()
		other, err := Plan("Account", false, []Field{{Name: "Phone", Type: "phone"}}, "50.0")
		if err != nil {
			t.Fatal(err)
		}
		o := &org{}
		theirs, _, _, err := Ensure(t.Context(), o, "salesforce/9999", other)
		if err != nil {
			t.Fatal(err)
		}
		topic, _, action := ensure(t, o)
		if action != Shared || topic != theirs || o.topics[0] != theirs || fmt.Sprint(o.calls) != "[find create find]" {
			t.Errorf("%s %+v, calls %v", action, topic, o.calls)
		}
		for i, change := range []func(*Topic){
			func(t *Topic) { t.IsActive = false },
			func(t *Topic) { t.Query += " WHERE Phone = 'x'" },
			func(t *Topic) { t.Query = "SELECT Id FROM Accounts" },
			func(t *Topic) { t.Query = "" },
			func(t *Topic) { t.NotifyForFields = "Referenced" },
			func(t *Topic) { t.NotifyForOperationCreate = false },
			func(t *Topic) { t.NotifyForOperationUpdate = false },
			func(t *Topic) { t.NotifyForOperationDelete = false },
			func(t *Topic) { t.NotifyForOperationUndelete = false },
		} {
			edited := theirs
			change(&edited)
			o := &org{topics: []Topic{edited}}
			if _, _, _, err := Ensure(t.Context(), o, us, account(t)); !errors.Is(err, ErrTaken) || o.topics[0] != edited {
				t.Errorf("change %d: %v", i, err)
			}
			// Its own bridge repairs it.
			if _, _, action, err := Ensure(t.Context(), o, "salesforce/9999", other); err != nil || action != Repaired {
				t.Errorf("change %d: %s %v", i, action, err)
			}
		}
	})

	t.Run("LeavesOutWhatTheOrgRefuses", func(t *testing.T) {
		t.Parallel()
		o := &org{refuses: []string{"Gone__c"}}
		topic, spec, action := ensure(t, o)
		if action != Created || topic.Query != "SELECT Id,SystemModstamp,Name FROM Account" || topic.Query != spec.Query ||
			fmt.Sprint(spec.Carried) != "[Id SystemModstamp Name]" || fmt.Sprint(spec.Left) != "[Gone__c]" {
			t.Errorf("%s %+v, spec %+v", action, topic, spec)
		}
		again, _, action := ensure(t, o)
		if action != Kept || again != topic {
			t.Errorf("second time %s %+v", action, again)
		}
	})

	t.Run("DoesNotLoopOnWhatItCannotLeaveOut", func(t *testing.T) {
		t.Parallel()
		for _, field := range []string{"SystemModstamp", "Id"} {
			o := &org{refuses: []string{field}}
			_, _, _, err := Ensure(t.Context(), o, us, account(t))
			if RefusedField(err) != strings.ToLower(field) || len(o.topics) != 0 {
				t.Errorf("%s: %v", field, err)
			}
		}
	})

	t.Run("MeetsAnotherBridge", func(t *testing.T) {
		t.Parallel()
		o := &org{}
		ours, _, _ := ensure(t, o)
		o = &org{race: &ours}
		topic, _, action := ensure(t, o)
		if action != Kept || topic != ours {
			t.Errorf("%s %+v", action, topic)
		}
		foreign := ours
		foreign.Description = ""
		o = &org{race: &foreign}
		if _, _, _, err := Ensure(t.Context(), o, us, account(t)); !errors.Is(err, ErrForeign) {
			t.Errorf("foreign: %v", err)
		}
	})

	t.Run("PassesErrorsThrough", func(t *testing.T) {
		t.Parallel()
		quota := errors.New("LIMIT_EXCEEDED")
		_, _, _, err := Ensure(t.Context(), &org{fault: quota}, us, account(t))
		if !errors.Is(err, quota) || RefusedField(err) != "" {
			t.Errorf("got %v", err)
		}
	})
}

func TestRemove(t *testing.T) {
	t.Parallel()
	long := "AVeryLongObjectNameIndeed__c"
	o := &org{topics: []Topic{
		{ID: "1", Name: "hc_Account", Description: "hcbridge: Account of " + us},
		{ID: "2", Name: "hc_Contact", Description: "hcbridge: Contact of " + us},
		{ID: "3", Name: "hc_Lead", Description: "ours"},
		{ID: "4", Name: "hc_Copy", Description: "hcbridge: Account of " + us},
		{ID: "5", Name: "other", Description: "hcbridge: other of " + us},
		{ID: "6", Name: Name(long), Description: "hcbridge: " + long + " of " + us},
		{ID: "7", Name: "hc_Case", Description: "hcbridge: Case of " + us},
		{ID: "8", Name: "hc_Task", Description: "hcbridge: Task of salesforce/9999"},
		{ID: "9", Name: "hc_Quote", Description: "hcbridge: Quote"},
	}}
	removed, err := Remove(t.Context(), o, us, []string{"Account", "hc_case"})
	if err != nil || fmt.Sprint(removed) != fmt.Sprint([]string{"hc_Contact", Name(long)}) {
		t.Errorf("removed %v, %v", removed, err)
	}
	if want := "[find delete 2 delete 6]"; fmt.Sprint(o.calls) != want {
		t.Errorf("calls %v, want %s", o.calls, want)
	}
	o.fault = errors.New("no")
	removed, err = Remove(t.Context(), o, us, nil)
	if !errors.Is(err, errors.Unwrap(err)) && err == nil || fmt.Sprint(removed) != "[hc_Case]" {
		t.Errorf("with one failure removed %v, %v", removed, err)
	}
}

func TestRefusedColumn(t *testing.T) {
	t.Parallel()
	for message, want := range map[string]string{
		"No such column 'StateCode' on entity 'Lead'. If you are attempting to use a custom field, be sure to append the '__c'": "StateCode",
		"\nSELECT Id, Foo FROM Lead\n ^\nERROR at Row:1:Column:12\nNo such column 'Foo' on entity 'Lead'.":                      "Foo",
		"No such column 'a b' on entity": "", "No such column '": "", "No such column ''": "", "": "", "'LIMIT' is not allowed": "",
	} {
		if got := RefusedColumn(message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}
