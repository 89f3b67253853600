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

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// againAfter is when a record that was read in the second of its stamp is read
// once more.
const againAfter = 2 * time.Second

// createdBy is the field that says who made a record.
const createdBy = "CreatedById"

// reasonMerged is the reason of a mark for a record that another was merged into.
const reasonMerged = "merged"

// Hydrate reads up to 2,000 marked records of o back and writes their rows, or
// fewer while Salesforce finds that too many. It returns how many marks it took
// up; zero means that none was due.
func (r *Reader) Hydrate(ctx context.Context, o Object) (n int, res pgsink.Result, err error) {
	marks, err := r.sink.DueMarks(ctx, o.Name, r.batch.size(o.Name))
	if err != nil || len(marks) == 0 {
		return 0, res, err
	}
	b, err := r.readBack(ctx, o, marks)
	r.batch.learn(o.Name, len(marks), err)
	if err != nil {
		return 0, res, err
	}
	if err := r.sink.NoteInvisible(ctx, o.Name, b.invisible, r.sf.ServerTime()); err != nil {
		return 0, res, err // before the marks go: the note is what is left of them
	}
	if res, err = r.sink.Apply(ctx, b.Batch); err != nil {
		return 0, res, err
	}
	if n := len(b.invisible); n > 0 {
		r.log.Info().Str("event", "invisible").Str("object", o.Name).Int("rows", n).Msg("records are neither visible nor known to be deleted; their rows stay")
	}
	return len(marks), res, nil
}

// batches remembers how many records of an object one reading back may ask for:
// half as many after Salesforce took too long or refused, and twice as many
// after it did not. The zero value is ready for use.
type batches struct {
	mu   sync.Mutex
	most map[string]int
}

func (b *batches) size(object string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n, ok := b.most[object]; ok {
		return n
	}
	return readBack
}

func (b *batches) learn(object string, n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.most == nil {
		b.most = map[string]int{}
	}
	have, limited := b.most[object]
	switch {
	case err != nil && tooMuch(err):
		b.most[object] = max(1, n/2)
	case err == nil && limited && n == have:
		if b.most[object] = min(2*have, readBack); have == readBack {
			delete(b.most, object)
		}
	}
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
	case "QUERY_TIMEOUT", "QUERY_TOO_COMPLICATED", "OPERATION_TOO_LARGE", "REQUEST_RUNNING_TOO_LONG":
		return true
	}
	return se.Status == http.StatusRequestEntityTooLarge || se.Status == http.StatusRequestURITooLong ||
		se.Status == http.StatusRequestHeaderFieldsTooLarge || errors.Is(err, context.DeadlineExceeded)
}

// readings is what came of reading records back.
type readings struct {
	pgsink.Batch

	invisible []string // neither found nor known to be deleted
}

