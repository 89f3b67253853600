package outbox

import (
	"iter"
	"maps"
	"testing"

	"hcbridge/test/pgtest"
)

func parseHStore(text string) (map[string]*string, error) { return parsePairs(text, nil) }

func TestParseHStore(t *testing.T) {
	t.Parallel()
	str := func(s string) *string { return &s }
	for text, want := range map[string]map[string]*string{
		``:                            {},
		`"a"=>"1"`:                    {"a": str("1")},
		`"a"=>"1", "b"=>NULL`:         {"a": str("1"), "b": nil},
		`"a"=>"", "b"=>"NULL"`:        {"a": str(""), "b": str("NULL")},
		`"a\"\\b"=>"c,\" => d"`:       {`a"\b`: str(`c," => d`)},
		`a=>1, b => null`:             {"a": str("1"), "b": nil},
		"  a =>\n x=y ":               {"a": str("x=y")},
		`"a"=>"first", "a"=>"second"`: {"a": str("first")},
		"\"ü\"=>\"日本\n\"":             {"ü": str("日本\n")},
		`"a"=>"1",`:                   {"a": str("1")},
	} {
		got, err := parseHStore(text)
		if err != nil || !samePairs(got, want) {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
	for _, text := range []string{`a`, `"a`, `"a"=`, `"a"=>`, `"a"=>"1" x`, `"a"=>"1\`, `=>1`, `a=>1,,b=>2`} {
		if got, err := parseHStore(text); err == nil {
			t.Errorf("%s: got %v, no error", text, got)
		}
	}
}

func samePairs(a, b map[string]*string) bool {
	return maps.EqualFunc(a, b, func(x, y *string) bool { return (x == nil) == (y == nil) && (x == nil || *x == *y) })
}

func only(pairs map[string]*string, keep func(string) bool) iter.Seq2[string, *string] {
	return func(yield func(string, *string) bool) {
		for key, value := range pairs {
			if keep(key) && !yield(key, value) {
				return
			}
		}
	}
}

func FuzzParseHStore(f *testing.F) {
	for _, seed := range []string{`"a"=>"1", "b"=>NULL`, `a=>1`, `"a\"\\"=>"\""`, ``, `"`, `\`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		pairs, err := parseHStore(text)
		if err != nil {
			return
		}
		short := func(key string) bool { return len(key) < 2 }
		some, err := parsePairs(text, short)
		if err != nil || !samePairs(some, maps.Collect(only(pairs, short))) {
			t.Fatalf("%q: of %v %v, %v", text, pairs, some, err)
		}
		again, err := parseHStore(formatHStore(pairs))
		if err != nil || !samePairs(pairs, again) {
			t.Fatalf("%q: %v became %v, %v", text, pairs, again, err)
		}
	})
}

// What Postgres writes is what we read.
func TestParseHStoreOfPostgres(t *testing.T) {
	t.Parallel()
	pool := pgtest.New(t)
	nasty := []string{``, `NULL`, `"`, `\`, `\"`, `=>`, `a, b`, ` x `, "\n\t", `'`, `日本`, `\\`, `,`, `=`}
	for _, key := range nasty {
		for _, value := range nasty {
			var text string
			if err := pool.QueryRow(t.Context(), `SELECT hstore(ARRAY[$1, 'n', 'z'], ARRAY[$2, NULL, 'z'])::text`, key, value).Scan(&text); err != nil {
				t.Fatal(err)
			}
			got, err := parseHStore(text)
			z := "z"
			if err != nil || !samePairs(got, map[string]*string{key: &value, "n": nil, "z": &z}) {
				t.Errorf("%s: got %v, %v", text, got, err)
			}
		}
	}
}
