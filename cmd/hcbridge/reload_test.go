package main

import (
	"strings"
	"testing"

	"hcbridge/internal/status"
)

// Nobody waits for a reload that does not come, and everybody is told why.
func TestReloadable(t *testing.T) {
	t.Parallel()
	with := func(state, message string) status.Status {
		return status.Status{Connection: status.Connection{State: status.Idle}, Objects: []status.Object{{Object: "Contact", State: status.DataSynced}, {Object: "Account", State: state, Message: message}}}
	}
	paused := with(status.DataSynced, "")
	paused.Connection.State = status.Paused
	for _, c := range []struct {
		name string
		st   status.Status
		says []string // nothing = it is waited for
	}{
		{"synced", with(status.DataSynced, ""), nil},
		{"under way", with(status.ReloadTable, ""), nil},
		{"read for the first time", with(status.Initial, ""), nil},
		{"paused", paused, []string{"Account", "paused", "hcbridge resume"}},
		{"not mapped any more", status.Status{Objects: with("", "").Objects[:1]}, []string{"does not sync account"}},
		{"not to be mapped", with(status.MappingError, "no such field"), []string{"Account", "cannot be reloaded", "no such field"}},
		{"put aside", with(status.SchemaChanged, "its table waits to be altered"), []string{"Account", "its table waits to be altered"}},
	} {
		o, err := reloadable(c.st, "account")
		if len(c.says) == 0 {
			if err != nil || o.Object != "Account" {
				t.Errorf("%s: %v, %v", c.name, o, err)
			}
			continue
		}
		for _, want := range c.says {
			if err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) {
				t.Errorf("%s: %v, want %q", c.name, err, want)
			}
		}
	}
}
