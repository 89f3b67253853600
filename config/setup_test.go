package config

import (
	"strings"
	"testing"
)

// A mapping is enough for what is done before there is anything to log in to,
// but a wrong mapping is told.
func TestLoadSetup(t *testing.T) {
	t.Parallel()
	c, err := LoadSetup([]string{"HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_ACCESS=read_write"})
	if err != nil || len(c.Objects) != 1 || c.Objects[0].Access != AccessReadWrite || c.Schema != "salesforce" {
		t.Errorf("got %+v, %v", c, err)
	}
	if _, err := LoadSetup([]string{"HC_OBJECT_ACCOUNT_ACCESS=read_write"}); err == nil || !strings.Contains(err.Error(), "HC_OBJECT_ACCOUNT_ACCESS") {
		t.Errorf("an object that is not mapped: %v", err)
	}
}
