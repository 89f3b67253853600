package poll

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"hcbridge/internal/retry"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// againAfter is when a record that was read in the second of its stamp is read
// once more.
const againAfter = 2 * time.Second

// putOffFirst and putOffMost are how long a record waits that could not be read.
const putOffFirst, putOffMost = 10 * time.Second, time.Hour

// readMost is how long one call that reads records back may take: the other objects wait
// for it. One that takes longer is made for fewer records.
const readMost = 30 * time.Second

// createdBy is the field that says who made a record.
const createdBy = "CreatedById"

// reasonMerged is the reason of a mark for a record that another was merged into.
const reasonMerged = "merged"

// Hydrate reads marked records of o back, as many as one call carries if so many
// are due: up to 10,000, or fewer while they are large or Salesforce finds that too
// many. It writes their rows, 2,000 in a transaction, and returns how many marks it
// took up; zero means that none was due. If some could not be read, the others are
// written all the same and err tells why. One that cannot be read even alone is put
// off, and then asked for apart from the others. Records that the bridge itself
// deleted ([pgsink.ReasonRemoved]) are not read: who refers to them is marked.
func (r *Reader) Hydrate(ctx context.Context, o Object) (n int, res pgsink.Result, err error) {
	marks, err := r.sink.DueMarks(ctx, o.Table, r.Most(o))
	if err != nil || len(marks) == 0 {
		return 0, res, err
	}
	ours, marks := apart(marks)
	for chunk := range slices.Chunk(ours, readBack) {
		if err := r.lookAfter(ctx, o, chunk); err != nil {
			return n, res, err
		}
		n += len(chunk)
	}
	fresh, suspects := tried(marks)
	read, res, err := r.readMarked(ctx, o, o.Name, fresh)
	if n += read; err != nil {
		return n, res, err
	}
	suspects = suspects[:min(len(suspects), r.batch.size(o.suspects()))]
	read, written, err := r.readMarked(ctx, o, o.suspects(), suspects)
	res.Add(written)
	return n + read, res, err
}

// readMarked reads marked records and writes their rows. What comes of it is
// remembered under key; n counts the marks.
func (r *Reader) readMarked(ctx context.Context, o Object, key string, marks []pgsink.Mark) (n int, res pgsink.Result, err error) {
	if len(marks) == 0 {
		return 0, res, nil
	}
	stamps, err := r.sink.Stamps(ctx, o.Table, ids(marks))
	if err != nil {
		return 0, res, err
	}
	parts := make([]reading, 0, readParts)
	for chunk := range slices.Chunk(marks, readBack) {
		parts = append(parts, reading{marks: chunk, since: r.sf.ServerTime(), stamps: stamps})
	}
	r.fetchAll(ctx, o, parts)
	bytes, found := 0, 0
	for i := range parts {
		p := &parts[i]
		for _, record := range p.records {
			bytes, found = bytes+len(record), found+min(1, len(record))
		}
		written, failed := pgsink.Result{}, p.err
		if failed == nil {
			written, failed = r.writeBack(ctx, o, p)
		}
		if failed == nil {
			n += len(p.marks)
			res.Add(written)
		} else if failed = r.putOff(ctx, o, p.marks, failed); err == nil {
			err = failed
		}
		p.records = nil
	}
	r.batch.learn(key, len(marks), bytes/max(1, found), err)
	return n, res, err
}

// tried divides marks into those of records that nothing is known against and those
// that could not be read when they were asked for alone.
func tried(marks []pgsink.Mark) (fresh, suspects []pgsink.Mark) {
	for _, m := range marks {
		if m.Attempts > 0 {
			suspects = append(suspects, m)
		} else {
			fresh = append(fresh, m)
		}
	}
	return fresh, suspects
}

// suspects is the name under which it is remembered how many of those may be asked
// for at once.
func (o Object) suspects() string { return o.Name + " suspects" }

