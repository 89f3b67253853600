package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mattn/go-isatty"
	"golang.org/x/term"
)

// isTerminal reports whether somebody watches w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}

// watched reports whether standard error is a terminal that can draw over a line.
func (p *program) watched() bool { return isTerminal(p.stderr) && p.getenv("TERM") != "dumb" }

// getenv is os.Getenv for the environment that the program was given.
func (p *program) getenv(name string) string {
	for _, entry := range p.environ {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value
		}
	}
	return ""
}

// colours reports whether what goes to w may have colours: on a terminal that
// has them, where nobody has said no (https://no-color.org).
func (p *program) colours(w io.Writer) bool {
	return !p.noColour && p.getenv("NO_COLOR") == "" && p.getenv("TERM") != "dumb" && isTerminal(w)
}

// Colours, as terminals number them.
const (
	red    = 31
	green  = 32
	yellow = 33
)

// paint colours text for standard output.
func (p *program) paint(colour int, text string) string {
	if !p.colours(p.stdout) {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

// many is a number of things, with the verb that goes with it: "1 entry is", "3 entries are".
func many[N int | int64](n N, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprint(n, " ", more)
}

func (p *program) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(p.stdout, format, args...) // nowhere to tell
}

// json prints v for programs.
func (p *program) json(v any) error {
	e := json.NewEncoder(p.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// width is that of the terminal w, 0 where it is none and nothing is to be cut.
func width(w io.Writer) int {
	f, ok := w.(*os.File)
	if !ok || !isTerminal(f) {
		return 0
	}
	columns, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return columns
}

// column is one of a table.
type column struct {
	name string
	drop int // where the table is too wide, the columns with the highest number go first; those with 0 stay
	cut  int // it may be cut to this many characters, if not 0
	nums bool
}

// gap is between two columns.
const gap = 2

// table prints rows under their heads, no wider than the terminal: columns go
// in their order, then what may be cut is.
func (p *program) table(columns []column, rows [][]string) {
	writeTable(p.stdout, width(p.stdout), columns, rows)
}

// writeTable prints a table at most most characters wide, or as wide as it is
// if most is 0.
func writeTable(w io.Writer, most int, columns []column, rows [][]string) {
	widths := make([]int, len(columns))
	shown := make([]bool, len(columns))
	for i, c := range columns {
		shown[i], widths[i] = true, utf8.RuneCountInString(c.name)
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	total := func(shortest bool) int {
		n := -gap
		for i, c := range columns {
			if !shown[i] {
				continue
			}
			width := widths[i]
			if shortest && c.cut > 0 {
				width = min(width, c.cut)
			}
			n += width + gap
		}
		return n
	}
	for most > 0 && total(true) > most {
		last := -1
		for i, c := range columns {
			if shown[i] && c.drop > 0 && (last < 0 || c.drop >= columns[last].drop) {
				last = i
			}
		}
		if last < 0 {
			break // it does not get narrower
		}
		shown[last] = false
	}
	for most > 0 && total(false) > most {
		widest := -1
		for i, c := range columns {
			if shown[i] && c.cut > 0 && widths[i] > c.cut && (widest < 0 || widths[i] > widths[widest]) {
				widest = i
			}
		}
		if widest < 0 {
			break
		}
		widths[widest]--
	}
	heads := make([]string, len(columns))
	for i, c := range columns {
		heads[i] = c.name
	}
	for _, row := range slices.Insert(slices.Clone(rows), 0, heads) {
		var line strings.Builder
		for i, cell := range row {
			if !shown[i] {
				continue
			}
			if line.Len() > 0 {
				line.WriteString(strings.Repeat(" ", gap))
			}
			cell = shorten(oneLine(cell), widths[i])
			pad := strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(cell)))
			if columns[i].nums {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString(cell)
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// shorten cuts text to most characters, the last of which then says so.
func shorten(text string, most int) string {
	if utf8.RuneCountInString(text) <= most {
		return text
	}
	if most < 1 {
		return ""
	}
	return string([]rune(text)[:most-1]) + "…"
}

// oneLine keeps what a record or a message may contain from breaking a table or
// commanding the terminal.
func oneLine(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return ' '
		}
		return r
	}, text)
}
