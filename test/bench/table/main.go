// Table writes the figures of a run of the benchmarks into a Markdown file, as one
// table between two marks, with the machine that they are of. What stands around
// the marks is written by people, and stays.
//
// usage: table FIGURES FILE
package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"

	"hcbridge/test/bench/figure"
)

const (
	begin = "<!-- figures: written by make bench -->\n"
	end   = "<!-- end of figures -->\n"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: table FIGURES FILE")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

func run(figures, file string) error {
	list, err := figure.Read(figures)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	text, err = insert(text, machine()+"\n"+render(list))
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return os.WriteFile(file, text, 0o644)
}

// insert puts table between the marks of text.
func insert(text []byte, table string) ([]byte, error) {
	before, rest, ok := bytes.Cut(text, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok || !ok2 {
		return nil, fmt.Errorf("no %q and %q", strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return slices.Concat(before, []byte(begin), []byte(table), []byte(end), after), nil
}

// merged is one figure of all its runs.
type merged struct {
	figure.Figure
	ours, bound, naive []float64
	peers              map[string][]float64
}

// merge joins the runs of each figure, in the order of their first.
func merge(list []figure.Figure) (out []*merged) {
	for _, f := range list {
		i := slices.IndexFunc(out, func(m *merged) bool { return m.Job == f.Job && m.What == f.What })
		if i < 0 {
			i = len(out)
			out = append(out, &merged{Figure: f, peers: map[string][]float64{}})
		}
		m := out[i]
		m.ours, m.bound, m.naive = append(m.ours, f.Ours), append(m.bound, f.Bound), append(m.naive, f.Naive)
		for name, v := range f.Peers {
			m.peers[name] = append(m.peers[name], v)
		}
	}
	return out
}

func render(list []figure.Figure) string {
	var b strings.Builder
	fmt.Fprintln(&b, "| job | figure | ours | bound | naive | others | promised | reached |")
	fmt.Fprintln(&b, "| --- | --- | --- | --- | --- | --- | --- | --- |")
	job := ""
	for _, m := range merge(list) {
		shown := m.Job
		if shown == job {
			shown = ""
		}
		job = m.Job
		var peers, goals, reached []string
		for _, name := range slices.Sorted(keys(m.peers)) {
			peers = append(peers, name+" "+number(median(m.peers[name])))
		}
		for _, g := range m.Goals {
			text, result := m.judge(g)
			goals, reached = append(goals, text), append(reached, result)
		}
		fmt.Fprintf(&b, "| %s | %s, %s | %s | %s | %s | %s | %s | %s |\n", shown, m.What, m.Unit, spread(m.ours), orNothing(m.bound), orNothing(m.naive),
			strings.Join(peers, "; "), strings.Join(goals, "; "), strings.Join(reached, "; "))
	}
	return b.String()
}

// judge says what a goal asks for, and what became of it.
func (m *merged) judge(g figure.Goal) (goal, result string) {
	than := map[string][]float64{"": nil, "bound": m.bound, "naive": m.naive}
	others, ok := than[g.Of]
	if !ok {
		others = m.peers[g.Of]
	}
	ratios := slices.Clone(m.ours)
	of := ""
	if g.Of != "" {
		of = " × " + g.Of
		for i := range ratios {
			if i >= len(others) || others[i] == 0 {
				return g.Of, "not measured"
			}
			ratios[i] /= others[i]
		}
	}
	got := median(ratios)
	goal, holds := "≤ "+number(g.AtMost)+of, got <= g.AtMost
	if g.AtLeast > 0 {
		goal, holds = "≥ "+number(g.AtLeast)+of, got >= g.AtLeast
	}
	mark := "✓"
	if !holds {
		mark = "✗"
	}
	return goal, number(got) + of + " " + mark
}

func keys(m map[string][]float64) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func median(list []float64) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return sorted[len(sorted)/2]
}

func orNothing(list []float64) string {
	if m := median(list); m != 0 {
		return number(m)
	}
	return ""
}

// spread is the median, and the least and the most if there are several.
func spread(list []float64) string {
	if len(list) == 1 {
		return number(list[0])
	}
	return fmt.Sprintf("%s [%s..%s]", number(median(list)), number(slices.Min(list)), number(slices.Max(list)))
}

// number has three digits that count.
func number(f float64) string {
	switch {
	case f >= 1000:
		digits := fmt.Sprintf("%.0f", f)
		for i := len(digits) - 3; i > 0; i -= 3 {
			digits = digits[:i] + "," + digits[i:]
		}
		return digits
	case f >= 100:
		return fmt.Sprintf("%.0f", f)
	case f >= 10:
		return fmt.Sprintf("%.1f", f)
	default:
		return fmt.Sprintf("%.2f", f)
	}
}