// putOff has a record wait that was asked for alone, for longer each time, so that
// the others get their turn. It returns the failure, with the record's id.
func (r *Reader) putOff(ctx context.Context, o Object, marks []pgsink.Mark, failure error) error {
	if len(marks) != 1 || !narrows(failure) {
		return failure
	}
	m := marks[0]
	r.batch.learn(o.suspects(), 1, 0, failure)
	failure = fmt.Errorf("%s %s: %w", o.Name, m.SFID, failure)
	done := []pgsink.Done{{Object: m.Object, SFID: m.SFID, Seq: m.Seq}}
	if err := r.sink.Postpone(ctx, done, retry.Delay(m.Attempts+1, putOffFirst, putOffMost)); err != nil {
		return errors.Join(failure, err)
	}
	return failure
}

// Most returns how many records of o the next reading back takes up at most.
func (r *Reader) Most(o Object) int {
	if o.dotted() { // what one call carries of ids in queries
		return min(readBack, r.batch.size(o.Name))
	}
	return r.batch.size(o.Name)
}

// reading is what one request of a reading back asks for, and its answer.
type reading struct {
	marks   []pgsink.Mark
	since   time.Time            // Salesforce's clock, before it was asked
	stamps  map[string]time.Time // of the rows then
	records []json.RawMessage
	err     error
}

// fetchAll reads the records of all parts, in one call if there are several.
func (r *Reader) fetchAll(ctx context.Context, o Object, parts []reading) {
	ctx = salesforce.Within(ctx, r.readMost)
	if len(parts) > 1 {
		ctx = salesforce.Together(ctx)
	}
	var wg sync.WaitGroup
	for i := range parts {
		p := &parts[i]
		wg.Go(func() { p.records, p.err = r.fetch(ctx, o, ids(p.marks)) })
	}
	wg.Wait()
}

func ids(marks []pgsink.Mark) []string {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.SFID
	}
	return ids
}

// writeBack writes what was read.
func (r *Reader) writeBack(ctx context.Context, o Object, p *reading) (res pgsink.Result, err error) {
	b, err := r.judge(ctx, o, p)
	if err != nil {
		return res, err
	}
	if err := r.sink.NoteInvisible(ctx, o.Name, b.invisible, r.sf.ServerTime()); err != nil {
		return res, err // before the marks go: the note is what is left of them
	}
	if res, err = r.sink.Apply(ctx, b.Batch); err != nil {
		return res, err
	}
	if err := r.sink.Visible(ctx, o.Name, b.visible); err != nil {
		return res, err
	}
	if n := len(b.invisible); n > 0 {
		r.log.Info().Str("event", "invisible").Str("object", o.Name).Int("rows", n).Msg("records are neither visible nor known to be deleted; their rows stay")
	}
	return res, nil
}

// batches remembers how many records of an object one reading back may ask for:
// what one request carries until it is known how large they are, and after that as
// many as make no huge answer. It is half as many after Salesforce took too long or
// refused, or a call with several requests failed, and twice as many after it did
// not, so that one record which cannot be read is alone in the end. The zero value is
// ready for use.
type batches struct {
	mu    sync.Mutex
	most  map[string]int
	bytes map[string]int // of a record, in the last answer
}

func (b *batches) size(object string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.usual(object)
	if most, limited := b.most[object]; limited {
		n = min(n, most)
	}
	return n
}

// usual is how many it is where Salesforce copes.
func (b *batches) usual(object string) int {
	if b.bytes[object] == 0 {
		return readBack
	}
	return min(max(1, readBytes/b.bytes[object]), readParts*readBack)
}

// learn takes in what came of asking for n records; bytes is how large one was, 0 if
// there was none.
func (b *batches) learn(object string, n, bytes int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == nil {
		b.most, b.bytes = map[string]int{}, map[string]int{}
	}
	if bytes > 0 {
		b.bytes[object] = bytes
	}
	have, limited := b.most[object]
	switch {
	case err != nil && narrows(err):
		b.most[object] = max(1, n/2)
	case err != nil && n > readBack:
		b.most[object] = max(readBack, n/2)
	case err == nil && limited && n == have:
		if b.most[object] = 2 * have; 2*have >= b.usual(object) {
			delete(b.most, object)
		}
	}
}

