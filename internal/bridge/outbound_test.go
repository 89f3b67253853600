package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"hcbridge/internal/salesforce"
	"hcbridge/internal/status"
	"hcbridge/outbox"
	"hcbridge/test/org"
)

// Of the limits that an answer names for one record only those of the org stop all.
func TestLimitsOfRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code    string
		status  int // of what carried it
		class   outbox.Class
		retries int
	}{
		{salesforce.CodeRequestLimit, 0, outbox.Limit, 0},
		{salesforce.CodeReadOnly, 0, outbox.Limit, 0},
		{"TXN_SECURITY_NO_ACCESS", 403, outbox.Limit, 0},
		{outbox.CodeFull, 0, outbox.Transient, 0},
		{"LIMIT_EXCEEDED", 0, outbox.Permanent, parentPatience},
	} {
		f := ofRecord(&salesforce.Error{Class: salesforce.Limit, Code: c.code, Status: c.status})
		if f.Class != c.class || f.Retries != c.retries {
			t.Errorf("%s: %v, %d retries", c.code, f.Class, f.Retries)
		}
	}
	for _, c := range []struct {
		code            string
		status, retries int
	}{
		{"JSON_PARSER_ERROR", 400, outbox.UntilAlone}, // of a part of the call: it may be another record
		{"", 413, outbox.UntilAlone},
		{"JSON_PARSER_ERROR", 0, 0},
		{"INVALID_TYPE", 400, 0},
	} {
		if f := ofRecord(&salesforce.Error{Class: salesforce.Permanent, Code: c.code, Status: c.status}); f.Retries != c.retries {
			t.Errorf("%s with status %d: %d retries", c.code, c.status, f.Retries)
		}
	}
	if f := ofRecord(&salesforce.Error{Class: salesforce.Conflict, Code: "ENTITY_IS_DELETED"}); f.Class != outbox.Conflict {
		t.Errorf("what is no limit is %v", f.Class)
	}
}

// A call that is refused for want of calls was sent, and the next one is kept back.
func TestCallsKeptBack(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	client, err := salesforce.New(salesforce.Config{
		LoginURL: sf.URL(), Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword,
	})
	if err == nil {
		_, err = client.Login(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	used, _ := sf.Usage()
	sf.DailyLimit(used)
	d := sender{newSession(New(scheduleConfig(), "test", zerolog.Nop()), nil, client)}
	for _, unsent := range []bool{false, true} {
		_, err := d.Send(t.Context(), outbox.Call{Object: "Account", Op: outbox.Insert, Records: []outbox.Record{{Fields: map[string]any{"Name": "n"}}}})
		if f, ok := errors.AsType[*outbox.Failure](err); !ok || f.Class != outbox.Limit || f.Unsent != unsent {
			t.Errorf("%+v, want unsent %v", err, unsent)
		}
	}
}

// While Salesforce refuses every call for what is not in it, nothing is given up: all
// waits, which shows, until it lets us in again. What an object or a record is refused
// for is.
func TestCallsBarred(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code   string
		status int
		class  outbox.Class
	}{
		{"API_DISABLED_FOR_ORG", 403, outbox.Limit},
		{"API_CURRENTLY_DISABLED", 403, outbox.Limit},
		{"TXN_SECURITY_NO_ACCESS", 403, outbox.Limit},
		{"GONE", 410, outbox.Limit},
		{"INSUFFICIENT_ACCESS_OR_READONLY", 403, outbox.Permanent},
	} {
		for _, n := range []int{1, salesforce.MaxRecords} {
			t.Run(fmt.Sprint(c.code, " ", n), func(t *testing.T) {
				t.Parallel()
				sf := org.New(org.Options{}).Start()
				t.Cleanup(sf.Close)
				client, done, err := clientOf(t.Context(), sf)
				t.Cleanup(done)
				if err != nil {
					t.Fatal(err)
				}
				d := sender{newSession(New(scheduleConfig(), "test", zerolog.Nop()), nil, client)}
				stopped := func() bool {
					_, stops := d.s.board.Ready()
					return slices.ContainsFunc(stops, func(s status.Stop) bool { return s.Part == "outbound" })
				}
				call := outbox.Call{Object: "Account", Op: outbox.Insert}
				for range n {
					call.Records = append(call.Records, outbox.Record{Fields: map[string]any{"Name": "n"}})
				}
				fault := sf.Fault(org.Fault{Path: "/composite", Verb: org.Reject, Status: c.status, Body: `[{"message":"no","errorCode":"` + c.code + `"}]`})
				outcomes, err := d.Send(t.Context(), call)
				var f *outbox.Failure
				if !errors.As(err, &f) && len(outcomes) == n {
					f = outcomes[n-1].Failure
				}
				if f == nil || f.Class != c.class || stopped() != (c.class == outbox.Limit) {
					t.Errorf("%+v, stopped %v", f, stopped())
				}
				if err == nil && c.class == outbox.Limit {
					t.Error("it is told of each record")
				}
				fault.Remove()
				if _, err := d.Send(t.Context(), call); err != nil || stopped() {
					t.Errorf("afterwards: %v, stopped %v", err, stopped())
				}
			})
		}
	}
}

// What Salesforce says of a call may quote a record's values. It is for the row and its
// entry; logs and stops tell the code.
func TestRefusalsQuoteNoValues(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code   string
		status int
	}{{"JSON_PARSER_ERROR", 400}, {"SERVER_UNAVAILABLE", 503}, {"", 400}} {
		t.Run(c.code, func(t *testing.T) {
			t.Parallel()
			sf := org.New(org.Options{}).Start()
			t.Cleanup(sf.Close)
			client, done, err := clientOf(t.Context(), sf)
			t.Cleanup(done)
			if err != nil {
				t.Fatal(err)
			}
			var log bytes.Buffer
			d := sender{newSession(New(scheduleConfig(), "test", zerolog.New(&log)), nil, client)}
			sf.Fault(org.Fault{Path: "/composite", Verb: org.Reject, Status: c.status, Body: `[{"message":"not a date: secret","errorCode":"` + c.code + `"}]`})
			_, err = d.Send(t.Context(), outbox.Call{Object: "Account", Op: outbox.Insert, Records: []outbox.Record{{Fields: map[string]any{"Name": "n"}}}})
			var f *outbox.Failure
			if !errors.As(err, &f) || f.Message != "not a date: secret" {
				t.Errorf("the record is told %+v", f)
			}
			_, stops := d.s.board.Ready()
			if text := fmt.Sprint(err, stops, log.String()); strings.Contains(text, "secret") || !strings.Contains(text, c.code) {
				t.Errorf("told: %s", text)
			}
		})
	}
}

// One record that Salesforce has an internal error about is no stop of all.
func TestInternalErrorOfOneRecord(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	client, done, err := clientOf(t.Context(), sf)
	t.Cleanup(done)
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	d := sender{newSession(New(scheduleConfig(), "test", zerolog.New(&log)), nil, client)}
	sf.Fault(org.Fault{Path: "/composite", Verb: org.Reject, Status: 500, Body: `[{"message":"An unexpected error occurred.","errorCode":"UNKNOWN_EXCEPTION"}]`})
	call := outbox.Call{Object: "Account", Op: outbox.Insert}
	for n := range 2 {
		call.Records = append(call.Records, outbox.Record{Fields: map[string]any{"Name": "n"}})
		_, err := d.Send(t.Context(), call)
		if falters := strings.Contains(log.String(), `"event":"flow_falters","part":"outbound"`); err == nil || falters != (n > 0) {
			t.Errorf("%d records: %v, told %s", n+1, err, log.String())
		}
	}
}
