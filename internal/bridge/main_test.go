package bridge

import (
	"os"
	"testing"

	"hcbridge/test/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }
