package pgsink

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// encoding is how values of one CSV column become values of COPY's binary
// format, which are those of the column type's receive function (PostgreSQL
// documentation, COPY, "Binary Format"; the functions are in
// src/backend/utils/adt).
type encoding struct {
	form   form
	length int  // characters that a text column holds
	isID   bool // 15 characters are made 18
}

type form int

const (
	formNone      form = iota // no form: such records go through the merge
	formSkip                  // the column is not mapped
	formSFID                  // the record's id
	formText                  // bytes
	formBool                  // one byte
	formInt                   // 4 bytes
	formBigint                // 8 bytes
	formDouble                // 8 bytes, IEEE 754
	formNumeric               // digits to the base of 10,000
	formDate                  // days since 2000-01-01, 4 bytes
	formTimestamp             // microseconds since 2000-01-01, 8 bytes
	formTime                  // microseconds since midnight, 8 bytes
)

// encodings says how the columns of a CSV are encoded.
func (t *Table) encodings(csv *CSV) []encoding {
	types := t.types()
	all := make([]encoding, len(csv.columns))
	for at, i := range csv.columns {
		switch i {
		case fieldSkip:
			all[at].form = formSkip
		case fieldID:
			all[at].form = formSFID
		default:
			all[at] = encodingOf(t.Columns[i].kind, types[i])
		}
	}
	return all
}

func encodingOf(k kind, pgType string) encoding {
	if isText(pgType) {
		if k == kindText || k == kindAny || k == kindID {
			return encoding{form: formText, length: textLength(pgType), isID: k == kindID}
		}
		return encoding{}
	}
	forms := map[kind]map[string]form{
		kindBool:     {"boolean": formBool},
		kindNumber:   {"integer": formInt, "bigint": formBigint, "double precision": formDouble, "numeric": formNumeric},
		kindDate:     {"date": formDate},
		kindDatetime: {"timestamp without time zone": formTimestamp},
		kindTime:     {"time without time zone": formTime},
	}
	return encoding{form: forms[k][pgType]}
}

// appendTuple appends a record with its _hc_lastop. ok is false if a value has
// no binary form or is not certain to be taken: then the merge, which reads
// the same canonical texts as every other way into the table, has to decide
// about it. clean says that no value holds U+0000 or what is no UTF-8.
func appendTuple(to []byte, columns []encoding, values [][]byte, sfid string, clean bool) (_ []byte, ok bool) {
	mapped := 1
	for _, c := range columns {
		if c.form != formSkip {
			mapped++
		}
	}
	to = binary.BigEndian.AppendUint16(to, uint16(mapped))
	for at, value := range values {
		c := columns[at]
		switch {
		case c.form == formSkip:
			continue
		case c.form == formSFID:
			to = binary.BigEndian.AppendUint32(to, uint32(len(sfid))) //nolint:gosec // 18
			to = append(to, sfid...)
			continue
		case len(value) == 0:
			to = append(to, 0xff, 0xff, 0xff, 0xff) // null
			continue
		}
		start := len(to)
		to = append(to, 0, 0, 0, 0)
		if to, ok = c.append(to, value, clean); !ok {
			return to, false
		}
		binary.BigEndian.PutUint32(to[start:], uint32(len(to)-start-4)) //nolint:gosec // at most maxRecord
	}
	to = append(to, 0, 0, 0, byte(len(lastOpSynced)))
	return append(to, lastOpSynced...), true
}

// lastOpSynced is the _hc_lastop of a row as Salesforce has it.
const lastOpSynced = "SYNCED"

func (c encoding) append(to, value []byte, clean bool) (_ []byte, ok bool) {
	switch c.form {
	case formText:
		return c.appendText(to, value, clean)
	case formBool:
		switch canonBool(string(value)) {
		case "true":
			return append(to, 1), true
		case "false":
			return append(to, 0), true
		}
	case formInt:
		n, err := strconv.ParseInt(plainNumber(value), 10, 32)
		return binary.BigEndian.AppendUint32(to, uint32(n)), err == nil //nolint:gosec // it fits
	case formBigint:
		n, err := strconv.ParseInt(plainNumber(value), 10, 64)
		return binary.BigEndian.AppendUint64(to, uint64(n)), err == nil //nolint:gosec // it is sent as it is
	case formDouble:
		return appendDouble(to, plainNumber(value))
	case formNumeric:
		return appendNumeric(to, plainNumber(value))
	case formDate:
		days, ok := parseDays(dayOf(string(value)))
		return binary.BigEndian.AppendUint32(to, uint32(days)), ok //nolint:gosec // it fits
	case formTimestamp:
		us, ok := parseStamp(value)
		return binary.BigEndian.AppendUint64(to, uint64(us)), ok //nolint:gosec // it is sent as it is
	case formTime:
		us, ok := parseMicroseconds(canonTime(string(value)))
		return binary.BigEndian.AppendUint64(to, uint64(us)), ok //nolint:gosec // it is sent as it is
	case formNone, formSkip, formSFID:
	}
	return to, false
}

