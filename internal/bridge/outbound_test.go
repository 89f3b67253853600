package bridge

import (
	"testing"

	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
)

// Of the limits that an answer names for one record only those of the org stop all.
func TestLimitsOfRecords(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		code    string
		class   outbox.Class
		retries int
	}{
		{salesforce.CodeRequestLimit, outbox.Limit, 0},
		{salesforce.CodeReadOnly, outbox.Limit, 0},
		{codeStorage, outbox.Transient, 0},
		{"LIMIT_EXCEEDED", outbox.Permanent, parentPatience},
	} {
		f := ofRecord(&outbox.Failure{Class: outbox.Limit, Code: c.code})
		if f.Class != c.class || f.Retries != c.retries {
			t.Errorf("%s: %v, %d retries", c.code, f.Class, f.Retries)
		}
	}
	if f := ofRecord(&outbox.Failure{Class: outbox.Conflict, Code: "ENTITY_IS_DELETED"}); f.Class != outbox.Conflict {
		t.Errorf("what is no limit is %v", f.Class)
	}
}
