package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Large runs of like changes go by jobs, which Salesforce works on for seconds or
// minutes while everything else goes on:
//
//	claim ──▶ upload ──▶ job noted at the entries ──▶ start ──▶ asked now and then ──▶ settle
//
// The entries stay PENDING and name their job in sf_message, so that a restart
// takes it over instead of sending anything again. Only what can be told apart in
// the answer goes this way: updates, deletes and upserts, not plain inserts.
const (
	bulkMost = 10_000 // records of a job, as many as Salesforce takes into one internal batch
	maxJobs  = 5      // at a time, as their records are kept in memory

	bulkValue = 100_000          // longest value, in bytes; the limit is 131,072 characters
	bulkNull  = "#N/A"           // means null in a job, whatever was meant
	noBulkFor = 10 * time.Minute // after a job that did not do its work
	openFor   = 24 * time.Hour   // the longest that a job waits to be closed
	unreadFor = time.Hour        // how long the results of a job that is over are asked for

	jobMark = "BULK "
)

// job is one under way.
type job struct {
	id    string
	table string
	items []*item
	began time.Time // not after the first of it was done
	since time.Time // when this process began to wait for it
	due   time.Time
	mute  time.Time // since when there is no answer about it; zero while there is
}

// jobPace is how long a record of a job takes Salesforce, until a job has shown it.
const jobPace = time.Millisecond

// mostAsk is how many times Config.BulkAsk the wait for a job is at most.
const mostAsk = 300

// first is when to ask for a job first: when it should be over. Each question is
// an API call.
func (j *job) first(pace, least time.Duration) {
	j.since = time.Now()
	j.due = j.since.Add(min(max(least, pace*time.Duration(len(j.items))), mostAsk*least))
}

// later is when to ask again: after half as long as it has been waited for.
func (j *job) later(least time.Duration) {
	now := time.Now()
	j.due = now.Add(min(max(least, now.Sub(j.since)/2), mostAsk*least))
}

// job returns the id of the job that carries the entry, "" without one.
func (e *entry) job() string {
	id, ok := strings.CutPrefix(e.message, jobMark)
	if !ok || e.state != statePending {
		return ""
	}
	return id
}

// bulkable reports whether an item may go by a job.
func (w *Worker) bulkable(i *item) bool {
	if i.op == Insert || i.carrier.inDoubt() || i.carrier.together() || w.retries[i.key].attempts > 0 || time.Now().Before(w.noBulk[i.key.table]) {
		return false
	}
	for _, v := range i.values {
		if v != nil && (*v == bulkNull || len(*v) > bulkValue) {
			return false
		}
	}
	return true
}

// jobs splits a group of like items into jobs and the rest, which goes by calls.
func (p planner) jobs(group []*item) (jobs []*call, rest []*item) {
	if p.bulk == nil || len(group) < p.bulkFrom {
		return nil, group
	}
	var fit []*item
	for _, i := range group {
		if p.bulk(i) {
			fit = append(fit, i)
		} else {
			rest = append(rest, i)
		}
	}
	for chunk := range slices.Chunk(fit, bulkMost) {
		if len(chunk) < p.bulkFrom {
			rest = append(rest, chunk...)
			continue
		}
		jobs = append(jobs, &call{table: chunk[0].table, op: chunk[0].op, items: chunk, bulk: true})
	}
	return jobs, rest
}

// startJob hands a call over to Salesforce. What may not go as a job goes by
// calls instead, in the next run.
func (w *Worker) startJob(ctx context.Context, c *call) (n int, err error) {
	ctx, cancel := hold(ctx, w.cfg.CallTimeout, w.cfg.StopGrace)
	defer cancel()
	s := &settlement{}
	ready, records, err := w.prepare(ctx, c, s)
	if err != nil {
		return 0, err
	}
	if len(ready) > 0 {
		w.governor.begin(c)
		began := time.Now()
		j := &job{table: c.table.Name, items: ready, began: began}
		j.first(w.jobPace, w.cfg.BulkAsk)
		var ids []int64
		for _, i := range ready {
			for _, e := range i.entries {
				ids = append(ids, e.id)
			}
		}
		err := w.cfg.Bulk.Start(ctx, c.request(records), func(id string) error {
			j.id = id
			_, err := w.pool.Exec(ctx, w.sql.enlist, ids, jobMark+id)
			return err //nolint:wrapcheck // passed through by Start
		})
		if err != nil {
			w.noBulk[j.table] = time.Now().Add(noBulkFor)
			s.results = append(s.results, putBack(ready).results...)
		} else {
			j.lighten(w.planner.namedFields(), w.columns[j.table])
			w.jobs[j.id] = j
		}
		w.log.Info().AnErr("error", err).Str("event", "bulk_started").Str("object", c.table.Object).Stringer("op", c.op).Str("job", j.id).Int("rows", len(ready)).Msg("job")
	}
	return w.settle(ctx, s)
}

