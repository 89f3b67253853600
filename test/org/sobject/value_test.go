package sobject

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestDecodeNumber(t *testing.T) {
	t.Parallel()
	currency := number("Amount__c", "Amount", "currency", 16, 2)
	tests := []struct {
		in   any
		want string
	}{
		{json.Number("1"), "1"},
		{json.Number("1.239"), "1.23"},
		{json.Number("-1.239"), "-1.23"},
		{json.Number("-0.001"), "0"},
		{json.Number("1.2e3"), "1200"},
		{json.Number("12345E-3"), "12.34"},
		{"  7.50 ", "7.5"},
		{12.5, "12.5"},
		{42, "42"},
		{json.Number("12345678901234.56"), "12345678901234.56"},
	}
	for _, tt := range tests {
		if got, err := currency.decode(tt.in); err != nil || got != json.Number(tt.want) {
			t.Errorf("decode(%v) = %v, %v, want %s", tt.in, got, err, tt.want)
		}
	}
	for _, in := range []any{"", nil, " "} {
		if got, err := currency.decode(in); got != nil || err != nil {
			t.Errorf("decode(%q) = %v, %v, want null", in, got, err)
		}
	}
	for _, in := range []any{"abc", true, "1,5", "0x1", "--1", ".", []any{}, map[string]any{}, "NaN"} {
		if got, err := currency.decode(in); err == nil || err.Code != "JSON_PARSER_ERROR" {
			t.Errorf("decode(%v) = %v, %v, want JSON_PARSER_ERROR", in, got, err)
		}
	}
	if _, err := currency.decode(json.Number("1e999999999")); err == nil || err.Code != "NUMBER_OUTSIDE_VALID_RANGE" {
		t.Errorf("a huge exponent gave %v", err)
	}
}

// Numbers agree with math/big.
func TestDecimalAgainstBig(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.StringMatching(`-?[0-9]{1,12}(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`).Draw(t, "s")
		u := rapid.StringMatching(`-?[0-9]{1,3}(\.[0-9]{1,3})?`).Draw(t, "u")
		d, ok := parseDecimal(s)
		want, _ := new(big.Rat).SetString(s)
		got, _ := new(big.Rat).SetString(d.String())
		if !ok || got.Cmp(want) != 0 {
			t.Fatalf("%s became %s", s, d)
		}
		again, _ := parseDecimal(d.String())
		if again != d {
			t.Fatalf("%s became %v, then %v", s, d, again)
		}
		other, _ := new(big.Rat).SetString(u)
		if got := CompareNumbers(json.Number(s), json.Number(u)); got != want.Cmp(other) {
			t.Fatalf("CompareNumbers(%s, %s) = %d", s, u, got)
		}
		// The exponent form of REST is the same number.
		shown := double(d.String())
		back, _ := new(big.Rat).SetString(shown)
		if back.Cmp(want) != 0 || !strings.Contains(shown, ".") {
			t.Fatalf("%s is shown as %s", s, shown)
		}
	})
}

func TestDouble(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"0": "0.0", "23": "23.0", "-1.5": "-1.5", "9999999": "9999999.0", "10000000": "1.0E7", "350000000": "3.5E8",
		"12345678901234.56": "1.234567890123456E13", "0.001": "0.001", "0.0001": "1.0E-4", "0.00025": "2.5E-4", "-100000000000000000000": "-1.0E20",
	} {
		if got := double(in); got != want {
			t.Errorf("double(%s) = %s, want %s", in, got, want)
		}
	}
}

func TestDecodeText(t *testing.T) {
	t.Parallel()
	ob := every()
	tests := []struct {
		field string
		in    any
		want  any
	}{
		{"Text__c", " \t a b\r\n ", "a b"},
		{"Text__c", "   ", nil},
		{"Text__c", "\u00a0a", "\u00a0a"},
		{"Multi__c", "gamma;Alpha;alpha; Beta ;", "Alpha;Beta;Gamma"},
		{"Pick__c", "red", "Red"},
		{"Open_Pick__c", "Something", "Something"},
		{"Datetime__c", "2024-02-29T23:59:59.999+01:00", time.Date(2024, 2, 29, 22, 59, 59, 0, time.UTC)},
		{"Datetime__c", "2024-02-29T22:59:59.000+0000", time.Date(2024, 2, 29, 22, 59, 59, 0, time.UTC)},
		{"Date__c", "2024-02-29", "2024-02-29"},
		{"Time__c", "13:30:00", "13:30:00.000Z"},
		{"Time__c", "13:30:00.25Z", "13:30:00.250Z"},
		{"Check__c", "TRUE", true},
		{"Ref__c", "001M000000qfPyS", "001M000000qfPySIAU"},
		{"Int__c", json.Number("5.0"), json.Number("5")},
	}
	for _, tt := range tests {
		f := ob.Field(tt.field)
		v, err := f.decode(tt.in)
		if err == nil {
			v, err = f.check(v)
		}
		if err != nil || v != tt.want {
			t.Errorf("%s %q became %v, %v, want %v", tt.field, tt.in, v, err, tt.want)
		}
	}
}

