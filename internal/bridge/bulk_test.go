package bridge

import (
	"context"
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
			outcomes := ended(t, b, job)
			if f := outcomes["x"].Failure; f == nil || f.Class != class {
				t.Errorf("%+v, want class %v", f, class)
			}
		})
	}
}

// ended waits for a job.
func ended(t *testing.T, b bulk, job string) map[string]outbox.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		outcomes, over, err := b.Result(ctx, job)
		if err != nil {
			t.Fatal(err)
		}
		if over {
			return outcomes
		}
		sleep(ctx, 10*time.Millisecond)
	}
}
