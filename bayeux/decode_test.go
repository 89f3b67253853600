package bayeux

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestDecode(t *testing.T) {
	t.Parallel()
	r, err := decode([]byte(` [ {"channel":"/topic/InvoiceStatementUpdates", "clientId":"2t80j2hcog29sdh9ihjd9643a",
		"data":{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"created"},
		"sobject":{"Description__c":"a \"quoted\" \\ one }]","Id":"a001t000002SlMpAAK","event":{"replayId":99}}}},
		{"clientId":"1cyu","channel":"/meta/connect","id":7,"successful":true,"advice":{"interval":0}},
		{"data":{"event":{"replayId":1480821}},"channel":"\/data\/ChangeEvents","ext":{"a":[1,2]},"id":"x1"},
		{"channel":"/u/x","successful":true,"id":"9","data":null},
		{"channel":"/topic/a","data":[{"event":{"replayId":1}}],"id":12,"ext":null},
		{"channel":"/topic/a","data":{"event":{"replayId":"5"}}},
		{"channel":"/topic/a","data":{"event":{"replayId":5.5}}},
		{"channel":"/topic/a","data":{"event":{"replayId":-2}}},
		{"channel":"/topic/a","data":{"event":{"replayId":99999999999999999999}}},
		{"channel":"/topic/a","data":{}}
	] `))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.metas) != 2 || r.metas[1].ID != "9" || !r.metas[1].Successful || r.metas[0].ID != "7" || !r.metas[0].Successful || r.metas[0].ClientID != "1cyu" {
		t.Errorf("metas are %+v", r.metas)
	}
	var got []string
	for _, m := range r.events {
		got = append(got, fmt.Sprint(m.Channel, " ", m.ReplayID, " ", m.ID, " ", string(m.Ext)))
	}
	want := []string{
		"/topic/InvoiceStatementUpdates 5  ", `/data/ChangeEvents 1480821 x1 {"a":[1,2]}`, "/topic/a 0 12 ",
		"/topic/a 0  ", "/topic/a 0  ", "/topic/a 0  ", "/topic/a 0  ", "/topic/a 0  ",
	}
	if !slices.Equal(got, want) {
		t.Errorf("events:\n got %q\nwant %q", got, want)
	}
}

func TestDecodeAllOrNothing(t *testing.T) {
	t.Parallel()
	whole := `[{"channel":"/topic/a","data":{"event":{"replayId":1,"x":"é\u00e9"}}},{"channel":"/meta/connect","successful":true,"id":"1"}]`
	if r, err := decode([]byte(whole)); err != nil || len(r.events) != 1 || len(r.metas) != 1 {
		t.Fatalf("whole: %+v, %v", r, err)
	}
	for n := range whole { // a connection may end at any byte
		if r, err := decode([]byte(whole[:n])); err == nil {
			t.Errorf("cut off after %d bytes: %+v", n, r)
		}
	}
	for _, bad := range []string{
		"", "   ", "<html><body>down for maintenance</body></html>", "null", "12", `"x"`, "[1]", "[[]]", "[null]", `[{}]`,
		`[{"channel":1}]`, `[{"channel":""}]`, whole + "x", whole + whole,
		`[{"channel":"/meta/connect","successful":"yes"}]`,
		`[{"channel":"/topic/a","data":{}},{"channel":"/meta/connect","error":{}}]`,
	} {
		if r, err := decode([]byte(bad)); err == nil || len(r.events) > 0 {
			t.Errorf("%s: %+v, %v", bad, r, err)
		}
	}
	if r, err := decode([]byte("[]")); err != nil || len(r.events)+len(r.metas) != 0 {
		t.Errorf("empty array: %+v, %v", r, err)
	}
	if r, err := decode([]byte(`{"channel":"/meta/connect","successful":true}`)); err != nil || len(r.metas) != 1 {
		t.Errorf("one message without an array: %+v, %v", r, err)
	}
}

