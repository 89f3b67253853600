package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Error lists everything that is wrong with the configuration.
type Error struct {
	Problems []Problem // at least one, sorted by variable
}

// Problem is one thing that is wrong, and what to do about it. It never
// contains the value of a secret.
type Problem struct {
	Variable string // for example "HC_POLL_INTERVAL"
	Text     string // for example `"2h" is …`
}

func (p Problem) String() string { return p.Variable + ": " + p.Text }

// Error has one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// problems collects what Load finds.
type problems []Problem

func (ps *problems) add(variable, format string, args ...any) {
	*ps = append(*ps, Problem{Variable: variable, Text: fmt.Sprintf(format, args...)})
}

// err returns the problems as an error, or nil if there are none.
func (ps problems) err() error {
	if len(ps) == 0 {
		return nil
	}
	sorted := slices.Clone(ps)
	slices.SortStableFunc(sorted, func(a, b Problem) int { return cmp.Compare(a.Variable, b.Variable) })
	return &Error{Problems: slices.Compact(sorted)}
}

// quote shows a value that is not secret, shortened.
func quote(value string) string {
	const most = 60
	if len(value) > most {
		value = strings.ToValidUTF8(value[:most], "") + "…"
	}
	return fmt.Sprintf("%q", value)
}
