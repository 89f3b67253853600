package check

import (
	"fmt"
	"sync"
	"time"
)

// Sample is what was seen of a running bridge at one moment. Where a suite does
// not look at something it leaves it zero, which is within all bounds.
type Sample struct {
	At    time.Time
	Ready bool // /readyz, or the status that the bridge shows

	// Behind is what waits in both directions, and Done what has been done in both
	// since the beginning: rows written and records sent.
	Behind, Done int

	Clients     int   // streaming sessions of ours
	Resident    int64 // bytes
	Goroutines  int
	Descriptors int
	Connections int // in pg_stat_activity
	Calls       int // API calls since the beginning
}

// Bounds are the most that samples may show; 0 is no bound.
type Bounds struct {
	Resident    int64 // bytes
	Goroutines  int
	Descriptors int
	Connections int
	Calls       int           // between the first and the last sample
	Clients     int           // 0 is 1; a session that a crash has left counts until the org forgets it
	Silence     time.Duration // how long a standstill may go untold; 0 is 60 s
}

// Samples are seen by one suite of one bridge, in the order of time.
type Samples struct {
	Bounds Bounds

	mu   sync.Mutex
	list []Sample
}

// Add adds what is seen now.
func (s *Samples) Add(x Sample) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = append(s.list, x)
}

// All returns the samples so far.
func (s *Samples) All() []Sample {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Sample(nil), s.list...)
}

// violations are I9, I11 and I12.
func (s *Samples) violations() (found []Violation) {
	list, b := s.All(), s.Bounds
	if b.Clients == 0 {
		b.Clients = 1
	}
	if b.Silence == 0 {
		b.Silence = time.Minute
	}
	var still *Sample // the first that was ready, behind, and as far as the last is
	var most Sample
	for i, x := range list {
		if x.Ready && x.Behind > 0 {
			if still == nil || still.Done != x.Done {
				still = &list[i]
			}
			if took := x.At.Sub(still.At); took > b.Silence {
				found = append(found, Violation{Invariant: "I11", Text: fmt.Sprintf("%d things have waited for %s while nothing was done, and the bridge says that it is ready", x.Behind, took)})
				still = nil
			}
		} else {
			still = nil
		}
		most.Clients, most.Resident = max(most.Clients, x.Clients), max(most.Resident, x.Resident)
		most.Goroutines, most.Descriptors, most.Connections = max(most.Goroutines, x.Goroutines), max(most.Descriptors, x.Descriptors), max(most.Connections, x.Connections)
		most.Calls = x.Calls - list[0].Calls
	}
	if most.Clients > b.Clients {
		found = append(found, Violation{Invariant: "I9", Text: fmt.Sprintf("%d streaming clients at once, more than %d", most.Clients, b.Clients)})
	}
	for _, x := range []struct {
		what        string
		most, bound int64
	}{
		{"bytes of memory", most.Resident, b.Resident},
		{"goroutines", int64(most.Goroutines), int64(b.Goroutines)},
		{"descriptors", int64(most.Descriptors), int64(b.Descriptors)},
		{"connections", int64(most.Connections), int64(b.Connections)},
		{"API calls", int64(most.Calls), int64(b.Calls)},
	} {
		if x.bound > 0 && x.most > x.bound {
			found = append(found, Violation{Invariant: "I12", Text: fmt.Sprintf("%d %s, more than %d", x.most, x.what, x.bound)})
		}
	}
	return found
}
