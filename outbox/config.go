package outbox

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/rs/zerolog"
)

// Write algorithms.
const (
	Ordered = "ordered" // every change is a request of its own, in order
	Merged  = "merged"  // the newest value of each field; the rest is MERGED
)

// Config tunes a [Worker]. Schema, Tables and Sender are required; the zero
// value of any other field means its default.
type Config struct {
	Schema    string
	Algorithm string // Ordered (default) or Merged
	Tables    []Table
	Sender    Sender
	Bulk      Bulk // for long runs of like changes; nil = none

	// Finder tells what became of creations whose answer was lost. nil means that
	// nobody can: plain inserts are parked at once, upserts are repeated.
	Finder Finder

	// Settle is called first in the transaction that writes results down, so that
	// what the caller stores about them is durable with them. An error rolls
	// the transaction back and it is tried again. nil = nothing to do.
	Settle func(ctx context.Context, tx pgx.Tx, done []Settled) error

	// Spent adds to what such a transaction does last: what all of them touch, so that
	// each waits only for the commit of another. nil = nothing to do.
	Spent func(batch *pgx.Batch)

	// Gate holds tables of which more changes are to be sent than Limits allow.
	// nil = nothing is ever held.
	Gate   Gate
	Limits Limits // default DefaultLimits

	// Stalled is called by Run when nothing has moved for some seconds, with the error of
	// the last look, and with nil when it goes on. nil = nobody is told.
	Stalled func(err error)

	// Unanswered is called when the number of calls of an object changes that Salesforce has
	// not answered for half a minute. nil = nobody is told.
	Unanswered func(object string, calls int)

	// Budget returns how many API calls a day may be used, 0 if that is not known
	// yet, and how many of the last 24 hours anybody has used. nil = without limit.
	Budget func() (calls, used int)

	// Purse is what an earlier worker has left of them, see [Worker.Purse]; nil =
	// all that there can be.
	Purse *Purse

	// Wake cuts an idle wait short. Feed it from a [Listener]; nil means
	// polling only, as behind a transaction-mode pooler. A wake-up is a hint:
	// nothing depends on its arrival.
	Wake <-chan struct{}

	Log zerolog.Logger

	BatchSize  int           // records per call; default 200, what one collection of Salesforce takes
	Calls      int           // most calls under way at a time, if Salesforce copes with them; default 5
	Window     int           // entries looked at at once, and more where calls are larger; default 1,000
	IdlePoll   time.Duration // wait between runs with nothing to do; default 1 s
	ArchiveFor time.Duration // how long the archive is kept; default 31 days
	TidyEvery  time.Duration // pause between rounds of archiving, requeueing and purging; default 1 s

	BulkFrom int           // like changes at once from which on they go by a job; default 2,000
	BulkAsk  time.Duration // least wait before a job is asked for, at most 300 times that; default 1 s

	Patience    time.Duration // how long without an answer a call holds up what has nothing to do with it; default 5 s
	CallTimeout time.Duration // longest a call may take; default 2 min
	InDoubt     time.Duration // from being sent, until a request that was not answered cannot take effect any more; default CallTimeout and 11 min
	Late        time.Duration // the same for a request whose connection was cut, as far as newer values wait for it; default 15 s
	StopGrace   time.Duration // longest a call in hand may take once Run's context ended; default 20 s

	// Backoff is the wait before attempt n+1 (n counts from 1) of a record, or
	// of the whole worker after a Limit or an outage. Default: 500 ms doubling
	// to 1 min, jittered by a quarter.
	Backoff func(n int) time.Duration
}

// inDoubtFor is how long a request may run on without us: ten minutes, after
// which Salesforce ends any transaction, and one for clocks.
const inDoubtFor = 11 * time.Minute

// lateFor is how long newer values wait for a write whose connection was cut.
const lateFor = 15 * time.Second

// withDefaults fills in what is not set and reports every mistake at once.
func (c Config) withDefaults() (Config, error) {
	var errs []error
	if c.Schema == "" {
		errs = append(errs, errors.New("schema is empty"))
	}
	if c.Sender == nil {
		errs = append(errs, errors.New("sender is nil"))
	}
	switch c.Algorithm {
	case "":
		c.Algorithm = Ordered
	case Ordered, Merged:
	default:
		errs = append(errs, fmt.Errorf("algorithm %q is neither %s nor %s", c.Algorithm, Ordered, Merged))
	}
	for i := range c.Tables {
		t := &c.Tables[i]
		if t.ExternalID != "" && t.external() == nil {
			errs = append(errs, fmt.Errorf("table %s: external id %s is not mapped", t.Name, t.ExternalID))
		}
	}
	if c.Limits == (Limits{}) {
		c.Limits = DefaultLimits
	}
	orInt(&c.BatchSize, 200)
	orInt(&c.Calls, 5)
	orInt(&c.Window, 1000)
	orInt(&c.BulkFrom, 2000)
	orDur(&c.BulkAsk, time.Second)
	orDur(&c.IdlePoll, time.Second)
	orDur(&c.ArchiveFor, 31*24*time.Hour)
	orDur(&c.TidyEvery, time.Second)
	orDur(&c.Patience, 5*time.Second)
	orDur(&c.CallTimeout, 2*time.Minute)
	orDur(&c.InDoubt, c.CallTimeout+inDoubtFor)
	orDur(&c.Late, min(lateFor, c.InDoubt))
	orDur(&c.StopGrace, 20*time.Second)
	if c.Backoff == nil {
		c.Backoff = backoff
	}
	c.Log = c.Log.With().Str("component", "outbox").Logger()
	return c, errors.Join(errs...)
}

func orInt(p *int, def int) {
	if *p <= 0 {
		*p = def
	}
}

func orDur(p *time.Duration, def time.Duration) {
	if *p <= 0 {
		*p = def
	}
}

// backoff doubles from 500 ms to a minute, less up to a quarter so that records
// that failed together do not come back together.
func backoff(n int) time.Duration {
	d := time.Minute
	if n < 8 {
		d = min(d, 500*time.Millisecond<<max(n-1, 0))
	}
	return d - time.Duration(rand.Int64N(int64(d)/4)) //nolint:gosec // jitter, not a secret
}
