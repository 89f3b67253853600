// Package security tests what an attacker would look for from outside the program:
// the binary, its process, what it leaves behind and whom it speaks to. What can be
// shown in one package is tested there; docs/threat-model.md lists all of it.
package security

import (
	"os"
	"testing"

	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }
