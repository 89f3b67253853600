package bridge

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/internal/pgtext"
	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/outbox"
	"hcbridge/pgsink"
)

// sender turns the outbox's calls into sObject Collections requests.
type sender struct {
	s *session
}

var _ outbox.Sender = sender{}

// Send implements outbox.Sender.
func (d sender) Send(ctx context.Context, call outbox.Call) ([]outbox.Outcome, error) {
	results, err := d.request(ctx, call)
	d.s.salesforce(err)
	if err != nil {
		f := d.refused(failure(err))
		switch {
		case f.Code == salesforce.CodeRequestLimit && !passes(err):
			d.s.stop("outbound", "the org's API limit is used up")
		case f.Code == outbox.CodeInternal && len(call.Records) == 1: // most likely of what is in that record
		case f.Class == outbox.Limit && !passes(err):
			d.s.stop("outbound", f.Error())
		case f.Class == outbox.Transient && f.Code != salesforce.CodeLocked, f.Class == outbox.Limit:
			d.s.falter("outbound", f.Error(), err)
		}
		return nil, f
	}
	d.s.resume("outbound")
	outcomes := make([]outbox.Outcome, len(results))
	var failed int64
	var full *outbox.Failure
	for i, r := range results {
		outcomes[i] = outbox.Outcome{SFID: r.ID, Created: r.Created}
		if !r.Success {
			failed++
			outcomes[i].Failure = &outbox.Failure{Class: outbox.Permanent, Code: "UNKNOWN", Message: "Salesforce gave no reason"}
			if len(r.Errors) > 0 {
				outcomes[i].Failure = d.refused(ofRecord(r.Errors[0]))
			}
			if f := outcomes[i].Failure; f.Code == outbox.CodeFull {
				full = f
			}
		}
	}
	// What needs no room goes on meanwhile, such as the deletes that make some.
	if part := "new records of "; full != nil {
		d.s.stop(part+call.Object, full.Error())
	} else if failed < int64(len(results)) && (call.Op == outbox.Insert || call.Op == outbox.Upsert) {
		d.s.resume(part + call.Object)
	}
	now := time.Now()
	d.s.board.Object(call.Object, func(o *status.Object) {
		o.LastWriteAt = &now
		o.Counters.WritesSent += int64(len(results)) - failed
		o.Counters.WritesFailed += failed
	})
	return outcomes, nil
}

// refused judges a failure by what is known of the schema, and makes its message fit for
// the trigger log: Salesforce speaks the user's language, and not all databases all.
func (d sender) refused(f *outbox.Failure) *outbox.Failure {
	f = d.s.schema.refused(f)
	f.Message = pgtext.Fit(d.s.charset, f.Message)
	return f
}

func (d sender) request(ctx context.Context, call outbox.Call) ([]salesforce.SaveResult, error) {
	records := make([]map[string]any, len(call.Records))
	for i, r := range call.Records {
		records[i] = r.Fields
	}
	switch call.Op {
	case outbox.Insert:
		return d.s.sf.InsertAll(ctx, call.Object, records)
	case outbox.Upsert:
		return d.s.sf.UpsertAll(ctx, call.Object, call.ExternalID, records)
	case outbox.Update:
		for i, r := range call.Records {
			records[i]["id"] = r.SFID
		}
		return d.s.sf.UpdateAll(ctx, call.Object, records)
	case outbox.Delete:
		ids := make([]string, len(call.Records))
		for i, r := range call.Records {
			ids[i] = r.SFID
		}
		return d.s.sf.DeleteAll(ctx, ids)
	}
	return nil, fmt.Errorf("unknown operation %v", call.Op)
}

// passes reports a limit that does within seconds.
func passes(err error) bool {
	var se *salesforce.Error
	return errors.As(err, &se) && se.Brief
}

// parentPatience is how often a record is sent again whose parent, named by an
// external id, Salesforce does not know: for some 3 seconds, with the outbox's waits.
// Somebody else may be about to make it. What of our own makes it goes before.
const parentPatience = 3

// noParent reports that a parent named by an external id is not there. The code is
// that of a field which does not exist.
func noParent(f *outbox.Failure) bool {
	return f.Code == salesforce.CodeInvalidField && strings.HasPrefix(f.Message, "Foreign key external ID:")
}

