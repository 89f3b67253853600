package outbox

import (
	"fmt"
	"hash/maphash"
	"strings"
	"time"
)

// Where an automation in Salesforce and one in Postgres undo each other, they go
// on for ever, at the price of all API calls. A turn is a change of ours that
// brings back the value we sent last, after somebody else has changed it. More than
// maxTurns of one field within turnsWithin are no people. Values that are new each
// time are no turns: Salesforce may round every one of a hot record. Nor is what a user
// has back from the archive.
const (
	maxTurns    = 5
	turnsWithin = 10 * time.Minute
	turnsKept   = 50_000 // fields that are remembered at most
)

// turns remembers what was sent of single fields. It is lost with the process,
// after which a loop is found a few turns later.
type turns struct {
	seed   maphash.Seed
	fields map[fieldKey]*turn
	pruned time.Time
}

type fieldKey struct {
	key
	column string
}

type turn struct {
	sent      uint64 // hash of our last value
	at, began time.Time
	first     time.Time // since when turns are counted; began moves on with each refusal
	turns     int       // the refused ones included
	refused   int64     // the last entry that was one turn too many, 0 = none yet
}

// refuse says why an update is not sent: it would be one turn too many. So is each that
// follows within turnsWithin of the last, as automations do not stop because one of them was
// refused. The record starts anew where somebody sends a refused entry again, who is heard.
func (t *turns) refuse(i *item) *Failure {
	if i.op != Update {
		return nil
	}
	for column := range i.values {
		f, ok := t.fields[fieldKey{i.key, column}]
		if !ok || time.Since(f.began) > turnsWithin || f.turns < maxTurns || !t.turned(f, i, column) {
			continue
		}
		if i.carrier.id <= f.refused {
			for column := range i.values {
				delete(t.fields, fieldKey{i.key, column})
			}
			return nil
		}
		f.turns++
		f.refused, f.began, f.at = i.carrier.id, time.Now(), time.Now()
		return &Failure{
			Class: Permanent, Code: CodePingPong, Fields: []string{i.table.field(column)},
			Message: fmt.Sprintf("%s: an automation in Salesforce and one in Postgres keep changing %s back, %d times within %s. "+
				"Stop one of them, then retry this entry.", CodePingPong, i.table.field(column), f.turns, inWords(time.Since(f.first))),
		}
	}
	return nil
}

// turned reports whether a change brings back what we sent last. Of one whose row before
// is not known, as captures by hand are, nobody can tell.
func (t *turns) turned(f *turn, i *item, column string) bool {
	before, known := i.old[column]
	return known && !i.requeued() && t.hash(before) != f.sent && t.hash(i.values[column]) == f.sent
}

// requeueMark is the message of entries that a user has had back from the archive.
const requeueMark = "REQUEUED: sent again from the archive"

// requeued reports whether all of the item is from the archive.
func (i *item) requeued() bool {
	return all(i.entries, func(e *entry) bool { return strings.HasPrefix(e.message, requeueMark) })
}

// note remembers what was sent.
func (t *turns) note(i *item) {
	if i.op != Update {
		return
	}
	if t.fields == nil {
		t.fields, t.seed = map[fieldKey]*turn{}, maphash.MakeSeed()
	}
	now := time.Now()
	t.prune(now)
	for column, value := range i.values {
		k, sent := fieldKey{i.key, column}, t.hash(value)
		f := t.fields[k]
		switch {
		case f == nil && len(t.fields) >= turnsKept:
			continue
		case f == nil:
			t.fields[k] = &turn{sent: sent, at: now, began: now, first: now}
			continue
		case now.Sub(f.began) > turnsWithin:
			f.began, f.first, f.turns = now, now, 0
		}
		if t.turned(f, i, column) {
			f.turns++
		}
		f.sent, f.at = sent, now
	}
}

// inWords is a time of seconds or minutes for people, and no less than a second.
func inWords(d time.Duration) string {
	n, unit := max(1, int(d.Round(time.Second).Seconds())), "second"
	if n >= 120 {
		n, unit = int(d.Round(time.Minute).Minutes()), "minute"
	}
	if n > 1 {
		unit += "s"
	}
	return fmt.Sprint(n, " ", unit)
}

func (t *turns) prune(now time.Time) {
	if now.Sub(t.pruned) < time.Minute {
		return
	}
	t.pruned = now
	for k, f := range t.fields {
		if now.Sub(f.at) > turnsWithin {
			delete(t.fields, k)
		}
	}
}

func (t *turns) hash(value *string) uint64 {
	if value == nil {
		return 0
	}
	return maphash.String(t.seed, *value)
}
