// Package figure is how benchmarks hand what they measured to the one table that
// "make bench" writes: a line of JSON per figure, in the file that the variable
// HCBRIDGE_BENCH_FIGURES names. The same figure of several runs has several lines;
// package table takes the medians.
package figure

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
)

// File is the variable that names the file. Without it nothing is kept.
const File = "HCBRIDGE_BENCH_FIGURES"

// Figure is one thing that was measured, beside what it is held against, all in
// the same run and unit. What does not apply is nought.
type Figure struct {
	Job   string  `json:"job"`
	What  string  `json:"what"` // what was measured, and how if that is not plain
	Unit  string  `json:"unit"`
	Ours  float64 `json:"ours"`
	Bound float64 `json:"bound,omitempty"` // the least, or the most, that the machine can do
	Naive float64 `json:"naive,omitempty"` // what is written first
	// Peers are others, by name.
	Peers map[string]float64 `json:"peers,omitempty"`
	Goals []Goal             `json:"goals,omitempty"`
}

// Goal is what was promised: of ours, or of its ratio to another figure.
type Goal struct {
	Of      string  `json:"of,omitempty"` // "" ours itself, "bound", "naive", or a peer's name
	AtMost  float64 `json:"at_most,omitempty"`
	AtLeast float64 `json:"at_least,omitempty"`
}

// Keep writes figures down.
func Keep(t testing.TB, figures ...Figure) {
	t.Helper()
	name := os.Getenv(File)
	if name == "" {
		return
	}
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, one := range figures {
		if err := json.NewEncoder(f).Encode(one); err != nil {
			t.Fatal(err)
		}
	}
}

// Read returns the figures of a file, in the order in which they were kept.
func Read(name string) (list []Figure, err error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var one Figure
		if err := json.Unmarshal(lines.Bytes(), &one); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list = append(list, one)
	}
	return list, nil
}

// MS is a duration in milliseconds.
func MS(d time.Duration) float64 { return d.Seconds() * 1e3 }