// narrows reports an error that one record may be to blame for, or how many they
// are, and that fewer at a time can avoid or pin down. What may be wrong with the
// object, the user or the org is none, nor is a request without an answer.
func narrows(err error) bool {
	if errors.As(err, new(*pgsink.RecordError)) || tooMuch(err) {
		return true
	}
	var se *salesforce.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code {
	case "UNKNOWN_EXCEPTION":
		return true
	case salesforce.CodeInvalidField, salesforce.CodeInvalidType, salesforce.CodeNotFound:
		return false
	}
	return se.Class == salesforce.Permanent && se.Status != 0 && se.Status != http.StatusForbidden && se.Status != http.StatusNotFound
}

// tooMuch reports an error that fewer records or ids can avoid (REST API
// Developer Guide, "Status Codes and Error Responses"; SOAP API Developer Guide,
// "ExceptionCode").
func tooMuch(err error) bool {
	var se *salesforce.Error
	if !errors.As(err, &se) {
		return false
	}
	switch se.Code {
	case "QUERY_TIMEOUT", "QUERY_TOO_COMPLICATED", "OPERATION_TOO_LARGE", "REQUEST_RUNNING_TOO_LONG", salesforce.CodeTooBig:
		return true
	}
	return se.Status == http.StatusRequestEntityTooLarge || se.Status == http.StatusRequestURITooLong ||
		se.Status == http.StatusRequestHeaderFieldsTooLarge || errors.Is(err, context.DeadlineExceeded)
}

// readings is what came of reading records back.
type readings struct {
	pgsink.Batch

	visible   []string
	invisible []string // neither found nor known to be deleted
}

// gaveBack reports whether the row of a record tells that it lives again: it was
// changed after Salesforce had deleted it.
func (p *reading) gaveBack(m pgsink.Mark) bool {
	return !m.DeletedAt.IsZero() && p.stamps[m.SFID].After(m.DeletedAt)
}

// judge turns the answer to a reading back into one batch.
func (r *Reader) judge(ctx context.Context, o Object, p *reading) (b readings, err error) {
	fresh := map[string]bool{} // read so soon that another change may share the stamp
	found := make(map[string]bool, len(p.records))
	recent := p.since.Add(-time.Second).Truncate(time.Second)
	take := func(records []json.RawMessage) error {
		changes, err := rows(o, records, pgsink.Read)
		for i := range changes {
			c := &changes[i]
			c.Row.Known = p.stamps[c.Row.SFID].Equal(c.Row.Stamp)
			found[c.Row.SFID] = true
			b.visible = append(b.visible, c.Row.SFID)
			fresh[c.Row.SFID] = !o.Streamed() && !c.Row.Stamp.Before(recent)
		}
		b.Changes = append(b.Changes, changes...)
		return err
	}
	if err := take(p.records); err != nil {
		return b, err
	}
	missing, err := r.missing(ctx, o, ids(p.marks), found)
	if err != nil {
		return b, err
	}
	archived, err := r.archived(ctx, o, missing)
	if err != nil {
		return b, err
	}
	if err := take(archived); err != nil {
		return b, err
	}
	var gone []string
	for _, m := range p.marks {
		done := true
		_, valid := salesforce.CanonicalID(m.SFID)
		switch s, asked := missing[m.SFID]; {
		case found[m.SFID]:
			done = !fresh[m.SFID]
		case s.IsDeleted, !asked && valid && m.Reason == pgsink.ReasonGone && !p.gaveBack(m):
			// Invariant 4 of the bridge: a positive sign, twice over.
			deletion := pgsink.Row{SFID: m.SFID}
			if !asked && !m.DeletedAt.IsZero() {
				deletion.Stamp = m.DeletedAt.Truncate(time.Second).Add(time.Second) // a row of then or later is of after it
			}
			b.Changes = append(b.Changes, pgsink.Change{Table: o.Table, Kind: pgsink.Delete, Row: deletion})
			gone = append(gone, m.SFID)
			if isID(s.MasterRecordID) && m.Reason != reasonMerged { // two may name each other
				b.Marks = append(b.Marks, pgsink.Mark{Object: o.Name, SFID: s.MasterRecordID, Reason: reasonMerged})
			}
		case asked:
			done = false // it was there a moment ago
		default:
			b.invisible = append(b.invisible, m.SFID)
		}
		b.Done = append(b.Done, pgsink.Done{Object: m.Object, SFID: m.SFID, Seq: m.Seq})
		if !done {
			b.Marks = append(b.Marks, pgsink.Mark{Object: m.Object, SFID: m.SFID, Reason: "again", Delay: againAfter})
		}
	}
	// Whoever writes a row that refers to them now finds them remembered (see bereft).
	if err := r.sink.Bury(ctx, o.Name, gone); err != nil {
		return b, err
	}
	orphans, err := r.orphans(ctx, o, gone)
	if pgsink.IsLocked(err) { // the table of a child, for which the others must not wait
		orphans, err = o.removed(gone), nil
	}
	if err != nil {
		return b, err
	}
	adopted, err := r.restored(ctx, o, p, found)
	b.Marks = slices.Concat(b.Marks, orphans, adopted)
	return b, err
}

