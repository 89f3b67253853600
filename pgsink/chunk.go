package pgsink

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

const (
	// chunkSize is how much CSV makes a chunk, in bytes: enough that the cost of
	// a transaction is lost in it, and so little that it is over in some tens
	// of milliseconds, because events of its records wait for it.
	chunkSize = 1 << 20
	// maxRecord bounds one CSV record, in bytes. Salesforce's own bound is far
	// below: a record's long text fields hold 1.6 million characters.
	maxRecord = 64 << 20
)

// Chunks cuts one page of a Bulk query's result into chunks of whole records.
// It is for one goroutine.
type Chunks struct {
	in      io.Reader
	csv     *CSV
	columns []encoding // of the values of a record, in the order of the CSV
	record  csvRecord
	skip    int64  // records yet to be passed over
	rest    []byte // of the chunk before: a record that was cut
	end     bool   // in has ended
}

// Chunk is records of one table on their way into it: as CSV, and ready for
// COPY as far as that is possible. It can be used again and again, and keeps
// its memory.
type Chunk struct {
	Table *Table
	Rows  int64 // records, with those that Salesforce has deleted

	csv     *CSV
	raw     []byte
	records []csvSpan
	ids     []string // of the records
	tuples  []byte   // in COPY's binary format
	ends    []int    // of each record's tuple; the start is the end of the one before
}

// csvSpan is where a record is in a chunk.
type csvSpan struct{ from, to int }

// Chunks prepares to cut csv, whose header it reads, without its first records,
// as many as skip says. The header must name Id and SystemModstamp; what is not
// mapped is passed over.
func (t *Table) Chunks(csv io.Reader, skip int64) (*Chunks, error) {
	c := &Chunks{in: csv, skip: skip}
	first := &Chunk{}
	n, err := c.fill(first)
	if err == nil && n == 0 {
		err = fmt.Errorf("%w: no header", errCSV)
	}
	if err != nil {
		return nil, fmt.Errorf("pgsink: page of %s: %w", t.Object, err)
	}
	header := make([]string, len(c.record.values))
	for i, name := range c.record.values {
		header[i] = string(name)
	}
	if c.csv, err = t.CSV(header); err != nil {
		return nil, err
	}
	c.columns = t.encodings(c.csv)
	c.rest = first.raw[n:]
	return c, nil
}

// Next fills chunk with the next records. It returns io.EOF with the last
// chunk, the only one that may be empty. The error of the stream is returned as
// it is; CSV that is none and a record without Id are errors too.
func (c *Chunks) Next(chunk *Chunk) error {
	for {
		if err := c.next(chunk); err != nil {
			return err
		}
		if c.end {
			return io.EOF
		}
		if chunk.Rows > 0 {
			return nil
		}
	}
}

func (c *Chunks) next(chunk *Chunk) error {
	if cap(chunk.raw)+cap(chunk.tuples) > 8*chunkSize {
		chunk.raw, chunk.tuples = nil, nil // a giant record does not occupy memory for ever
	}
	chunk.Table, chunk.csv, chunk.Rows = c.csv.table, c.csv, 0
	chunk.raw = append(chunk.raw[:0], c.rest...)
	chunk.records, chunk.ids = chunk.records[:0], chunk.ids[:0]
	chunk.tuples, chunk.ends = chunk.tuples[:0], chunk.ends[:0]
	n, err := c.fill(chunk)
	if err != nil {
		return fmt.Errorf("pgsink: page of %s: %w", chunk.Table.Object, err)
	}
	clean := utf8.Valid(chunk.raw) && bytes.IndexByte(chunk.raw, 0) < 0
	at := 0
	for n > 0 && len(c.record.values) > 0 {
		if c.skip > 0 {
			c.skip--
		} else if err := c.add(chunk, csvSpan{at, at + n}, clean); err != nil {
			return err
		}
		at += n
		if at == len(chunk.raw) {
			n = 0
			break
		}
		if n, err = c.record.scan(chunk.raw[at:], c.end); err != nil {
			return fmt.Errorf("pgsink: page of %s: %w", chunk.Table.Object, err)
		}
	}
	c.rest = append(c.rest[:0], chunk.raw[at+n:]...)
	return nil
}

// fill reads until the chunk is full, and has a whole record unless that was the
// end. It leaves the first record scanned and returns its length.
func (c *Chunks) fill(chunk *Chunk) (int, error) {
	for want := chunkSize; ; want = 2 * len(chunk.raw) {
		if cap(chunk.raw) < want {
			chunk.raw = append(make([]byte, 0, want), chunk.raw...)
		}
		for !c.end && len(chunk.raw) < want {
			n, err := c.in.Read(chunk.raw[len(chunk.raw):want])
			chunk.raw = chunk.raw[:len(chunk.raw)+n]
			if c.end = errors.Is(err, io.EOF); err != nil && !c.end {
				return 0, err
			}
		}
		n, err := c.record.scan(chunk.raw, c.end)
		if n > 0 || err != nil || c.end {
			return n, err
		}
		if len(chunk.raw) > maxRecord {
			return 0, fmt.Errorf("%w: a record of more than %d bytes", errCSV, maxRecord)
		}
	}
}

// add takes the record that was scanned into the chunk.
func (c *Chunks) add(chunk *Chunk, where csvSpan, clean bool) error {
	id, err := c.csv.identify(c.record.values)
	if err != nil {
		return err
	}
	chunk.Rows++
	if c.deleted() {
		return nil
	}
	chunk.records, chunk.ids = append(chunk.records, where), append(chunk.ids, id)
	start := len(chunk.tuples)
	tuple, ok := appendTuple(chunk.tuples, c.columns, c.record.values, id, clean)
	if !ok {
		tuple = tuple[:start]
	}
	chunk.tuples, chunk.ends = tuple, append(chunk.ends, len(tuple))
	return nil
}

// deleted reports IsDeleted.
func (c *Chunks) deleted() bool {
	at := c.csv.deleted
	return at >= 0 && canonBool(string(c.record.values[at])) == "true"
}

// tuple is the binary form of record i, empty if it has none.
func (c *Chunk) tuple(i int) []byte {
	start := 0
	if i > 0 {
		start = c.ends[i-1]
	}
	return c.tuples[start:c.ends[i]]
}
