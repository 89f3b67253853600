package config

import (
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestObjectsReadsWhatEnvWrites(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		objects := drawObjects(t)
		for i := range objects {
			if rapid.Bool().Draw(t, "default interval") {
				objects[i].PollInterval = 0
			}
			if rapid.Bool().Draw(t, "every field") {
				objects[i].Fields = nil
			}
		}
		block := Env(objects)
		if rapid.Bool().Draw(t, "sent by a browser") {
			block = strings.ReplaceAll(block, "\n", "\r\n")
		}
		got, err := Objects(block)
		if err != nil || !reflect.DeepEqual(got, objects) {
			t.Errorf("%v, %+v; want %+v from\n%s", err, got, objects, block)
		}
	})
}

func TestObjectsRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ block, want string }{
		{"HC_OBJECTS=Account;Contact", "an object's API name"},
		{"HC_OBJECTS=Account\nHC_OBJECT_ACCOUNT_POLL_INTERVAL=1ms", "not between"},
		{"HC_OBJECTS=Account\nHC_OBJECT_ACCOUNT_FIELDS=Name,<b>", "a field's API name"},
		{"HC_OBJECTS=Account\nHC_OBJECT_CONTACT_MODE=cdc", "not in HC_OBJECTS"},
		{"HC_OBJECTS=Account\nHC_OBJECT_ACCOUNT_MODE=both", "not one of"},
	} {
		if _, err := Objects(c.block); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error with %q", c.block, err, c.want)
		}
	}
}
