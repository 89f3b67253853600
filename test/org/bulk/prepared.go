package bulk

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// Prepare makes query jobs on an object answer with a file instead of walking
// its records, so that a measurement of millions of rows measures its client.
// The file is a result as this server writes them; the columns should be those
// that will be asked for. It must stay as it is until the server is closed.
func (s *Server) Prepare(object, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	p := &spool{file: file, shared: true}
	if err := p.index(); err != nil {
		_ = file.Close()
		return fmt.Errorf("bulk: %s: %w", path, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prepared[strings.ToLower(object)] = p
	return nil
}

// index finds the places of the rows of a file that was written by others.
func (p *spool) index() error {
	in := bufio.NewReaderSize(p.file, 1<<20)
	for quoted := false; ; {
		part, err := in.ReadSlice('\n')
		p.size += int64(len(part))
		for _, b := range part {
			if b == '"' {
				quoted = !quoted
			}
		}
		switch {
		case err == nil && !quoted:
			p.row()
		case errors.Is(err, io.EOF) && len(part) > 0:
			return errors.New("the last row has no end")
		case errors.Is(err, io.EOF) && len(p.starts) == 0:
			return errors.New("no header")
		case errors.Is(err, io.EOF):
			return nil
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}
