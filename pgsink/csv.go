package pgsink

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// CSV decodes the rows of one Bulk API result.
type CSV struct {
	table   *Table
	columns []int // per CSV field: index into Table.Columns, fieldID or fieldSkip
	missing []string
	id      int // where Id is
	deleted int // where IsDeleted is, -1 if it is not there
}

const (
	fieldSkip = -1
	fieldID   = -2
)

// CSV prepares to decode rows under a header of API names. Id and
// SystemModstamp must be there, in any case; columns that are not mapped are
// passed over.
func (t *Table) CSV(header []string) (*CSV, error) {
	c := &CSV{table: t, columns: make([]int, len(header)), id: fieldSkip, deleted: -1}
	folded := make(map[string]int, len(t.fields))
	for name, i := range t.fields {
		folded[strings.ToLower(name)] = i
	}
	present := make([]bool, len(t.Columns))
	for at, name := range header {
		c.columns[at] = fieldSkip
		if strings.EqualFold(name, "Id") {
			c.columns[at], c.id = fieldID, at
			continue
		}
		i, ok := t.fields[name]
		if !ok {
			i, ok = folded[strings.ToLower(name)]
		}
		if ok && !present[i] {
			c.columns[at], present[i] = i, true
			if i == t.deleted {
				c.deleted = at
			}
		}
	}
	if c.id < 0 {
		return nil, &RecordError{Object: t.Object, Reason: "CSV header without Id"}
	}
	if !present[t.stamp] {
		return nil, &RecordError{Object: t.Object, Reason: "CSV header without SystemModstamp"}
	}
	for i, ok := range present {
		if !ok {
			c.missing = append(c.missing, t.Columns[i].Field)
		}
	}
	return c, nil
}

// Decode reads one row. An empty field is null: Salesforce stores no empty
// strings. The error is a *RecordError.
func (c *CSV) Decode(record [][]byte) (Row, error) {
	id, err := c.identify(record)
	if err != nil {
		return Row{}, err
	}
	row := Row{SFID: id, Values: make([]*string, len(c.table.Columns)), Missing: c.missing}
	for at, value := range record {
		if i := c.columns[at]; i >= 0 {
			row.Values[i] = canon(c.table.Columns[i].kind, string(value))
		}
	}
	c.table.finish(&row)
	return row, nil
}

// identify checks the number of values and returns the record's id.
func (c *CSV) identify(record [][]byte) (string, error) {
	if len(record) != len(c.columns) {
		return "", &RecordError{Object: c.table.Object, Reason: fmt.Sprintf("CSV row of %d fields under a header of %d", len(record), len(c.columns))}
	}
	id, ok := canonID(string(record[c.id]))
	if !ok {
		return "", &RecordError{Object: c.table.Object, Reason: "Id is not a Salesforce id"}
	}
	return id, nil
}

// errCSV reports a stream that is not CSV, or was cut off.
var errCSV = errors.New("malformed CSV")

// csvRecord is one record of RFC 4180. Unlike encoding/csv it keeps a carriage
// return inside a quoted value: text fields hold what the user typed, and the
// events of the same record say \r\n too.
type csvRecord struct {
	values   [][]byte // parts of what was scanned, or of unquoted
	unquoted []byte   // values with quotes in them, which are doubled in CSV
}

// scan reads the record that data begins with, passing over empty lines before
// it, and returns how many bytes that took. It returns 0 if data ends too
// early: more may follow unless end is set. A record of no values is the end.
// The values are good until data changes or the next scan.
func (r *csvRecord) scan(data []byte, end bool) (int, error) {
	r.values, r.unquoted = r.values[:0], r.unquoted[:0]
	for at := 0; at < len(data); {
		n, last, err := r.value(data[at:], end)
		if n == 0 || err != nil {
			return 0, err
		}
		at += n
		if !last {
			continue
		}
		if len(r.values) == 1 && len(r.values[0]) == 0 {
			r.values = r.values[:0]
			if !end && at == len(data) {
				return 0, nil
			}
			continue // an empty line
		}
		return at, nil
	}
	if !end {
		return 0, nil
	}
	if len(r.values) > 0 { // the last value is empty and without a line end
		r.values = append(r.values, nil)
	}
	return len(data), nil
}

// value reads one value and what ends it; last is true at the end of a record.
func (r *csvRecord) value(data []byte, end bool) (n int, last bool, err error) {
	if data[0] == '"' {
		return r.quoted(data, end)
	}
	for i, b := range data {
		switch b {
		case ',':
			r.values = append(r.values, data[:i])
			return i + 1, false, nil
		case '\n':
			r.values = append(r.values, bytes.TrimSuffix(data[:i], []byte{'\r'}))
			return i + 1, true, nil
		case '"':
			return 0, false, fmt.Errorf("%w: a quote inside an unquoted value", errCSV)
		}
	}
	if !end {
		return 0, false, nil
	}
	r.values = append(r.values, data)
	return len(data), true, nil // the last record needs no line end
}

// quoted reads a value in quotes.
func (r *csvRecord) quoted(data []byte, end bool) (n int, last bool, err error) {
	var value []byte
	start, at := len(r.unquoted), 1
	for {
		i := bytes.IndexByte(data[at:], '"')
		if i < 0 {
			if end {
				return 0, false, fmt.Errorf("%w: cut off inside a value", errCSV)
			}
			return 0, false, nil
		}
		value = data[at : at+i]
		at += i + 1
		if at < len(data) && data[at] == '"' {
			r.unquoted = append(r.unquoted, data[at-1-i:at]...)
			at++
			continue
		}
		if len(r.unquoted) > start {
			r.unquoted = append(r.unquoted, value...)
			value = r.unquoted[start:len(r.unquoted):len(r.unquoted)]
		}
		break
	}
	n, last, err = separator(data[at:], end)
	if n < 0 || err != nil {
		return 0, false, err
	}
	r.values = append(r.values, value)
	return at + n, last, nil
}

// separator reads what follows a closing quote; n is -1 if that is not there yet.
func separator(data []byte, end bool) (n int, last bool, err error) {
	switch {
	case len(data) == 0 && end:
		return 0, true, nil
	case len(data) == 0:
		return -1, false, nil
	case data[0] == ',':
		return 1, false, nil
	case data[0] == '\n':
		return 1, true, nil
	case data[0] != '\r':
		return 0, false, fmt.Errorf("%w: a quoted value goes on after its quote", errCSV)
	case len(data) > 1 && data[1] == '\n':
		return 2, true, nil
	case len(data) > 1:
		return 0, false, fmt.Errorf("%w: a carriage return alone", errCSV)
	case end:
		return 1, true, nil
	}
	return -1, false, nil
}
