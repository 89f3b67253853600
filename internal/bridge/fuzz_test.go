package bridge

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"hcbridge/bayeux"
	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

// FuzzDescribed makes a mapping of any description that Salesforce may send, and
// asks for topics of it: no name gets into a query that is not one.
func FuzzDescribed(f *testing.F) {
	whole, err := json.Marshal(testOrg()["Account"])
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole, "")
	f.Add([]byte(`{"name":"Account","queryable":true,"fields":[{"name":"Id","type":"id","length":18},{"name":"SystemModstamp","type":"datetime"},{"name":"x\"; DROP TABLE t; --","type":"string","length":-5},{"name":"X\"; drop table t; --","type":"double","precision":999,"scale":-3}]}`), "Name")
	f.Add([]byte(`{"name":"Account","queryable":true,"fields":[{"name":"Id","type":"id"},{"name":"SystemModstamp","type":"datetime"},{"name":"","type":""},{"name":"Id","type":"reference","referenceTo":["Account",""]}]}`), "Account__r.Name")
	f.Fuzz(func(t *testing.T, body []byte, field string) {
		d := &salesforce.Describe{}
		if json.Unmarshal(body, d) != nil {
			return
		}
		cfg := config.Object{Name: "Account", Access: config.AccessReadWrite}
		if field != "" {
			cfg.Fields = []string{field}
		}
		m, err := mapObject(t.Context(), describes{"Account": d}, cfg, "salesforce", false, nil)
		if err != nil {
			if problem := (*mappingError)(nil); !errors.As(err, &problem) {
				t.Logf("%T: %v", err, err)
			}
			return
		}
		spec, err := pushtopic.Plan(m.cfg.Name, m.custom, m.topic, "64.0")
		if err == nil && strings.ContainsAny(strings.Join(spec.Carried, ""), " '\";()\n\x00") {
			t.Errorf("the topic is %s", spec.Query)
		}
	})
}

// FuzzMessage takes any message of the stream to what becomes of it.
func FuzzMessage(f *testing.F) {
	f.Add("/topic/hc_Account", []byte(`{"event":{"replayId":7,"type":"updated","createdDate":"2026-01-02T12:00:00.000Z"},"sobject":{"Id":"001000000000001AAA","Name":"A"}}`))
	f.Add("/data/AccountChangeEvent", []byte(`{"schema":"x","payload":{"ChangeEventHeader":{"entityName":"Account","recordIds":["001000000000001AAA"],"changeType":"UPDATE","commitTimestamp":1767355200000,"changedFields":["Name"]},"Name":"A"},"event":{"replayId":7}}`))
	f.Add("/data/AccountChangeEvent", []byte(`{"payload":{"ChangeEventHeader":{"recordIds":["'"],"changeType":"GAP_OVERFLOW"}},"event":{"replayId":-1}}`))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if !json.Valid(data) {
			return
		}
		m, err := mapObject(t.Context(), testOrg(), config.Object{Name: "Account"}, "salesforce", false, nil)
		if err != nil {
			t.Fatal(err)
		}
		o := newObject(m)
		for _, k := range []kind{topicKind, changeKind} {
			in := newInbound(&session{})
			ch := &channel{name: name, obj: o, kind: k}
			events, err := ch.read(nil, bayeux.Message{Channel: name, Data: data, ReplayID: 1})
			if err != nil {
				continue
			}
			var b pgsink.Batch
			for _, e := range events {
				if e.record() != "" {
					e.decide(in, o, &b)
				}
			}
			for _, c := range b.Changes {
				if c.Kind != pgsink.Delete && len(c.Row.Values) != len(o.table.Columns) {
					t.Errorf("%s is a row of %d values", data, len(c.Row.Values))
				}
			}
		}
	})
}
