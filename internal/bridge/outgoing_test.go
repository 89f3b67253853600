package bridge

import (
	"math/rand/v2"
	"testing"
)

// The outbound side under random schedules: apps that insert, update, upsert and
// delete parents and children in transactions of several statements, with
// savepoints, rollbacks, and some that stay open while others commit; requests
// that are lost before or after they took effect, whose answers are cut, that
// run on after nobody waits for them, that are refused for some of their records
// or for a limit, with sessions that end; records whose events come before the
// answer, late, again or never; other users who change and delete the same
// records; and processes that end at any moment, in the middle of a call or of
// the transaction that writes its answer down, or are stopped in good order, with
// or without time for the call in hand. In a quarter of them like changes go by Bulk
// API jobs, whose requests are spoilt, too.
//
// Whatever happens, no record has two rows, none is created twice, no row loses
// a change that is not sent, and Salesforce sees the values of a field in the
// order of their commits. In the end both sides are equal, nothing waits, and
// the last value of each field is the last that Salesforce saw.
//
// What captures, plans, sends, settles, applies, polls and reads back is the
// bridge's own, with a real Postgres and the simulated org over HTTP, as in
// [TestSchedules]; one goroutine does the steps, by the org's clock. What a
// person must decide about an insert in doubt is decided by looking at the org.
//
// A request that was given up may run at any time later, until the window is over.
//
// Each of these mistakes was made on purpose, and found by the seed of that number:
//
//	all fields sent, not only those that changed             1
//	rows with an unsent change overwritten                   1
//	results matched to the wrong records                     1
//	an insert in doubt sent again without looking            3
//	no order of the changes of a record                      3
//	a position in the log, not the states                   12
//	an echo before the answer not held                      27
//	the log settled without its rows                        27
//	an update dropped while its insert is in doubt         160
func TestOutboundSchedules(t *testing.T) {
	t.Parallel()
	runSchedules(t, 60, newOutDatabase, outPlotOf, outFound...)
}

// outFound are seeds that have found something once:
//
//	  435  a job's upsert, answered to a row that was being deleted, taken for an update by the next process
//	 1452  a request that runs on forgotten, as its repetition was answered to a locked row and the process ended
//	 4766  a row that took over the external id of a deleted one sent while that one's insert was in doubt, and overwritten by its repetition
//	 7353  a record refused for a key that the row of a deleted one still had, tried again after minutes only
//	 8022  an event of a deleted record taken for the row that has its external id now
//	31945  a record made again by a late request after it was deleted on both sides
var outFound = []uint64{435, 1452, 4766, 7353, 8022, 31945}

// outPlot is what a seed means for the outbound side.
type outPlot struct {
	Merged bool
	Used   []string // objects
	Bad    bool     // apps write values that Salesforce refuses
	Doubt  bool     // answers to inserts may be lost
	Remote bool     // others delete records
	Bulk   bool     // like changes go by jobs
	Hasty  bool     // a process that is stopped does not wait for its call
	Side   bool     // small calls go side by side; what happens meanwhile depends on chance
}

var outVerbs = []struct {
	do   string
	nest bool
	odds int
}{
	{"app", true, 30},  // one transaction
	{"open", true, 6},  // one that stays open
	{"close", true, 6}, // its end
	{"send", false, 24},
	{"fault", false, 9}, // of the next request that writes
	{"locks", false, 4}, // some records are locked by others
	{"limit", false, 2},
	{"revoke", false, 1},
	{"late", false, 4}, // the next call is given up before it runs
	{"run", true, 5},   // now it does
	{"edit", true, 5},  // somebody else changes a record
	{"gone", true, 1},  // or deletes it
	{"crash", true, 5},
	{"wait", true, 8},
	{"deliver", true, 16},
	{"again", true, 3},
	{"drop", true, 3},
	{"poll", true, 6},
	{"read", true, 10},
	{"lose", true, 2},
	{"find", true, 3},
}

func outPlotOf(seed uint64) plot {
	r := rand.New(rand.NewPCG(seed, 2))
	out := &outPlot{Merged: r.IntN(2) == 0, Bad: r.IntN(3) == 0, Doubt: r.IntN(3) > 0, Remote: r.IntN(4) == 0}
	out.Used = [][]string{{"Account"}, {"Account", "Contact"}, {"Account", "Invoice__c"}, {"Account", "Contact", "Invoice__c"}}[r.IntN(4)]
	out.Bulk, out.Hasty, out.Side = seed%4 == 3, seed%2 == 1, seed%4 == 2
	p := plot{Seed: seed, Polled: r.IntN(8) == 0, Out: out}
	for range 10 + r.IntN(25) {
		p.Steps = append(p.Steps, outStep(r, true))
	}
	return p
}

func outStep(r *rand.Rand, outer bool) step {
	sum := 0
	for _, v := range outVerbs {
		sum += v.odds
	}
	for {
		n := r.IntN(sum)
		for _, v := range outVerbs {
			if n -= v.odds; n >= 0 {
				continue
			}
			if !outer && !v.nest {
				break
			}
			s := step{do: v.do, a: r.IntN(1 << 16), b: r.IntN(1 << 16)}
			if outer && (v.do == "send" || v.do == "read" || v.do == "poll") && r.IntN(2) == 0 {
				for range 1 + r.IntN(3) {
					s.during = append(s.during, outStep(r, false))
				}
			}
			return s
		}
	}
}