// Writing back what was read changes nothing.
func TestNormalisationIsIdempotent(t *testing.T) {
	t.Parallel()
	ob := every()
	var fields []*Field
	for _, f := range ob.Fields {
		if f.Createable && f.Type != "base64" {
			fields = append(fields, f)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		f := rapid.SampledFrom(fields).Draw(t, "field")
		in := rapid.OneOf(
			rapid.String().AsAny(),
			rapid.StringMatching(`-?[0-9]{1,9}(\.[0-9]{1,9})?`).AsAny(),
			rapid.StringMatching(` ?(Alpha|beta|Gamma|x)(;(delta|Beta|y))* ?`).AsAny(),
			rapid.StringMatching(`20[0-9]{2}-0[1-9]-[0-2][0-9]T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](\.[0-9]{3})?(Z|\+0[0-9]:30)`).AsAny(),
			rapid.Bool().AsAny(),
			rapid.Float64Range(-1e6, 1e6).AsAny(),
			rapid.Just[any](nil),
		).Draw(t, "in")
		once, err := normalise(f, in)
		if err != nil {
			return
		}
		twice, err := normalise(f, once)
		if err != nil || !same(once, twice) {
			t.Fatalf("%s: %#v became %#v, then %#v (%v)", f.Name, in, once, twice, err)
		}
		if f.Type == "encryptedstring" || once == nil {
			return
		}
		// The form on the wire reads back as the same value.
		wire, err := normalise(f, f.JSON(once))
		if err != nil || !same(once, wire) {
			t.Fatalf("%s: %#v went over the wire as %#v and came back as %#v (%v)", f.Name, once, f.JSON(once), wire, err)
		}
		csv, err := normalise(f, f.CSV(once))
		if err != nil || !same(once, csv) {
			t.Fatalf("%s: %#v went through CSV as %q and came back as %#v (%v)", f.Name, once, f.CSV(once), csv, err)
		}
	})
}

func normalise(f *Field, v any) (any, error) {
	v, err := f.decode(v)
	if err == nil {
		v, err = f.check(v)
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

func same(a, b any) bool {
	if a, ok := a.(time.Time); ok {
		b, ok := b.(time.Time)
		return ok && a.Equal(b)
	}
	return fmt.Sprintf("%T%v", a, a) == fmt.Sprintf("%T%v", b, b)
}

func TestDescribeHasEveryKey(t *testing.T) {
	t.Parallel()
	want := strings.FieldsFunc("autoNumber, byteLength, calculated, calculatedFormula, cascadeDelete, caseSensitive, controllerName, createable, custom, defaultValue, defaultValueFormula, defaultedOnCreate, dependentPicklist, deprecatedAndHidden, digits, displayLocationInDecimal, encrypted, externalId, extraTypeInfo, filterable, filteredLookupInfo, groupable, highScaleNumber, htmlFormatted, idLookup, inlineHelpText, label, length, mask, maskType, name, nameField, namePointing, nillable, permissionable, picklistValues, precision, queryByDistance, referenceTargetField, referenceTo, relationshipName, relationshipOrder, restrictedDelete, restrictedPicklist, scale, soapType, sortable, type, unique, updateable, writeRequiresMasterRead, aggregatable, aiPredictionField, compoundFieldName, dataTranslationEnabled, formulaTreatNullNumberAsZero, polymorphicForeignKey, searchPrefilterable",
		func(r rune) bool { return r == ',' || r == ' ' })
	for _, ob := range Standard() {
		d := ob.Describe(true)
		if _, err := json.Marshal(d); err != nil {
			t.Errorf("%s: %v", ob.Name, err)
		}
		for _, f := range ob.Fields {
			fd := f.Describe()
			if len(fd) != len(want) {
				t.Errorf("%s.%s has %d keys, want %d", ob.Name, f.Name, len(fd), len(want))
			}
			for _, key := range want {
				if _, ok := fd[key]; !ok {
					t.Errorf("%s.%s lacks %s", ob.Name, f.Name, key)
				}
			}
		}
	}
	id := account().Field("id").Describe()
	for key, want := range map[string]any{"type": "id", "length": 18, "byteLength": 18, "soapType": "tns:ID", "idLookup": true, "createable": false, "nillable": false, "defaultedOnCreate": true, "filterable": true} {
		if id[key] != want {
			t.Errorf("Id %s = %v, want %v", key, id[key], want)
		}
	}
	if got := contact().Field("FirstName").Describe()["compoundFieldName"]; got != "Name" {
		t.Errorf("FirstName belongs to %v", got)
	}
}

// Names, key prefixes and parts of the standard schema are consistent.
func TestStandardSchema(t *testing.T) {
	t.Parallel()
	names, prefixes := map[string]bool{}, map[string]bool{}
	for _, ob := range Standard() {
		names[ob.Name] = true
		if prefixes[ob.KeyPrefix] || len(ob.KeyPrefix) != 3 {
			t.Errorf("%s: key prefix %q", ob.Name, ob.KeyPrefix)
		}
		prefixes[ob.KeyPrefix] = true
		seen := map[string]bool{}
		for _, f := range ob.Fields {
			if seen[strings.ToLower(f.Name)] || f.Label == "" {
				t.Errorf("%s.%s: twice, or without a label", ob.Name, f.Name)
			}
			seen[strings.ToLower(f.Name)] = true
			if f.Compound != "" && ob.Field(f.Compound) == nil {
				t.Errorf("%s.%s: no compound %s", ob.Name, f.Name, f.Compound)
			}
		}
	}
	for _, ob := range Standard() {
		for _, f := range ob.Fields {
			for _, parent := range f.ReferenceTo {
				if !names[parent] {
					t.Errorf("%s.%s refers to %s", ob.Name, f.Name, parent)
				}
			}
		}
	}
}

// What is no half of a pair is written as encoding/json writes it.
func TestAppendText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    `""`,
		"plain <b>&":                          `"plain <b>&"`,
		"a\"\\\r\n\x00é😀":                     `"a\"\\\r\n\u0000é😀"`,
		"\xed\xa0\xbd":                        `"\ud83d"`,
		"é\xed\xb0\x80\xed\xa0\x80\n\xed\x9f": `"é\udc00\ud800\n\ufffd\ufffd"`,
	} {
		if got := string(AppendText([]byte("x"), text)); got != "x"+want {
			t.Errorf("%q is %s, want %s", text, got, want)
		}
	}
}
