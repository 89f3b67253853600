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

// What is between the bridge and its database needs no org, but what is wrong
// beside the login is told as always.
func TestLoadDatabase(t *testing.T) {
	t.Parallel()
	environ := []string{"DATABASE_URL=postgres://me:pw@db/app", "HC_OBJECTS=Account", "HC_SALESFORCE_AUTH=jwt", "HC_SALESFORCE_JWT_KEY_FILE=/none"}
	if c, err := LoadDatabase(environ); err != nil || c.DatabaseURL != "postgres://me:pw@db/app" || len(c.Objects) != 1 {
		t.Errorf("got %+v, %v", c, err)
	}
	_, err := LoadDatabase([]string{"HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_LOG_LEVEL=x"})
	for _, name := range []string{"DATABASE_URL", "HC_OBJECT_ACCOUNT_ACCESS", "HC_LOG_LEVEL"} {
		if err == nil || !strings.Contains(err.Error(), name+": ") {
			t.Errorf("nothing about %s in %v", name, err)
		}
	}
}
