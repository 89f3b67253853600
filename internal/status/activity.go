package status

import "time"

// minutes is how long activity is remembered.
const minutes = 24 * 60

// Minute is what happened in one minute, all objects together.
type Minute struct {
	At     time.Time `json:"at"`     // its beginning
	In     int64     `json:"in"`     // rows written and deleted in Postgres
	Out    int64     `json:"out"`    // records written to Salesforce
	Failed int64     `json:"failed"` // records that Salesforce refused
}

// activity adds up counters by the minute.
type activity struct {
	ring [minutes]Minute
	seen Minute // totals at the last sample
}

func (a *activity) add(now time.Time, total Minute) {
	at := now.UTC().Truncate(time.Minute)
	m := &a.ring[at.Unix()/60%minutes]
	if !m.At.Equal(at) {
		*m = Minute{At: at}
	}
	m.In += total.In - a.seen.In
	m.Out += total.Out - a.seen.Out
	m.Failed += total.Failed - a.seen.Failed
	a.seen = total
}

// Sample adds what the counters have grown by since the last sample to the
// minute of now. Whoever runs the process calls it every second or so.
func (b *Board) Sample(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var total Minute
	for _, o := range b.objects {
		total.In += o.Counters.RowsWritten + o.Counters.RowsDeleted
		total.Out += o.Counters.WritesSent
		total.Failed += o.Counters.WritesFailed
	}
	b.activity.add(now, total)
}

// Activity returns the n minutes up to that of now, at most a day, oldest first.
// Those in which the process did not run are empty.
func (b *Board) Activity(now time.Time, n int) []Minute {
	b.mu.Lock()
	defer b.mu.Unlock()
	n = min(n, minutes)
	list := make([]Minute, n)
	last := now.UTC().Truncate(time.Minute)
	for i := range list {
		at := last.Add(time.Duration(i-n+1) * time.Minute)
		list[i] = Minute{At: at}
		if m := b.activity.ring[at.Unix()/60%minutes]; m.At.Equal(at) {
			list[i] = m
		}
	}
	return list
}
