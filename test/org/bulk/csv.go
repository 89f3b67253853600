package bulk

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// nullValue clears a field; an empty value leaves it as it is ("Prepare CSV
// Files").
const nullValue = "#N/A"

// writer writes CSV as Salesforce does: every value quoted, null as nothing at
// all between the quotes.
type writer struct {
	to        io.Writer
	delimiter rune
	ending    string // LF or CRLF
	line      []byte
}

func (w *writer) value(s string) {
	if len(w.line) > 0 {
		w.line = utf8.AppendRune(w.line, w.delimiter)
	}
	w.line = append(w.line, '"')
	for {
		i := strings.IndexByte(s, '"')
		if i < 0 {
			break
		}
		w.line = append(w.line, s[:i]...)
		w.line = append(w.line, '"', '"')
		s = s[i+1:]
	}
	w.line = append(w.line, s...)
	w.line = append(w.line, '"')
}

func (w *writer) end() {
	if w.ending == "CRLF" {
		w.line = append(w.line, '\r')
	}
	w.line = append(w.line, '\n')
	_, _ = w.to.Write(w.line)
	w.line = w.line[:0]
}

// table is an uploaded file.
type table struct {
	header []string
	rows   [][]string
}

// parseCSV reads an upload. The line ending has to be the one the job has
// declared; line breaks inside quotes are data.
func parseCSV(data []byte, delimiter rune, ending string) (table, error) {
	if !endsWith(data, ending) {
		return table{}, fmt.Errorf("ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is %s", ending)
	}
	r := csv.NewReader(bytes.NewReader(data))
	r.Comma = delimiter
	header, err := r.Read()
	if errors.Is(err, io.EOF) {
		return table{}, errors.New("InvalidBatch : Field names are missing")
	}
	if err != nil {
		return table{}, fmt.Errorf("InvalidBatch : %w", err)
	}
	rows, err := r.ReadAll()
	if err != nil {
		return table{}, fmt.Errorf("InvalidBatch : %w", err)
	}
	return table{header: header, rows: rows}, nil
}

// endsWith reports whether all lines end as declared.
func endsWith(data []byte, ending string) bool {
	quoted := false
	for i, b := range data {
		switch b {
		case '"':
			quoted = !quoted
		case '\n':
			crlf := i > 0 && data[i-1] == '\r'
			if !quoted && crlf != (ending == "CRLF") {
				return false
			}
		}
	}
	return true
}
