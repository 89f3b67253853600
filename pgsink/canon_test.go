package pgsink

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// The quick way of reading datetimes takes nothing that time.Parse does not,
// and reads what it takes as that does.
func TestParseUsual(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringMatching(`(0000|0001|19[0-9]{2}|2[0-9]{3})-[01][0-9]-[0-3][0-9][T tx][0-2][0-9]:[0-6][0-9][:.][0-6][0-9](\.[0-9]{1,4})?(Z|\+0000|\+0100|\+00:00|z|)`).Draw(rt, "text")
		got, ok := parseUsual(text)
		if !ok {
			return
		}
		for _, form := range datetimeForms() {
			if want, err := time.Parse(form, text); err == nil {
				if !got.Equal(want) || got.Location() != time.UTC {
					rt.Errorf("%s: got %s, want %s", text, got, want)
				}
				return
			}
		}
		rt.Errorf("%s: got %s, which is no datetime", text, got)
	})
	for _, text := range []string{"2020-08-06T06:22:19.123Z", "2020-08-06T06:22:19.000+0000", "2020-02-29T23:59:59", "2020-08-06 06:22:19", "2020-08-06 06:22:19.001"} {
		if _, ok := parseUsual(text); !ok {
			t.Errorf("%s is left to time.Parse", text)
		}
	}
	for _, text := range []string{"2021-02-29T00:00:00Z", "2020-08-06T24:00:00Z", "2020-08-06 06:22:19Z", "2020-13-01T00:00:00Z", "0000-01-01T00:00:00Z", "2020-08-06T06:60:19Z"} {
		if got, ok := parseUsual(text); ok {
			t.Errorf("%s is %s", text, got)
		}
	}
}
