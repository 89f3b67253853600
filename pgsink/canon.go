package pgsink

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// maxExponent bounds how many zeros an exponent may write out. A double ends at
// 308; what is larger goes to Postgres as it came, and Postgres refuses it.
const maxExponent = 400

// notValue begins what canon makes of a text that is no value of its type.
// Postgres has values that Salesforce has not, such as the number NaN or the
// date today, and must refuse them like any other nonsense.
const notValue = "not a value: "

// canon brings a value's text, whatever it came from, into the one form that
// Postgres reads and that compares equal for equal values. nil is null. Of a
// text that is no value of its type it makes one that Postgres refuses, and the
// record is parked. What is no Unicode in a text becomes U+FFFD.
func canon(k kind, text string) *string {
	if text = canonText(k, text); text == "" {
		return nil
	}
	return &text
}

// canonText is canon with "" for null.
func canonText(k kind, text string) string {
	if text == "" {
		return ""
	}
	switch k {
	case kindID:
		id, ok := canonID(text)
		if !ok {
			id = wellFormed(text)
		}
		text = id
	case kindBool:
		text = canonBool(text)
	case kindNumber:
		text = canonNumber(text)
	case kindDate:
		text = canonDate(text)
	case kindDatetime:
		text = canonDatetime(text)
	case kindTime:
		text = canonTime(text)
	case kindText, kindAny:
		text = wellFormed(text)
	}
	return text
}

// refused makes a text that no type but text takes.
func refused(text string) string {
	if strings.HasPrefix(text, notValue) {
		return text
	}
	return notValue + text
}

// wellFormed replaces what is no UTF-8. Half of a surrogate pair, which a text
// in Salesforce may hold, is one U+FFFD, as encoding/json decodes its escape.
func wellFormed(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 && len(s) >= 3 && s[0] == 0xED && s[1]&0xE0 == 0xA0 && s[2]&0xC0 == 0x80 {
			n = 3
		}
		b.WriteRune(r)
		s = s[n:]
	}
	return b.String()
}

// canonID turns 15 characters into 18; ok is false for what is no id.
//
// The last three characters say which of the first fifteen are capitals, five
// to a character, the first in the lowest bit (Salesforce SOAP API Developer
// Guide, "ID Field Type").
func canonID(id string) (string, bool) {
	if len(id) != 15 && len(id) != 18 {
		return id, false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return id, false
		}
	}
	if len(id) == 18 {
		return id, true
	}
	const check = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
	full := make([]byte, 15, 18)
	copy(full, id)
	for group := 0; group < 15; group += 5 {
		bits := 0
		for i := range 5 {
			if c := id[group+i]; c >= 'A' && c <= 'Z' {
				bits |= 1 << i
			}
		}
		full = append(full, check[bits])
	}
	return string(full), true
}

func canonBool(text string) string {
	switch {
	case strings.EqualFold(text, "true"), text == "1":
		return "true"
	case strings.EqualFold(text, "false"), text == "0":
		return "false"
	}
	return refused(text)
}

