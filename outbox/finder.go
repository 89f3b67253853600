package outbox

import (
	"context"
	"time"
)

// Finder finds out what became of requests whose answer was lost.
type Finder interface {
	// Find returns the records of object that the bridge's own user has made
	// since the oldest attempt was sent, with some time to spare for clocks, and
	// also those that were deleted after; with an external id field only those
	// under the attempts' external ids. Whether a record was made by this very
	// bridge, Find does not know.
	Find(ctx context.Context, object, externalID string, attempts []Attempt) ([]Candidate, error)

	// Compare tells what records of object hold of what they were given, in the order
	// of values. It reads each record once.
	Compare(ctx context.Context, object string, values []Successive) ([]Standing, error)
}

// Successive is what a record was given one after the other, by field as sent, see
// [Record].
type Successive struct {
	SFID       string
	First, Now map[string]any // of the same fields
}

// Standing is what a record holds of a [Successive]. The zero value is that nobody can
// tell, also because there is no such record.
type Standing struct {
	First, Now Answer        // whether it holds these values
	Ours       bool          // the bridge's own user was the last to change it
	Age        time.Duration // since it was changed last, less what clocks may differ
}

// Answer is whether something is so.
type Answer int

// Answers. The zero value is that nobody can tell.
const (
	Unsure Answer = iota
	No
	Yes
)

// Attempt is a creation that was sent and not answered.
type Attempt struct {
	Fields map[string]any // as sent, see [Record]
	Age    time.Duration  // since it was sent
}

// Candidate is a record that may have come of an attempt.
type Candidate struct {
	SFID    string
	Age     time.Duration // since it was made, less what clocks may differ: no attempt of a lesser age has made it
	Equal   []int         // attempts, by index, all of whose fields the record has as they were sent
	Deleted bool          // somebody has deleted it since
}

// match gives each attempt a record that equals it, as many as can have one and
// none twice, and returns the indexes of the candidates, -1 for none. Equal
// attempts are interchangeable, so whichever gets which record is right. Who
// sent more fields chooses first, for what equals it may equal others too.
func match(attempts []Attempt, candidates []Candidate) []int {
	m := matcher{options: make([][]int, len(attempts)), owner: make([]int, len(candidates)), seen: make([]int, len(candidates))}
	bySize := make([][]int, 0)
	for c, cand := range candidates {
		m.owner[c] = -1
		for _, a := range cand.Equal {
			m.options[a] = append(m.options[a], c)
		}
	}
	for a, at := range attempts {
		for len(bySize) <= len(at.Fields) {
			bySize = append(bySize, nil)
		}
		bySize[len(at.Fields)] = append(bySize[len(at.Fields)], a)
	}
	for n := len(bySize) - 1; n >= 0; n-- {
		for _, a := range bySize[n] {
			m.round++
			m.place(a)
		}
	}
	got := make([]int, len(attempts))
	for a := range got {
		got[a] = -1
	}
	for c, a := range m.owner {
		if a >= 0 {
			got[a] = c
		}
	}
	return got
}

// matcher is Kuhn's algorithm for bipartite matching.
type matcher struct {
	options [][]int // per attempt
	owner   []int   // per candidate, -1 = free
	seen    []int   // per candidate, the last round that looked at it
	round   int
}

// place finds a candidate for attempt a, moving others to another one of theirs
// if need be.
func (m *matcher) place(a int) bool {
	for _, c := range m.options[a] {
		if m.owner[c] < 0 {
			m.owner[c] = a
			return true
		}
	}
	for _, c := range m.options[a] {
		if m.seen[c] == m.round {
			continue
		}
		m.seen[c] = m.round
		if m.place(m.owner[c]) {
			m.owner[c] = a
			return true
		}
	}
	return false
}