// lighten forgets what a job's items need no more: all values but those by which
// records are named, in one of the fields named or by their external id, or name
// others, and which of those are taken out. Of what an update leaves as it is only its
// external id matters. Changes of frozen columns are kept when it is over.
func (j *job) lighten(named, known map[string]bool) {
	for _, i := range j.items {
		i.jobKey, i.extra = i.bulkKey(), i.leftOut(known)
		for _, e := range i.entries {
			e.values, e.old = nil, nil
		}
		own, values, old := i.table.external(), map[string]*string{}, map[string]*string{}
		for n := range i.table.Columns {
			c := &i.table.Columns[n]
			v, changed := i.values[c.Name]
			if c.Frozen && changed {
				values[c.Name] = nil
				keep(values, c.Name, v)
				keep(old, c.Name, i.old[c.Name])
			}
			if c.Frozen || c != own && !c.reference() && c.Relationship == "" && !named[strings.ToLower(c.Field)] {
				continue
			}
			if changed && set(i.old[c.Name]) {
				values[c.Name] = nil // it is taken out, if nothing is brought in
			}
			keep(values, c.Name, v)
			if changed || c == own || i.op == Delete {
				keep(old, c.Name, i.old[c.Name])
			}
		}
		i.values, i.old, i.hard, i.soft = values, old, nil, nil
	}
}

// keep puts a copy of a value into a map: of the text that it was part of no more is
// kept.
func keep(into map[string]*string, column string, v *string) {
	if set(v) {
		own := strings.Clone(*v)
		into[column] = &own
	}
}

// bulkKey is what tells the item's record apart in a job's results.
func (i *item) bulkKey() string {
	if i.op != Upsert {
		return i.sfid
	}
	fields, err := fieldsOf(i.table, Upsert, i.values)
	if err != nil {
		return ""
	}
	return fmt.Sprint(fields[i.table.ExternalID])
}

// adopt takes over an entry that an earlier process gave to a job.
func (w *Worker) adopt(e *entry, sfid string) {
	j := w.jobs[e.job()]
	if j == nil {
		j = &job{id: e.job(), table: e.key.table, began: time.Now().Add(-openFor), since: time.Now()}
		w.jobs[j.id] = j
	}
	n := slices.IndexFunc(j.items, func(i *item) bool { return i.key == e.key })
	if n < 0 {
		n = len(j.items)
		j.items = append(j.items, &item{key: e.key, table: w.tables[e.key.table]})
	}
	i := j.items[n]
	if slices.ContainsFunc(i.entries, func(x *entry) bool { return x.id == e.id }) {
		return
	}
	i.entries, i.carrier = append(i.entries, e), e
	i.values, i.old, i.sfid = overlay(i.values, e.values), overlay(e.old, i.old), cmp.Or(e.sfid, i.sfid, sfid)
	switch {
	case e.action == actionDelete:
		i.op = Delete
	case i.op == Upsert, i.sfid == "", e.action == actionInsert && sfid == "": // e.sfid may be an answer that the row was locked to
		i.op = Upsert
	default:
		i.op = Update
	}
	i.jobKey = i.bulkKey()
}

// inJobs are the items under way.
func (w *Worker) inJobs() []*item {
	var all []*item
	for _, j := range w.jobs {
		all = append(all, j.items...)
	}
	return all
}

