package bulk

import (
	"bytes"
	"io"
	"os"
)

// spool holds the CSV of a query: a header and rows whose places are known. It
// is written once, then read by any number of readers. Above a limit it lives
// in a temporary file without a name, which ends with the process.
type spool struct {
	limit  int
	shared bool         // by many jobs: it outlives each of them
	buf    bytes.Buffer // what is not in the file
	file   *os.File
	size   int64   // of all bytes so far
	starts []int64 // of the rows, after the header
	err    error
}

func newSpool(limit int) *spool { return &spool{limit: limit} }

func (p *spool) Write(b []byte) (int, error) {
	p.size += int64(len(b))
	p.buf.Write(b)
	if p.buf.Len() > p.limit {
		_ = p.spill()
	}
	return len(b), nil
}

// spill moves the buffer to the file.
func (p *spool) spill() error {
	if p.err != nil {
		return p.err
	}
	if p.file == nil {
		if p.file, p.err = os.CreateTemp("", "bulk-result-*.csv"); p.err != nil {
			return p.err
		}
		// Without a name the file goes with its last descriptor. Where the
		// system refuses to remove an open file, discard removes it.
		_ = os.Remove(p.file.Name())
	}
	_, p.err = p.buf.WriteTo(p.file)
	return p.err
}

func (p *spool) flush() error {
	if p.file == nil {
		return p.err
	}
	return p.spill()
}

// header marks the end of the header, row the end of a row.
func (p *spool) header() { p.starts = append(p.starts, p.size) }
func (p *spool) row()    { p.starts = append(p.starts, p.size) }

func (p *spool) rows() int { return max(0, len(p.starts)-1) }

// page returns the header and rows from up to but not including to.
func (p *spool) page(from, to int) io.Reader {
	head := io.NewSectionReader(p.at(), 0, p.starts[0])
	body := io.NewSectionReader(p.at(), p.starts[from], p.starts[to]-p.starts[from])
	return io.MultiReader(head, body)
}

func (p *spool) at() io.ReaderAt {
	if p.file != nil {
		return p.file
	}
	return bytes.NewReader(p.buf.Bytes())
}

func (p *spool) discard() {
	if p == nil || p.file == nil || p.shared {
		return
	}
	_ = p.file.Close()
	_ = os.Remove(p.file.Name())
}