// The hand-made decoder must see what encoding/json sees.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(unknownClient))
	f.Add([]byte(tokenDenied))
	f.Add([]byte(hiddenBusy))
	f.Add([]byte("[" + event(topic, 5) + "," + event("/topic/\u00e9", 6) + "]"))
	f.Add([]byte(`[{"ch\u0061nnel":"a","data":{"event":{"replayId":1},"event":{"replayId":2}}}]`))
	f.Add([]byte(`{"channel":"/a","data":{"event":[],"event":{"replayId":1,"replayId":"2"}},"ext":{ } , "id":1e5}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := decode(slices.Clone(body))
		if err != nil {
			if len(r.events) > 0 && body[0] != '{' {
				t.Errorf("an error and %d events", len(r.events))
			}
			return
		}
		var list []map[string]json.RawMessage
		if body := strings.TrimSpace(string(body)); body[0] == '[' {
			err = json.Unmarshal([]byte(body), &list)
		} else {
			list = make([]map[string]json.RawMessage, 1)
			err = json.Unmarshal([]byte(body), &list[0])
		}
		if err != nil {
			t.Fatalf("decoded what encoding/json does not: %v", err)
		}
		n := 0
		for _, m := range list {
			var channel string
			if json.Unmarshal(m["channel"], &channel) != nil {
				t.Fatal("a message without channel")
			}
			if strings.HasPrefix(channel, "/meta/") || m["data"] == nil || string(m["data"]) == "null" {
				continue
			}
			if n == len(r.events) {
				t.Fatalf("%d events, want more", n)
			}
			got := r.events[n]
			n++
			if got.Channel != channel || string(got.Data) != string(m["data"]) || got.ReplayID != slowReplayID(m["data"]) {
				t.Errorf("event %d is %+v, want channel %q, data %s, replay id %d", n, got, channel, m["data"], slowReplayID(m["data"]))
			}
		}
		if n != len(r.events) {
			t.Errorf("%d events, want %d", len(r.events), n)
		}
	})
}

func slowReplayID(data json.RawMessage) int64 {
	var outer, inner map[string]json.RawMessage
	var id int64
	if json.Unmarshal(data, &outer) != nil || json.Unmarshal(outer["event"], &inner) != nil || json.Unmarshal(inner["replayId"], &id) != nil {
		return 0
	}
	return max(id, 0)
}

func TestMembers(t *testing.T) {
	t.Parallel()
	var got []string
	for key, value := range Members(json.RawMessage(` { "a" : [1,{"b":"}"}] , "\u0063":null,"":{} } `)) {
		got = append(got, key+"="+string(value))
	}
	equal(t, "members", got, `a=[1,{"b":"}"}]`, "c=null", "={}")
	for _, none := range []string{"", " ", "[1]", "null", "{ }"} {
		for key := range Members(json.RawMessage(none)) {
			t.Errorf("%q has member %q", none, key)
		}
	}
	for key := range Members(json.RawMessage(`{"a":1,"b":2}`)) {
		if key == "a" {
			break
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	record := `{"Id":"a001t000002SlMpAAK","SystemModstamp":"2018-10-18T14:53:33.000Z","Name":"` + strings.Repeat("n", 40) +
		`","Phone":"+49 40 123456","Website":"https://example.com/","Description":"` + strings.Repeat("d", 150) + `","AnnualRevenue":123456.78,"NumberOfEmployees":42}`
	one := `{"channel":"/topic/hc_Account","data":{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"updated"},"sobject":` + record + `}}`
	for _, n := range []int{1, 1000} {
		body := []byte("[" + strings.Repeat(one+",", n) + `{"clientId":"1cyu","channel":"/meta/connect","id":"3","successful":true}]`)
		b.Run(fmt.Sprintf("%dEvents", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if r, err := decode(body); err != nil || len(r.events) != n {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}