// failure puts Salesforce's error into the outbox's terms.
func failure(err error) *outbox.Failure {
	var se *salesforce.Error
	if !errors.As(err, &se) {
		return &outbox.Failure{Class: outbox.Transient, Code: "UNAVAILABLE", Message: err.Error()}
	}
	f := &outbox.Failure{Code: se.Code, Message: se.Message, Reason: err.Error(), Fields: se.Fields, InDoubt: se.InDoubt, Ended: se.Ended, Unsent: errors.Is(err, salesforce.ErrNotSent), Class: outbox.Permanent}
	switch se.Class {
	case salesforce.Transient, salesforce.Auth:
		f.Class = outbox.Transient
	case salesforce.Limit:
		f.Class = outbox.Limit
	case salesforce.Conflict:
		f.Class = outbox.Conflict
	case salesforce.Permanent:
	}
	if f.Code == salesforce.CodeReadOnly || se.Barred() { // not about the record: nothing can be written for a while
		f.Class = outbox.Limit
	}
	if noParent(f) {
		f.Retries = parentPatience
	}
	if f.Message == "" {
		f.Message = err.Error()
	}
	return f
}

// ofRecord is a failure of one record in an answer to many. Few limits are then about
// all: where the org's storage is full, the record waits, and any other limit is one
// that the record itself goes beyond, unless that passes soon. Where a part of them was
// refused as a whole for what one of its records holds, each goes on until that is alone.
func ofRecord(e *salesforce.Error) *outbox.Failure {
	f := failure(e)
	switch {
	case e.Status != 0 && f.Class == outbox.Permanent && (f.Code == "" || f.Code == "JSON_PARSER_ERROR"):
		f.Retries = outbox.UntilAlone
	case f.Class != outbox.Limit || f.Code == salesforce.CodeRequestLimit || f.Code == salesforce.CodeReadOnly || e.Barred():
	case f.Code == outbox.CodeFull:
		f.Class = outbox.Transient
	default:
		f.Class, f.Retries = outbox.Permanent, parentPatience
	}
	return f
}

// settled runs in the transaction that records an answer: what Salesforce
// stored is read back into the row, with what came in meanwhile, and what it
// deleted is remembered. Marks come before graves, as they do in what comes in.
func (s *session) settled(ctx context.Context, tx pgx.Tx, done []outbox.Settled) error {
	var marks []pgsink.Mark
	refused, deleted := map[string][]string{}, map[string][]string{} // Salesforce ids by object
	for _, d := range done {
		o := s.byTable[d.Table]
		if d.SFID == "" || o == nil {
			continue
		}
		if d.Dismissed {
			marks = append(marks, pgsink.Mark{Object: o.cfg.Name, SFID: d.SFID, Reason: "dismissed"})
			continue
		}
		if !d.OK {
			if f := d.Failure; f != nil && f.Code == salesforce.CodeDeleted {
				marks = append(marks, pgsink.Mark{Object: o.cfg.Name, SFID: d.SFID, Reason: pgsink.ReasonGone})
			}
			refused[o.cfg.Name] = append(refused[o.cfg.Name], d.SFID)
			continue
		}
		s.id.wrote.Store(true)
		if d.Changed && (!d.Job || o.cfg.Mode == config.ModeCDC) { // PushTopics do not tell of jobs
			s.stream.wrote(o, d.SFID)
		}
		if d.Op == outbox.Delete {
			deleted[o.cfg.Name] = append(deleted[o.cfg.Name], d.SFID)
			if len(o.poll.Children) > 0 { // the hydrator looks after them: no row tells a poll of this delete
				marks = append(marks, pgsink.Mark{Object: o.cfg.Name, SFID: d.SFID, Reason: pgsink.ReasonRemoved})
			}
			continue
		}
		marks = append(marks, pgsink.Mark{Object: o.cfg.Name, SFID: d.SFID, Reason: "written", Bars: true})
		o.gathering.add(1)
	}
	for object, sfids := range refused { // rows wait for them no longer
		if err := s.sink.Expedite(ctx, tx, object, sfids); err != nil {
			return err
		}
	}
	if err := s.sink.Mark(ctx, tx, marks); err != nil {
		return err
	}
	for object, ids := range deleted { // events of before must not bring them back
		if err := s.sink.BuryIn(ctx, tx, object, ids); err != nil {
			return err
		}
	}
	if len(marks)+len(refused) == 0 {
		return nil
	}
	s.wakeHydrator() // it looks again shortly, should this transaction commit later
	return nil
}
