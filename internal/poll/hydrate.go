package poll

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// reasonGone is the reason of a mark that getDeleted set: if the record cannot
// be found any more, it was deleted for good.
const reasonGone = "gone"

// againAfter is when a record that was read in the second of its stamp is read
// once more.
const againAfter = 2 * time.Second

// Hydrate reads up to 2,000 marked records of o back and writes their rows. It
// returns how many marks it took up; fewer than 2,000 means that no more were
// due.
func (r *Reader) Hydrate(ctx context.Context, o Object) (n int, res pgsink.Result, err error) {
	marks, err := r.sink.DueMarks(ctx, o.Name, readBack)
	if err != nil || len(marks) == 0 {
		return 0, res, err
	}
	batch, err := r.readBack(ctx, o, marks)
	if err != nil {
		return 0, res, err
	}
	res, err = r.sink.Apply(ctx, batch)
	return len(marks), res, err
}

// readBack asks for the marked records and turns the answer into one batch.
func (r *Reader) readBack(ctx context.Context, o Object, marks []pgsink.Mark) (pgsink.Batch, error) {
	ids := make([]string, len(marks))
	for i, m := range marks {
		ids[i] = m.SFID
	}
	records, err := r.fetch(ctx, o, ids)
	if err != nil {
		return pgsink.Batch{}, err
	}
	var batch pgsink.Batch
	if batch.Changes, err = rows(o, records, pgsink.Read); err != nil {
		return pgsink.Batch{}, err
	}
	fresh := map[string]bool{} // read so soon that another change may share the stamp
	found := make(map[string]bool, len(batch.Changes))
	recent := r.sf.ServerTime().Add(-time.Second).Truncate(time.Second)
	for _, c := range batch.Changes {
		found[c.Row.SFID] = true
		fresh[c.Row.SFID] = !o.Streamed() && !c.Row.Stamp.Before(recent)
	}
	missing, err := r.missing(ctx, o, ids, found)
	if err != nil {
		return pgsink.Batch{}, err
	}
	for _, m := range marks {
		done := true
		switch deleted, asked := missing[m.SFID]; {
		case found[m.SFID]:
			done = !fresh[m.SFID]
		case deleted, !asked && m.Reason == reasonGone:
			// Invariant 4 of the bridge: a positive sign, twice over.
			batch.Changes = append(batch.Changes, pgsink.Change{Table: o.Table, Kind: pgsink.Delete, Row: pgsink.Row{SFID: m.SFID}})
		case asked:
			done = false // it was there a moment ago: undeleted between the two calls
		default:
			r.log.Debug().Str("event", "invisible").Str("object", o.Name).Str("sfid", m.SFID).Msg("record is not visible, its row stays")
		}
		batch.Done = append(batch.Done, pgsink.Done{Object: m.Object, SFID: m.SFID, Seq: m.Seq})
		if !done {
			batch.Marks = append(batch.Marks, pgsink.Mark{Object: m.Object, SFID: m.SFID, Reason: "again", Delay: againAfter})
		}
	}
	return batch, nil
}

// fetch reads records by id, in any order, without those that are not there.
func (r *Reader) fetch(ctx context.Context, o Object, ids []string) ([]json.RawMessage, error) {
	dotted := strings.Contains(strings.Join(o.Fields, ""), ".")
	if !dotted {
		return r.sf.Retrieve(ctx, o.Name, ids, o.Fields)
	}
	// Only a query reads a parent's fields.
	var records []json.RawMessage
	head := fmt.Sprintf("SELECT %s FROM %s WHERE Id IN (", strings.Join(o.Fields, ","), o.Name)
	err := r.byID(ctx, head, ids, false, func(page []json.RawMessage) error {
		records = append(records, page...)
		return nil
	})
	return records, err
}

// missing tells of each id that is not in found whether it is deleted. An id
// that it does not know at all is absent from the answer.
func (r *Reader) missing(ctx context.Context, o Object, ids []string, found map[string]bool) (map[string]bool, error) {
	if !o.Deletes {
		return nil, nil
	}
	var ask []string
	for _, id := range ids {
		if !found[id] {
			ask = append(ask, id)
		}
	}
	deleted := make(map[string]bool, len(ask))
	head := fmt.Sprintf("SELECT Id, SystemModstamp, IsDeleted FROM %s WHERE Id IN (", o.Name)
	err := r.byID(ctx, head, ask, true, func(page []json.RawMessage) error {
		stamps, err := parseStamps(o.Name, page)
		for _, s := range stamps {
			deleted[s.ID] = s.IsDeleted
		}
		return err
	})
	return deleted, err
}

// byID runs head + ids + ")" in as many queries as the length of a URI makes
// necessary.
func (r *Reader) byID(ctx context.Context, head string, ids []string, all bool, fn func([]json.RawMessage) error) error {
	perQuery := max(1, (maxQuery-len(head))/(len("%27%2C%27")+18))
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