// endJobs asks for jobs whose time has come, and settles those that are over.
func (w *Worker) endJobs(ctx context.Context) (n int, err error) {
	for id, j := range w.jobs {
		if ctx.Err() != nil || time.Now().Before(j.due) {
			continue
		}
		outcomes, done, unread := w.cfg.Bulk.Result(ctx, id, w.tables[j.table])
		failure := j.silent(unread)
		if failure == nil && (unread != nil || !done) {
			j.later(w.cfg.BulkAsk)
			continue
		}
		w.jobPace = time.Since(j.since) / time.Duration(max(len(j.items), 1))
		delete(w.jobs, id)
		var results []*result
		untouched, limited := 0, false
		for _, i := range j.items {
			o, told := outcomes[i.jobKey]
			if failure != nil && i.op.creates() {
				o, told = Outcome{Failure: failure}, true
			}
			if !told {
				untouched++
				results = append(results, &result{item: i, outcome: again, free: true})
				continue
			}
			r := w.judge(i, i.op, i.mayOverlap(i.op, o))
			r.sent, r.late = j.began, w.lateUntil(j.began)
			limited = limited || o.Failure != nil && o.Failure.Class == Limit
			results = append(results, r)
		}
		if untouched > 0 || failure != nil || limited { // a call that meets the limit holds up all others
			w.noBulk[j.table] = time.Now().Add(noBulkFor)
		}
		w.log.Info().AnErr("error", cause(failure)).Str("event", "bulk_ended").Str("job", id).Int("rows", len(j.items)).Int("untouched", untouched).Msg("job")
		for chunk := range slices.Chunk(results, recoverPage) {
			settled, failed := w.settle(ctx, &settlement{results: chunk})
			if n += settled; failed != nil {
				err = failed // it is kept, and so must the others be
			}
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// silent decides when to ask no more, nil as long as it is worth it: what became of
// the records is not known then, and as it is over or has had a day, what can be
// repeated is, and the others are looked for.
func (j *job) silent(err error) *Failure {
	f := failureOf(err)
	switch {
	case err == nil || f.Class == Limit:
		j.mute = time.Time{}
		return nil
	case j.mute.IsZero():
		j.mute = time.Now()
	}
	wait := openFor
	if f.Ended {
		wait = unreadFor
	}
	if time.Since(j.mute) < wait {
		return nil
	}
	return &Failure{Class: Transient, InDoubt: true, Ended: true, Code: f.Code, Message: "the results of a job cannot be read: " + f.Message}
}

// behindFlight holds back what depends on changes under way.
func (p planner) behindFlight(items, flight []*item) {
	if len(flight) == 0 {
		return
	}
	named := p.namedFields()
	made, own := map[reference]bool{}, map[reference]bool{}
	busy := map[key]bool{}
	mentioned, mentionedRef := map[string]bool{}, map[reference]bool{}
	for _, f := range flight {
		busy[f.key] = true
		for _, values := range []map[string]*string{f.values, f.old} {
			if r, ok := f.table.ownReference(values); ok {
				own[r] = true
			}
		}
		for _, r := range f.externals(named, f.values) {
			made[r] = made[r] || f.op.creates()
		}
		for _, id := range f.mentioned() {
			mentioned[id] = true
		}
		for _, r := range f.mentionedRefs() {
			mentionedRef[r] = true
		}
	}
	for _, i := range items {
		i.waiting = i.waiting || busy[i.key]
		for _, values := range []map[string]*string{i.values, i.old} {
			if r, ok := i.table.ownReference(values); ok && own[r] {
				i.waiting = true
			}
		}
		if i.op != Delete {
			i.waiting = i.waiting || slices.ContainsFunc(i.parentRefs(i.values), func(r reference) bool { return made[r] })
			continue
		}
		i.waiting = i.waiting || mentioned[i.sfid] ||
			slices.ContainsFunc(i.externals(named, i.old), func(r reference) bool { return mentionedRef[r] })
	}
}

// ownReference is the row's external id.
func (t *Table) ownReference(values map[string]*string) (reference, bool) {
	c := t.external()
	if c == nil || !set(values[c.Name]) {
		return reference{}, false
	}
	return reference{t.Name, strings.ToLower(*values[c.Name])}, true
}