// canonNumber writes out the exact digits: no exponent, no zeros before the
// first digit or after the last one behind the point, no "-0". It never goes
// through a float, which has 15 digits where Salesforce sends 18.
func canonNumber(text string) string {
	rest := text
	negative := strings.HasPrefix(rest, "-")
	if negative || strings.HasPrefix(rest, "+") {
		rest = rest[1:]
	}
	mantissa, exponent := rest, 0
	if i := strings.IndexAny(rest, "eE"); i >= 0 {
		e, err := strconv.Atoi(rest[i+1:])
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return refused(text)
		}
		mantissa, exponent = rest[:i], e
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	if whole+fraction == "" || !digits(whole) || !digits(fraction) {
		return refused(text)
	}
	if exponent < -maxExponent || exponent > maxExponent {
		return text
	}
	all, point := whole+fraction, len(whole)+exponent
	if point < 0 {
		all, point = strings.Repeat("0", -point)+all, 0
	}
	if point > len(all) {
		all += strings.Repeat("0", point-len(all))
	}
	whole, fraction = strings.TrimLeft(all[:point], "0"), strings.TrimRight(all[point:], "0")
	if whole == "" {
		whole = "0"
	}
	if fraction != "" {
		whole += "." + fraction
	}
	if negative && whole != "0" {
		return "-" + whole
	}
	return whole
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// Forms of a datetime on the wire. REST writes +0000 where events and Bulk
// write Z (Salesforce REST API Developer Guide, "Valid Date and DateTime
// Formats"); Go accepts a fraction after the seconds of each. The last is our
// own form, so that canon does not change what it made.
func datetimeForms() [5]string {
	return [...]string{
		"2006-01-02T15:04:05Z07:00",
		"2006-01-02T15:04:05Z0700",
		"2006-01-02T15:04:05Z07",
		"2006-01-02T15:04:05",
		"2006-01-02 15:04:05",
	}
}

// parseDatetime reads a datetime in any of its forms, or as the milliseconds
// since 1970 that some APIs send. The result is UTC and whole milliseconds.
func parseDatetime(text string) (time.Time, bool) {
	if t, ok := parseUsual(text); ok {
		return t, true
	}
	if len(text) > 10 && text[4] == '-' {
		for _, form := range datetimeForms() {
			if t, err := time.Parse(form, text); err == nil {
				t = t.UTC().Truncate(time.Millisecond)
				return t, t.Year() >= 1 && t.Year() <= 9999
			}
		}
		return time.Time{}, false
	}
	ms, err := strconv.ParseInt(text, 10, 64)
	if err != nil || ms < -62135596800000 || ms > 253402300799999 { // years 1 to 9999
		return time.Time{}, false
	}
	return time.UnixMilli(ms).UTC(), true
}

// parseUsual reads the forms that nearly all datetimes have, in UTC and with
// three digits after the seconds or none, which time.Parse takes ten times as
// long for. It leaves all others to that.
func parseUsual(text string) (t time.Time, ok bool) {
	const form = "0000-00-00T00:00:00"
	if len(text) < len(form) {
		return t, false
	}
	number := func(from, to int) (n int) {
		for _, c := range []byte(text[from:to]) {
			n = 10*n + int(c-'0')
		}
		return n
	}
	for i := range len(form) {
		c := text[i]
		if form[i] == '0' && (c < '0' || c > '9') || form[i] != '0' && c != form[i] && (i != 10 || c != ' ') {
			return t, false
		}
	}
	zone, ms := text[len(form):], 0
	if len(zone) >= 4 && zone[0] == '.' && digits(zone[1:4]) {
		zone, ms = zone[4:], number(len(form)+1, len(form)+4)
	}
	if zone != "" && (text[10] == ' ' || zone != "Z" && zone != "+0000") {
		return t, false
	}
	year, month, day, hour, minute, second := number(0, 4), number(5, 7), number(8, 10), number(11, 13), number(14, 16), number(17, 19)
	t = time.Date(year, time.Month(month), day, hour, minute, second, ms*int(time.Millisecond), time.UTC)
	// A date that does not exist becomes another one.
	return t, year > 0 && t.Day() == day && int(t.Month()) == month && hour < 24 && minute < 60 && second < 60
}

func canonDate(text string) string {
	day := dayOf(text)
	if _, err := time.Parse(time.DateOnly, day); err != nil {
		return refused(text)
	}
	return day
}

// dayOf cuts off what may follow a day. PushTopic events have dates as datetimes,
// 2019-04-23T00:00:00.000Z, as seen in the events of real orgs; any other time than
// midnight of UTC says that it is no date, and stays.
func dayOf(text string) string {
	day, rest, long := strings.Cut(text, "T")
	if !long {
		return strings.TrimSuffix(text, "Z")
	}
	zone, midnight := strings.CutPrefix(rest, "00:00:00")
	if fraction, ok := strings.CutPrefix(zone, "."); ok {
		zone = strings.TrimLeft(fraction, "0")
		midnight = midnight && zone != fraction
	}
	if midnight && (zone == "Z" || zone == "+0000" || zone == "+00:00") {
		return day
	}
	return text
}

func canonDatetime(text string) string {
	t, ok := parseDatetime(text)
	if !ok {
		return refused(text)
	}
	if t.Nanosecond() == 0 {
		return t.Format("2006-01-02 15:04:05")
	}
	return t.Format("2006-01-02 15:04:05.000")
}

// canonTime reads a time of day in UTC, or milliseconds since midnight.
func canonTime(text string) string {
	var t time.Time
	ms, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err == nil && ms >= 0 && ms < 24*60*60*1000:
		t = time.UnixMilli(ms).UTC()
	case err == nil:
		return refused(text)
	default:
		for _, form := range []string{"15:04:05Z07:00", "15:04:05Z0700", "15:04:05"} {
			if t, err = time.Parse(form, text); err == nil {
				break
			}
		}
		if err != nil {
			return refused(text)
		}
		t = t.UTC().Truncate(time.Millisecond)
	}
	if t.Nanosecond() == 0 {
		return t.Format("15:04:05")
	}
	return t.Format("15:04:05.000")
}
