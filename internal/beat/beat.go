// Package beat keeps what looks for something every so often in step.
//
// An idle bridge has a dozen loops that each ask the database something once a
// second or two. Each with a phase of its own, the process is woken a dozen times for
// it, and what a wake-up costs is mostly the waking: threads, the scheduler and its
// monitor. In step it is woken once.
//
// The beats of a period are its multiples since the process began, so that bridges of
// different processes are not in step with each other.
package beat

import (
	"math"
	"time"
)

// Never is the count of no beat.
const Never = math.MinInt64

var began = time.Now()

// Wait returns the time until the next beat of a period, never zero. A period is above
// zero.
func Wait(period time.Duration) time.Duration {
	past := time.Since(began) % period
	if past < 0 { // a test's clock, which stands before the process began
		past += period
	}
	return period - past
}

// Count returns how many beats of a period have passed. What is due once in each period
// is due where the count is not that of the last time: to compare times would leave
// out the beats that come a little early after one that was late.
func Count(period time.Duration) int64 {
	past := time.Since(began)
	n := int64(past / period)
	if past < 0 && past%period != 0 {
		n--
	}
	return n
}
