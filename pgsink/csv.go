package pgsink

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxRecord bounds one CSV record, in bytes. Salesforce's own bound is far
// below: a record's long text fields hold 1.6 million characters.
const maxRecord = 64 << 20

// CSV decodes the rows of one Bulk API result.
type CSV struct {
	table   *Table
	columns []int // per CSV field: index into Table.Columns, fieldID or fieldSkip
	missing []string
	id      int
}

const (
	fieldSkip = -1
	fieldID   = -2
)

// CSV prepares to decode rows under a header of API names. Id and
// SystemModstamp must be there, in any case; columns that are not mapped are
// passed over.
func (t *Table) CSV(header []string) (*CSV, error) {
	c := &CSV{table: t, columns: make([]int, len(header)), id: fieldSkip}
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
func (c *CSV) Decode(record []string) (Row, error) {
	if len(record) != len(c.columns) {
		return Row{}, &RecordError{Object: c.table.Object, Reason: fmt.Sprintf("CSV row of %d fields under a header of %d", len(record), len(c.columns))}
	}
	id, ok := canonID(record[c.id])
	if !ok {
		return Row{}, &RecordError{Object: c.table.Object, Reason: "Id is not a Salesforce id"}
	}
	row := Row{SFID: id, Values: make([]*string, len(c.table.Columns)), Missing: c.missing}
	for at, value := range record {
		if i := c.columns[at]; i >= 0 {
			row.Values[i] = canon(c.table.Columns[i].kind, value)
		}
	}
	c.table.finish(&row)
	return row, nil
}

// errCSV reports a stream that is not CSV, or was cut off.
var errCSV = errors.New("malformed CSV")

// csvReader reads RFC 4180 records. Unlike encoding/csv it keeps a carriage
// return inside a quoted value: text fields hold what the user typed, and the
// events of the same record say \r\n too.
type csvReader struct {
	in     *bufio.Reader
	record []byte // the current record's values, one after the other
	ends   []int
	fields []string
}

func newCSVReader(in io.Reader) *csvReader {
	return &csvReader{in: bufio.NewReaderSize(in, 64<<10)}
}

// Read returns the next record, valid until the next call, or io.EOF. Empty
// lines are passed over.
func (r *csvReader) Read() ([]string, error) {
	for {
		r.record, r.ends = r.record[:0], r.ends[:0]
		err := r.scan()
		blank := len(r.ends) == 1 && len(r.record) == 0
		if err != nil && (!errors.Is(err, io.EOF) || len(r.ends) == 0) {
			return nil, err
		}
		if blank {
			continue
		}
		all := string(r.record) // one allocation for all values
		r.fields = r.fields[:0]
		start := 0
		for _, end := range r.ends {
			r.fields = append(r.fields, all[start:end])
			start = end
		}
		return r.fields, nil
	}
}

// scan reads up to the end of a line that is not inside quotes.
func (r *csvReader) scan() error {
	if _, err := r.in.Peek(1); err != nil {
		return err
	}
	for {
		last, err := r.value()
		if err != nil {
			return err
		}
		r.ends = append(r.ends, len(r.record))
		if last {
			return nil
		}
	}
}

// value reads one value and what ends it; last is true at the end of a record.
func (r *csvReader) value() (last bool, err error) {
	c, err := r.in.ReadByte()
	if errors.Is(err, io.EOF) {
		return true, nil // the last record needs no line end
	}
	if err != nil {
		return false, err
	}
	if c == '"' {
		if err := r.quoted(); err != nil {
			return false, err
		}
		return r.separator()
	}
	for {
		switch c {
		case ',':
			return false, nil
		case '\n':
			if n := len(r.record); n > 0 && r.record[n-1] == '\r' && n > r.start() {
				r.record = r.record[:n-1]
			}
			return true, nil
		case '"':
			return false, fmt.Errorf("%w: a quote inside an unquoted value", errCSV)
		}
		if r.record = append(r.record, c); len(r.record) > maxRecord {
			return false, fmt.Errorf("%w: a record of more than %d bytes", errCSV, maxRecord)
		}
		if c, err = r.in.ReadByte(); errors.Is(err, io.EOF) {
			return true, nil
		} else if err != nil {
			return false, err
		}
	}
}

// start is where the current value begins.
func (r *csvReader) start() int {
	if len(r.ends) == 0 {
		return 0
	}
	return r.ends[len(r.ends)-1]
}

// quoted reads up to the closing quote, whole runs at a time.
func (r *csvReader) quoted() error {
	for {
		part, err := r.in.ReadSlice('"')
		if len(r.record)+len(part) > maxRecord {
			return fmt.Errorf("%w: a record of more than %d bytes", errCSV, maxRecord)
		}
		r.record = append(r.record, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF):
			return fmt.Errorf("%w: cut off inside a value: %w", errCSV, io.ErrUnexpectedEOF)
		case err != nil:
			return err
		}
		next, err := r.in.ReadByte()
		if err == nil && next == '"' {
			continue // a doubled quote: the one already taken stays
		}
		r.record = r.record[:len(r.record)-1]
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		return r.in.UnreadByte()
	}
}

// separator reads what follows a closing quote.
func (r *csvReader) separator() (last bool, err error) {
	c, err := r.in.ReadByte()
	if err == nil && c == '\r' {
		c, err = r.in.ReadByte()
		if err == nil && c != '\n' {
			return false, fmt.Errorf("%w: a carriage return alone", errCSV)
		}
	}
	switch {
	case errors.Is(err, io.EOF):
		return true, nil
	case err != nil:
		return false, err
	case c == ',':
		return false, nil
	case c == '\n':
		return true, nil
	}
	return false, fmt.Errorf("%w: a quoted value goes on after its quote", errCSV)
}
