package pushtopic

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"hcbridge/bayeux"
)

// Payloads as they were recorded from Salesforce.
const (
	created = `{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"created"},"sobject":{"Description__c":"Testing notifications","Id":"a001t000002SlMpAAK","Status__c":"Open","Name":"INV-0004"}}`
	deleted = `{"event":{"createdDate":"2018-10-18T14:53:48.101Z","replayId":7,"type":"deleted"},"sobject":{"Id":"a001t000002SlMpAAK"}}`
	old     = `{"sobject":{"Id":"a001t000002SlMp","Title":null},"event":{"type":"undeleted","replayId":9007199254740993,"createdDate":"2013-05-10T18:16:19.000+0000"}}`
)

func message(data string) bayeux.Message {
	return bayeux.Message{Channel: "/topic/hc_Invoice__c", Data: json.RawMessage(data)}
}

func TestDecode(t *testing.T) {
	t.Parallel()
	day := time.Date(2018, 10, 18, 14, 53, 0, 0, time.UTC)
	for data, want := range map[string]Event{
		created: {
			Type: TypeCreated, ReplayID: 5, CreatedAt: day.Add(33777 * time.Millisecond),
			SObject: json.RawMessage(`{"Description__c":"Testing notifications","Id":"a001t000002SlMpAAK","Status__c":"Open","Name":"INV-0004"}`),
		},
		strings.ReplaceAll(created, "created\"}", "updated\"}"): {
			Type: TypeUpdated, ReplayID: 5, CreatedAt: day.Add(33777 * time.Millisecond),
			SObject: json.RawMessage(`{"Description__c":"Testing notifications","Id":"a001t000002SlMpAAK","Status__c":"Open","Name":"INV-0004"}`),
		},
		deleted: {Type: TypeDeleted, ReplayID: 7, CreatedAt: day.Add(48101 * time.Millisecond), SObject: json.RawMessage(`{"Id":"a001t000002SlMpAAK"}`)},
		old: {
			Type: TypeUndeleted, ReplayID: 9007199254740993, CreatedAt: time.Date(2013, 5, 10, 18, 16, 19, 0, time.UTC),
			SObject: json.RawMessage(`{"Id":"a001t000002SlMp","Title":null}`),
		},
	} {
		got, err := Decode(message(data))
		if err != nil {
			t.Errorf("%s: %v", data, err)
			continue
		}
		if got.Topic != "hc_Invoice__c" || got.SFID != "a001t000002SlMpAAK" || got.Type != want.Type || got.ReplayID != want.ReplayID ||
			!got.CreatedAt.Equal(want.CreatedAt) || got.CreatedAt.Location() != time.UTC || string(got.SObject) != string(want.SObject) {
			t.Errorf("%s:\n got %+v\nwant %+v", data, got, want)
		}
	}
}

func TestDecodeIsStrict(t *testing.T) {
	t.Parallel()
	change := func(from, to string) bayeux.Message {
		if !strings.Contains(created, from) {
			t.Fatalf("%q is not in the sample", from)
		}
		return message(strings.Replace(created, from, to, 1))
	}
	other := message(created)
	other.Channel = "/data/ChangeEvents"
	for _, m := range []bayeux.Message{
		other,
		change(`"replayId":5`, `"replayId":"5"`),
		change(`"replayId":5`, `"replayId":5.0`),
		change(`"replayId":5`, `"replayId":5e0`),
		change(`"replayId":5`, `"replayId":-1`),
		change(`"replayId":5`, `"replayId":0`),
		change(`"replayId":5`, `"replayId":null`),
		change(`"replayId":5`, `"replayId":99999999999999999999`),
		change(`"replayId":5,`, ``),
		change(`"type":"created"`, `"type":"Created"`),
		change(`"type":"created"`, `"type":1`),
		change(`,"type":"created"`, ``),
		change(`"2018-10-18T14:53:33.777Z"`, `"yesterday"`),
		change(`"2018-10-18T14:53:33.777Z"`, `1539874413777`),
		change(`"Id":"a001t000002SlMpAAK"`, `"Id":null`),
		change(`"Id":"a001t000002SlMpAAK"`, `"Id":"a001t000002SlMpAA"`),
		change(`"Id":"a001t000002SlMpAAK"`, `"Id":"a001t000002SlMp'\u0027'"`),
		change(`"Id":"a001t000002SlMpAAK",`, ``),
		change(`"sobject":{`, `"payload":{`),
		message(`{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"created"},"sobject":[]}`),
		message(`{"event":[],"sobject":{"Id":"a001t000002SlMpAAK"}}`),
		message(`[]`), message(`null`), message(``), message(created[:100]), message(created + "x"),
	} {
		if e, err := Decode(m); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: got %+v, %v", m.Data, e, err)
		} else if strings.Contains(err.Error(), "Testing") || strings.Contains(err.Error(), "a001t") {
			t.Errorf("%v shows a value of the record", err)
		}
	}
}

func TestLongID(t *testing.T) {
	t.Parallel()
	for short, suffix := range map[string]string{
		"a01M00000062mPg": "IAI", "001M000000qfPyS": "IAU", "a0FE000000D6r3F": "MAR", "0F9E000000092w2": "KAA",
		"a0RE000000IJmcN": "MAT", "001D000000IqhSL": "IAZ", "00D30000000ehjI": "EAQ", "aaaaaaaaaaaaaaa": "AAA",
		"AbCdEfGhIjKlMnO": "VKV", "aBcDEfgHIJKLMNO": "025",
	} {
		for _, id := range []string{short, short + suffix} {
			if got, ok := longID(id); !ok || got != short+suffix {
				t.Errorf("%s: got %s, %t", id, got, ok)
			}
		}
	}
	for _, id := range []string{"", "001", "001M000000qfPy!", "001M000000qfPySIA", "001M000000qfPySIAU1"} {
		if got, ok := longID(id); ok {
			t.Errorf("%q: got %s", id, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("/topic/hc_Account", []byte(created))
	f.Add("/topic/hc_Account", []byte(deleted))
	f.Add("/topic/x", []byte(old))
	f.Fuzz(func(t *testing.T, channel string, data []byte) {
		e, err := Decode(bayeux.Message{Channel: channel, Data: data})
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error %v", err)
			}
			return
		}
		var want struct {
			SObject map[string]json.RawMessage `json:"sobject"`
		}
		if err := json.Unmarshal(data, &want); err != nil {
			t.Fatalf("decoded what encoding/json does not: %v", err)
		}
		if e.ReplayID < 1 || len(e.SFID) != 18 || channel != "/topic/"+e.Topic || !json.Valid(e.SObject) {
			t.Errorf("event %+v", e)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	m := message(strings.Replace(created, "Testing notifications", strings.Repeat("d", 300), 1))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode(m); err != nil {
			b.Fatal(err)
		}
	}
}