func (c encoding) appendText(to, value []byte, clean bool) ([]byte, bool) {
	if !clean && (bytes.IndexByte(value, 0) >= 0 || !utf8.Valid(value)) {
		return to, false
	}
	if c.isID {
		id, _ := canonID(string(value))
		return append(to, id...), len(id) <= c.length
	}
	if len(value) > c.length && utf8.RuneCount(value) > c.length {
		return to, false
	}
	return append(to, value...), true
}

// plainNumber is a number's canonical text, or "" if it is none.
func plainNumber(value []byte) string {
	if isPlainNumber(value) {
		return string(value) // as nearly all are
	}
	text := canonNumber(string(value))
	whole, fraction, point := strings.Cut(strings.TrimPrefix(text, "-"), ".")
	if whole == "" || !digits(whole) || !digits(fraction) || point && fraction == "" {
		return ""
	}
	return text
}

// isPlainNumber reports digits that are canonical as they are.
func isPlainNumber(value []byte) bool {
	whole, fraction, point := bytes.Cut(bytes.TrimPrefix(value, []byte{'-'}), []byte{'.'})
	for _, part := range [][]byte{whole, fraction} {
		for _, b := range part {
			if b < '0' || b > '9' {
				return false
			}
		}
	}
	switch {
	case len(whole) == 0 || len(whole) > 1 && whole[0] == '0':
		return false
	case point:
		return len(fraction) > 0 && fraction[len(fraction)-1] != '0'
	}
	return value[0] != '-' || whole[0] != '0'
}

// appendDouble leaves to Postgres what a double cannot hold: infinities, and
// numbers so small that they would be zero.
func appendDouble(to []byte, text string) ([]byte, bool) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f == 0 && text != "0" {
		return to, false
	}
	return binary.BigEndian.AppendUint64(to, math.Float64bits(f)), true
}

// appendNumeric writes the groups of four digits around the decimal point,
// without groups of zeros at either end. text is canonical.
func appendNumeric(to []byte, text string) ([]byte, bool) {
	const group, most = 4, 1000 // the latter is far below Postgres's limit
	if text == "" || len(text) > most {
		return to, false
	}
	sign := uint16(0)
	if strings.HasPrefix(text, "-") {
		sign, text = 0x4000, text[1:]
	}
	whole, fraction, _ := strings.Cut(text, ".")
	scale := len(fraction)
	all := strings.Repeat("0", (group-len(whole)%group)%group) + whole
	weight := len(all)/group - 1
	all += fraction + strings.Repeat("0", (group-scale%group)%group)
	for len(all) > 0 && strings.HasPrefix(all, "0000") {
		all, weight = all[group:], weight-1
	}
	for len(all) > 0 && strings.HasSuffix(all, "0000") {
		all = all[:len(all)-group]
	}
	if all == "" {
		weight = 0
	}
	for _, n := range []int{len(all) / group, weight, int(sign), scale} {
		to = binary.BigEndian.AppendUint16(to, uint16(n)) //nolint:gosec // bounded by most; the weight is signed
	}
	for ; all != ""; all = all[group:] {
		n, _ := strconv.Atoi(all[:group])
		to = binary.BigEndian.AppendUint16(to, uint16(n)) //nolint:gosec // four digits
	}
	return to, true
}

// epoch is where Postgres counts from.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).Unix()

// parseDays reads a date of the years that Salesforce and Postgres both know.
func parseDays(text string) (int32, bool) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1 {
		return 0, false
	}
	return int32((t.Unix() - epoch) / (24 * 60 * 60)), true //nolint:gosec // years 1 to 9999
}

// parseMicroseconds reads a canonical time of day.
func parseMicroseconds(text string) (int64, bool) {
	t, err := time.Parse("15:04:05", text)
	if err != nil {
		return 0, false
	}
	hour, minute, second := t.Clock()
	return int64(hour*3600+minute*60+second)*1_000_000 + int64(t.Nanosecond()/1000), true
}

// parseStamp reads a datetime. Bulk results have them all in one form, which
// is worth a way of its own: a record has several.
func parseStamp(value []byte) (int64, bool) {
	const form = "0000-00-00T00:00:00.000Z"
	if len(value) == len(form) {
		var n [len(form)]int
		ok := true
		for i, b := range value {
			if form[i] != '0' {
				ok = ok && b == form[i]
				continue
			}
			n[i] = int(b - '0')
			ok = ok && b >= '0' && b <= '9'
		}
		two := func(i int) int { return 10*n[i] + n[i+1] }
		year, month, day, hour, minute, second := 100*two(0)+two(2), two(5), two(8), two(11), two(14), two(17)
		t := time.Date(year, time.Month(month), day, hour, minute, second, 0, time.UTC)
		if ok && year > 0 && month > 0 && month < 13 && day == t.Day() && hour < 24 && minute < 60 && second < 60 {
			return (t.Unix()-epoch)*1_000_000 + int64(10*two(20)+n[22])*1000, true
		}
	}
	t, ok := parseDatetime(string(value))
	return (t.Unix()-epoch)*1_000_000 + int64(t.Nanosecond()/1000), ok
}
