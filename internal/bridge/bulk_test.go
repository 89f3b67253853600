package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// A limit that a job's results name for a record means what it means in the answer to
// a call.
func TestLimitsOfJobs(t *testing.T) {
	t.Parallel()
	for code, class := range map[string]outbox.Class{
		outbox.CodeFull: outbox.Transient, "LIMIT_EXCEEDED": outbox.Permanent, salesforce.CodeReadOnly: outbox.Limit,
	} {
		t.Run(code, func(t *testing.T) {
			t.Parallel()
			sf := org.New(org.Options{}).Start()
			t.Cleanup(sf.Close)
			sf.Trigger(func(*sobject.Draft) error {
				return &sobject.Error{Status: 400, Code: code, Message: "no room", Fields: []string{}}
			})
			client, done, err := clientOf(t.Context(), sf)
			t.Cleanup(done)
			if err != nil {
				t.Fatal(err)
			}
			b := bulk{newSession(New(scheduleConfig(), "test", zerolog.Nop()), nil, client)}
			call := outbox.Call{Object: "Account", Op: outbox.Upsert, ExternalID: "External_Id__c", Records: []outbox.Record{{Fields: map[string]any{"External_Id__c": "x", "Name": "n"}}}}
			var job string
			if err := b.Start(t.Context(), call, func(id string) error { job = id; return nil }); err != nil {
				t.Fatal(err)
			}
			outcomes := ended(t, b, job, accountTable)
			if f := outcomes["x"].Failure; f == nil || f.Class != class {
				t.Errorf("%+v, want class %v", f, class)
			}
		})
	}
}

// The answer that a job is over need not repeat by which field its records are told apart.
func TestResultsOfAJobThatDoesNotTellItsKey(t *testing.T) {
	t.Parallel()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	hc := &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil || r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/jobs/ingest/") || strings.HasSuffix(r.URL.Path, "Results/") {
			return resp, err
		}
		var job map[string]any
		if err := json.NewDecoder(resp.Body).Decode(&job); err != nil {
			return nil, err
		}
		_ = resp.Body.Close()
		delete(job, "externalIdFieldName")
		body, err := json.Marshal(job)
		resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		resp.Header.Del("Content-Length")
		return resp, err
	})}
	client, err := salesforce.New(salesforce.Config{
		LoginURL: sf.URL(), Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword, HTTPClient: hc,
	})
	if err != nil {
		t.Fatal(err)
	}
	b := bulk{newSession(New(scheduleConfig(), "test", zerolog.Nop()), nil, client)}
	for _, op := range []outbox.Op{outbox.Upsert, outbox.Update} {
		call := outbox.Call{Object: "Account", Op: op, Records: []outbox.Record{{Fields: map[string]any{"External_Id__c": "x", "Name": "n"}}}}
		key := "x"
		if op == outbox.Upsert {
			call.ExternalID = "External_Id__c"
		} else {
			key = sf.Records("Account")[0].ID
			call.Records[0].SFID = key
		}
		var job string
		if err := b.Start(t.Context(), call, func(id string) error { job = id; return nil }); err != nil {
			t.Fatal(err)
		}
		if o, told := ended(t, b, job, accountTable)[key]; !told || o.Failure != nil || o.Created != (op == outbox.Upsert) {
			t.Errorf("%v: %+v, told %t", op, o, told)
		}
	}
}

var accountTable = &outbox.Table{Object: "Account", ExternalID: "External_Id__c"}

// ended waits for a job.
func ended(t *testing.T, b bulk, job string, of *outbox.Table) map[string]outbox.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		outcomes, over, err := b.Result(ctx, job, of)
		if err != nil {
			t.Fatal(err)
		}
		if over {
			return outcomes
		}
		sleep(ctx, 10*time.Millisecond)
	}
}
