package rawjson

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestValid(t *testing.T) {
	t.Parallel()
	cases := []string{
		"", " ", "1", "-1", "-", "01", "0", "-0", "1.", "1.5", ".5", "1e", "1e+", "1e+5", "1E-05", "1.5e3x", "true", "tru", "truex", "null", "nul", "false",
		`"`, `""`, `"\`, `"\"`, `"\""`, `"\u"`, `"\u12"`, `"\u12G4"`, `"\uabCD"`, `"\x"`, "\"\x01\"", "\"\xff\"", `"a" `, `"a"b`,
		"[", "[]", "[ ]", "[1", "[1,", "[1,]", "[,1]", "[1 2]", "[1,2]", " [ 1 , [ ] , { } ] ", "[1}", "]",
		"{", "{}", "{ }", `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{"a":1,"b":[{}]}`, `{a:1}`, `{1:1}`, `{"a" 1}`, `{"a":1]`, `{,}`, "}",
		created,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth),
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1),
		strings.Repeat(`{"a":`, maxDepth) + "1" + strings.Repeat("}", maxDepth),
		strings.Repeat(`{"a":`, maxDepth+1) + "1" + strings.Repeat("}", maxDepth+1),
	}
	for _, c := range cases {
		if got, want := Valid([]byte(c)), json.Valid([]byte(c)); got != want {
			t.Errorf("%.100q: got %t, want %t", c, got, want)
		}
	}
}

const created = `{"event":{"createdDate":"2018-10-18T14:53:33.777Z","replayId":5,"type":"created"},"sobject":{"Id":"a001t000002SlMpAAK","AnnualRevenue":1.5e6}}`

// What Members finds in an object is what encoding/json finds in it.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`{"a\u0062":1,"x":"\ud800","x":[{"y":"}"}], "":{} }`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var want map[string]json.RawMessage
		if !utf8.Valid(b) || json.Unmarshal(b, &want) != nil {
			return
		}
		got := map[string]json.RawMessage{}
		for key, value := range Members(b) {
			got[strings.Clone(key)] = value
		}
		if len(got) != len(want) {
			t.Fatalf("%q: members %q, want %q", b, got, want)
		}
		for key, value := range want {
			if string(got[key]) != string(value) {
				t.Errorf("%q: %q is %s, want %s", b, key, got[key], value)
			}
		}
	})
}

func FuzzValid(f *testing.F) {
	f.Add([]byte(created))
	f.Add([]byte(`[1.5e-3,"\u00e9\n",{"a":[true,false,null,-0]},[]]`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if got, want := Valid(b), json.Valid(b); got != want {
			t.Errorf("%q: got %t, want %t", b, got, want)
		}
	})
}

// Special looks at eight bytes at a time and finds what one by one would: of
// all pairs of bytes, as what is found in one may touch the next.
func TestSpecial(t *testing.T) {
	t.Parallel()
	for pair := range 1 << 16 {
		b := []byte("0123456789ab")
		for _, at := range []int{0, 3, 6, 7, 10} {
			word := slices.Clone(b)
			word[at], word[at+1] = byte(pair>>8), byte(pair)
			want := slices.IndexFunc(word, func(c byte) bool { return c < ' ' || c == '"' || c == '\\' })
			if want < 0 {
				want = len(word)
			}
			if got := special(word, 0); got != want {
				t.Fatalf("%q: got %d, want %d", word, got, want)
			}
		}
	}
}

func BenchmarkValid(b *testing.B) {
	text := []byte(created)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if !Valid(text) {
			b.Fatal("not valid")
		}
	}
}
