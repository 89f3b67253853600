package sobject

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Layouts of datetimes. Stored values have whole seconds, so the fraction is
// always zero.
const (
	RESTTime  = "2006-01-02T15:04:05.000-0700" // REST: 2011-07-07T00:37:00.000+0000
	EventTime = "2006-01-02T15:04:05.000Z"     // PushTopic events, Bulk CSV
)

// JSON returns the value as a REST answer carries it, ready for
// encoding/json: doubles with a decimal point, from 10,000,000 up in exponent
// form; datetimes as 2011-07-07T00:37:00.000+0000; encrypted text masked.
func (f *Field) JSON(v any) any {
	switch v := v.(type) {
	case json.Number:
		if f.Type == "int" {
			return v
		}
		return json.Number(double(string(v)))
	case time.Time:
		return v.UTC().Format(RESTTime)
	case string:
		return f.mask(v)
	}
	return v
}

// EventJSON is JSON in the form of PushTopic events, which differ in
// datetimes: 2011-07-07T00:37:00.000Z.
func (f *Field) EventJSON(v any) any {
	if t, ok := v.(time.Time); ok {
		return t.UTC().Format(EventTime)
	}
	return f.JSON(v)
}

// CSV returns the value as a Bulk API result carries it; "" is null.
func (f *Field) CSV(v any) string {
	switch v := f.EventJSON(v).(type) {
	case string:
		return v
	case bool:
		return strconv.FormatBool(v)
	case json.Number:
		return string(v)
	}
	return ""
}

func (f *Field) mask(s string) string {
	if f.Type == "encryptedstring" {
		return strings.Repeat("*", len([]rune(s)))
	}
	return s
}

// double spells a plain decimal as Java's Double.toString does.
func double(s string) string {
	sign := ""
	if strings.HasPrefix(s, "-") {
		sign, s = "-", s[1:]
	}
	whole, frac, _ := strings.Cut(s, ".")
	if len(whole) >= 8 { // 10,000,000 and more
		mantissa := strings.TrimRight(whole[1:]+frac, "0")
		if mantissa == "" {
			mantissa = "0"
		}
		return sign + whole[:1] + "." + mantissa + "E" + strconv.Itoa(len(whole)-1)
	}
	lead := len(frac) - len(strings.TrimLeft(frac, "0"))
	if whole == "0" && lead >= 3 && lead < len(frac) { // less than 0.001
		mantissa := frac[lead+1:]
		if mantissa == "" {
			mantissa = "0"
		}
		return sign + frac[lead:lead+1] + "." + mantissa + "E-" + strconv.Itoa(lead+1)
	}
	if frac == "" {
		frac = "0"
	}
	return sign + whole + "." + frac
}

// AppendText appends a text as JSON, without the escapes for HTML, which
// Salesforce does not make either.
//
// Texts in Salesforce are UTF-16, so one may hold half of a surrogate pair, for
// which a string here has the three bytes that UTF-8 would give it. No document
// says how the APIs show it; JSON can only escape it, and Bulk results hold the
// three bytes.
func AppendText(b []byte, s string) []byte {
	plain := true
	for i := range len(s) {
		if c := s[i]; c < ' ' || c == '"' || c == '\\' || c >= 0x7f {
			plain = false
			break
		}
	}
	b = append(b, '"')
	if plain {
		return append(append(b, s...), '"')
	}
	for i := 0; i+2 < len(s); i++ {
		if s[i] == 0xED && s[i+1]&0xE0 == 0xA0 && s[i+2]&0xC0 == 0x80 {
			b = appendEscaped(b, s[:i])
			b = fmt.Appendf(b, `\ud%03x`, uint(s[i+1]&0x3F)<<6|uint(s[i+2]&0x3F))
			s, i = s[i+3:], -1
		}
	}
	return append(appendEscaped(b, s), '"')
}

// appendEscaped appends what belongs between the quotes.
func appendEscaped(b []byte, s string) []byte {
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return b // no string is refused
	}
	text := out.Bytes()
	return append(b, text[1:len(text)-2]...) // without quotes and line end
}
