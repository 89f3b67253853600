package bayeux

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestValid(t *testing.T) {
	t.Parallel()
	cases := []string{
		"", " ", "1", "-1", "-", "01", "0", "-0", "1.", "1.5", ".5", "1e", "1e+", "1e+5", "1E-05", "1.5e3x", "true", "tru", "truex", "null", "nul", "false",
		`"`, `""`, `"\`, `"\"`, `"\""`, `"\u"`, `"\u12"`, `"\u12G4"`, `"\uabCD"`, `"\x"`, "\"\x01\"", "\"\xff\"", `"a" `, `"a"b`,
		"[", "[]", "[ ]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,2]", " [ 1 , [ ] , { } ] ", "[1}", "]",
		"{", "{}", "{ }", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1,"b":[{}]}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a":1]`, `{,}`, "}",
		created, unknownClient, hiddenBusy,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth),
		strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1),
	}
	for _, c := range cases {
		if got, want := valid([]byte(c)), json.Valid([]byte(c)); got != want {
			t.Errorf("%.100q: got %t, want %t", c, got, want)
		}
		if m := (Message{Data: json.RawMessage(c)}); m.Valid() != json.Valid([]byte(c)) {
			t.Errorf("message with %.100q", c)
		}
	}
}

const created = `{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"created"},"sobject":{"Id":"a001t000002SlMpAAK","AnnualRevenue":1.5e6}}`

func FuzzValid(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`[1.5e-3,"\u00e9\n",{"a":[true,false,null,-0]},[]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := valid(b), json.Valid(b); got != want {
			t.Errorf("%q: got %t, want %t", b, got, want)
		}
	})
}