// readBack asks for the marked records and turns the answer into one batch.
func (r *Reader) readBack(ctx context.Context, o Object, marks []pgsink.Mark) (b readings, err error) {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.SFID
	}
	records, err := r.fetch(ctx, o, ids)
	if err != nil {
		return b, err
	}
	if b.Changes, err = rows(o, records, pgsink.Read); err != nil {
		return b, err
	}
	fresh := map[string]bool{} // read so soon that another change may share the stamp
	found := make(map[string]bool, len(b.Changes))
	recent := r.sf.ServerTime().Add(-time.Second).Truncate(time.Second)
	for _, c := range b.Changes {
		found[c.Row.SFID] = true
		fresh[c.Row.SFID] = !o.Streamed() && !c.Row.Stamp.Before(recent)
	}
	missing, err := r.missing(ctx, o, ids, found)
	if err != nil {
		return b, err
	}
	var gone []string
	for _, m := range marks {
		done := true
		switch s, asked := missing[m.SFID]; {
		case found[m.SFID]:
			done = !fresh[m.SFID]
		case s.IsDeleted, !asked && m.Reason == pgsink.ReasonGone:
			// Invariant 4 of the bridge: a positive sign, twice over.
			b.Changes = append(b.Changes, pgsink.Change{Table: o.Table, Kind: pgsink.Delete, Row: pgsink.Row{SFID: m.SFID}})
			gone = append(gone, m.SFID)
			if isID(s.MasterRecordID) && m.Reason != reasonMerged { // two may name each other
				b.Marks = append(b.Marks, pgsink.Mark{Object: o.Name, SFID: s.MasterRecordID, Reason: reasonMerged})
			}
		case asked:
			done = false // it was there a moment ago: undeleted between the two calls
		default:
			b.invisible = append(b.invisible, m.SFID)
		}
		b.Done = append(b.Done, pgsink.Done{Object: m.Object, SFID: m.SFID, Seq: m.Seq})
		if !done {
			b.Marks = append(b.Marks, pgsink.Mark{Object: m.Object, SFID: m.SFID, Reason: "again", Delay: againAfter})
		}
	}
	orphans, err := r.orphans(ctx, o, gone)
	b.Marks = append(b.Marks, orphans...)
	return b, err
}

// orphans marks the rows that refer to deleted records. Salesforce deletes such
// children, empties their lookups, or has them refer to the winner of a merge,
// and tells of none of it. A child that is among the deleted is left as it is:
// if a foreign key keeps it, it is tried again later, and not at once.
func (r *Reader) orphans(ctx context.Context, o Object, gone []string) ([]pgsink.Mark, error) {
	if len(gone) == 0 {
		return nil, nil
	}
	var marks []pgsink.Mark
	for _, child := range o.Children {
		ids, err := r.sink.Referring(ctx, child.Table, child.Column, gone)
		if err != nil {
			return nil, err
		}
		for _, id := range ids {
			if child.Object != o.Name || !slices.Contains(gone, id) {
				marks = append(marks, pgsink.Mark{Object: child.Object, SFID: id, Reason: "parent deleted"})
			}
		}
	}
	return marks, nil
}

// fetch reads records by id, in any order, without those that are not there.
func (r *Reader) fetch(ctx context.Context, o Object, ids []string) ([]json.RawMessage, error) {
	fields := o.Fields
	if o.Me != "" && !slices.Contains(fields, createdBy) {
		fields = append(slices.Clone(fields), createdBy)
	}
	dotted := strings.Contains(strings.Join(fields, ""), ".")
	if !dotted {
		return r.sf.Retrieve(ctx, o.Name, ids, fields)
	}
	// Only a query reads a parent's fields.
	var records []json.RawMessage
	head := fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (", strings.Join(fields, ","), o.Name)
	err := r.byID(ctx, head, ids, false, func(page []json.RawMessage) error {
		records = append(records, page...)
		return nil
	})
	return records, err
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
	known := make(map[string]stamp, len(ask))
	fields := "Id, SystemModstamp, IsDeleted"
	if o.Merges {
		fields += ", MasterRecordId"
	}
	head := fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (", fields, o.Name)
	err := r.byID(ctx, head, ask, true, func(page []json.RawMessage) error {
		stamps, err := parseStamps(o.Name, page)
		for _, s := range stamps {
			known[s.ID] = s
		}
		return err
	})
	return known, err
}

// byID runs head + ids + ")" in as many queries as the length of a URI makes
// necessary.
func (r *Reader) byID(ctx context.Context, head string, ids []string, all bool, fn func([]json.RawMessage) error) error {
	perQuery := max(200, (maxQuery-len(head))/(len("%27%2C%27")+18))
	for len(ids) > 0 {
		n := min(perQuery, len(ids))
		if list := inList(ids[:n]); list != "" {
			if err := r.pages(ctx, head+list+")", salesforce.QueryOpts{All: all}, fn); err != nil {
				return err
			}
		}
		ids = ids[n:]
	}
	return nil
}