// fetch reads records by id, in any order, without those that are not there.
func (r *Reader) fetch(ctx context.Context, o Object, ids []string) ([]json.RawMessage, error) {
	if ids = askable(ids); len(ids) == 0 {
		return nil, nil
	}
	if !o.dotted() {
		return r.sf.Retrieve(ctx, o.Name, ids, o.readFields())
	}
	// Only a query reads a parent's fields.
	return r.byID(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (", strings.Join(o.readFields(), ","), o.Name), ids, false)
}

// readFields are what is read of a record, its author among it where that matters.
func (o Object) readFields() []string {
	if o.Me != "" && !slices.Contains(o.Fields, createdBy) {
		return append(slices.Clone(o.Fields), createdBy)
	}
	return o.Fields
}

// archived reads those of missing records that live all the same: tasks and events that
// are over a year old, which only queryAll shows (SOAP API Developer Guide, "Archived
// Activities"), and what was undeleted a moment ago.
func (r *Reader) archived(ctx context.Context, o Object, missing map[string]stamp) ([]json.RawMessage, error) {
	var alive []string
	for id, s := range missing {
		if !s.IsDeleted {
			alive = append(alive, id)
		}
	}
	return r.byID(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE IsDeleted = false AND Id IN (", strings.Join(o.readFields(), ","), o.Name), alive, true)
}

// missing tells of each id that is not in found what Salesforce knows of it,
// deleted or not. An id that it does not know at all is absent from the answer.
func (r *Reader) missing(ctx context.Context, o Object, ids []string, found map[string]bool) (map[string]stamp, error) {
	if !o.Deletes {
		return nil, nil
	}
	var ask []string
	for _, id := range ids {
		if !found[id] {
			ask = append(ask, id)
		}
	}
	fields := "Id, SystemModstamp, IsDeleted"
	if o.Merges {
		fields += ", MasterRecordId"
	}
	records, err := r.byID(ctx, fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (", fields, o.Name), ask, true)
	if err != nil {
		return nil, err
	}
	stamps, err := parseStamps(o.Name, records)
	known := make(map[string]stamp, len(stamps))
	for _, s := range stamps {
		known[s.ID] = s
	}
	return known, err
}

// byID runs head + ids + ")" in as many queries as the length of a URI makes
// necessary, which travel together.
func (r *Reader) byID(ctx context.Context, head string, ids []string, all bool) ([]json.RawMessage, error) {
	perQuery := max(200, (maxQuery-len(head))/(len("%27%2C%27")+18))
	lists := slices.Collect(slices.Chunk(askable(ids), perQuery))
	if len(lists) > 1 {
		ctx = salesforce.Together(ctx)
	}
	answers := make([][]json.RawMessage, len(lists))
	g, ctx := errgroup.WithContext(ctx)
	for i, list := range lists {
		in := inList(list)
		if in == "" {
			continue
		}
		g.Go(func() error {
			return r.pages(ctx, head+in+")", salesforce.QueryOpts{All: all}, func(page []json.RawMessage) error {
				answers[i] = append(answers[i], page...)
				return nil
			})
		})
	}
	err := g.Wait()
	return slices.Concat(answers...), err
}
