package cdc

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"hcbridge/bayeux"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// recorded is an event as Salesforce sent it.
const recorded = `{"schema":"V2MGwDA2aIP0yQS98S2L6Q","payload":{"LastModifiedDate":"2024-04-09T20:26:27.000Z","Description":"Sample account record.","OwnerId":"0055f000005mc66AAA",` +
	`"ChangeEventHeader":{"commitNumber":1082990428293,"commitUser":"0055f000005mc66AAA","sequenceNumber":1,"entityName":"Account","changeType":"CREATE","changedFields":[],` +
	`"changeOrigin":"com/salesforce/api/soap/60.0;client=SfdcInternalAPI/","transactionKey":"0001ae4b-7024-a64a-87f0-f2c8cebdca76","commitTimestamp":1712694387000,"recordIds":["0015f00002J9YaUAAV"]},` +
	`"Name":"Acme"},"event":{"replayId":37904280}}`

func message(data string) bayeux.Message {
	return bayeux.Message{Channel: "/data/AccountChangeEvent", Data: json.RawMessage(data), ReplayID: 37904280}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	e, err := Decode(message(recorded))
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2024, 4, 9, 20, 26, 27, 0, time.UTC)
	if e.Type != Create || e.ReplayID != 37904280 || !e.CommittedAt.Equal(at) || !e.ModifiedAt.Equal(at) || e.All || !slices.Equal(e.SFIDs, []string{"0015f00002J9YaUAAV"}) {
		t.Errorf("%+v", e)
	}
	if want := `{"LastModifiedDate":"2024-04-09T20:26:27.000Z","Description":"Sample account record.","OwnerId":"0055f000005mc66AAA","Name":"Acme"}`; string(e.Fields) != want {
		t.Errorf("fields %s\nwant   %s", e.Fields, want)
	}
}

func TestDecodeForms(t *testing.T) {
	t.Parallel()
	change := func(pairs ...string) Event {
		data := recorded
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(data, pairs[i]) {
				t.Fatalf("%q is not in the sample", pairs[i])
			}
			data = strings.Replace(data, pairs[i], pairs[i+1], 1)
		}
		e, err := Decode(message(data))
		if err != nil {
			t.Errorf("%q: %v", pairs, err)
		}
		return e
	}
	if e := change(`"Acme"`, `{"LastName":"Lovelace","FirstName":null}`); !strings.HasSuffix(string(e.Fields), `"LastName":"Lovelace","FirstName":null}`) || !slices.Equal(e.Unread, []string{"Name"}) {
		t.Errorf("the parts of a name: %s", e.Fields)
	}
	if e := change(`"Sample account record."`, `{"diff":"--- \n+++ 00"}`); strings.Contains(string(e.Fields), "diff") || !slices.Equal(e.Unread, []string{"Description"}) {
		t.Errorf("a difference: %s, unread %v", e.Fields, e.Unread)
	}
	if e := change(`"Sample account record."`, `null,"BillingAddress":{"City":null}`); !strings.Contains(string(e.Fields), `"Description":null,"BillingAddress":{"City":null}`) || e.Unread != nil {
		t.Errorf("an address: %s, unread %v", e.Fields, e.Unread)
	}
	if e := change(`["0015f00002J9YaUAAV"]`, `["0015f00002J9YaUAAV","0015f00002J9YaVAAV"]`); len(e.SFIDs) != 2 {
		t.Errorf("two records: %+v", e)
	}
	for _, typ := range []string{"GAP_CREATE", "GAP_UPDATE", "GAP_DELETE", "GAP_UNDELETE", "SNAPSHOT", "SOMETHING_NEW"} {
		if e := change("CREATE", typ); e.Type != Unknown || e.All || len(e.SFIDs) != 1 {
			t.Errorf("%s: %+v", typ, e)
		}
	}
	for _, typ := range []Type{Update, Delete, Undelete} {
		if e := change("CREATE", string(typ)); e.Type != typ {
			t.Errorf("%s: %+v", typ, e)
		}
	}
	for _, pairs := range [][]string{
		{"CREATE", "GAP_OVERFLOW", "0015f00002J9YaUAAV", "000000000000000AAA"},
		{"CREATE", "GAP_OVERFLOW", `["0015f00002J9YaUAAV"]`, `[]`},
		{"CREATE", "GAP_UPDATE", "0015f00002J9YaUAAV", "001*"},
	} {
		if e := change(pairs...); !e.All || e.SFIDs != nil {
			t.Errorf("%q: %+v", pairs, e)
		}
	}
	if e := change(`"2024-04-09T20:26:27.000Z"`, `null`); !e.ModifiedAt.IsZero() {
		t.Errorf("no stamp: %+v", e)
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	for from, to := range map[string]string{
		`"ChangeEventHeader"`: `"Header"`, "1712694387000": "-1", `"CREATE"`: `""`, "0015f00002J9YaUAAV": "0015f00002J9YaU/AV",
		`["0015f00002J9YaUAAV"]`: "[]", `"payload"`: `"sobject"`,
	} {
		_, err := Decode(message(strings.Replace(recorded, from, to, 1)))
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%s → %s: %v", from, to, err)
		} else if strings.Contains(err.Error(), "Acme") {
			t.Errorf("%v shows a value", err)
		}
	}
	if _, err := Decode(bayeux.Message{Data: json.RawMessage(recorded)}); !errors.Is(err, ErrMalformed) {
		t.Errorf("without a position: %v", err)
	}
}

func TestChannel(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		"Account": "/data/AccountChangeEvent", "Employee__c": "/data/Employee__ChangeEvent", "ns__Employee__c": "/data/ns__Employee__ChangeEvent",
	} {
		if got := Channel(object); got != want {
			t.Errorf("%s: %s, want %s", object, got, want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(recorded)
	f.Add(strings.Replace(recorded, `"Acme"`, `{"LastName":"x","a\u0000":{}}`, 1))
	f.Add(`{"payload":{"ChangeEventHeader":{"changeType":"GAP_OVERFLOW","commitTimestamp":1,"recordIds":["000000000000000AAA"]}}}`)
	f.Fuzz(func(t *testing.T, data string) {
		e, err := Decode(message(data))
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if !json.Valid(e.Fields) {
			t.Errorf("fields are no JSON: %q", e.Fields)
		}
		if e.All == (len(e.SFIDs) > 0) {
			t.Errorf("of all records %v, of %v", e.All, e.SFIDs)
		}
		for _, id := range e.SFIDs {
			if !isID(id) {
				t.Errorf("%q is no id", id)
			}
		}
	})
}
