package main

import (
	"os"
	"testing"
	"time"

	"hcbridge/config"
)

// Writes are spaced once an eighth of the bridge's budget has gone faster than it
// comes back. That must not happen to somebody who watches the demo for an hour.
func TestDailyLimitOutlastsAnHour(t *testing.T) {
	t.Parallel()
	cfg, err := config.Load(environment("postgres://demo@localhost/demo", "http://127.0.0.1:1", "127.0.0.1:1"))
	if err != nil {
		t.Fatal(err)
	}
	const (
		updates = int(time.Hour / eachWay)
		changes = updates + 2*updates/insertEvery // an insert and a delete each time
		calls   = 2 * changes                     // to send each, and to read it back
	)
	if atOnce := cfg.APIDailyBudget.Of(dailyLimit) / 8; atOnce < calls {
		t.Errorf("writes are spaced after %d calls, and an hour of the demo takes %d", atOnce, calls)
	}
}

// Nobody watches what goes to /dev/null, although it is a character device.
func TestIsTerminal(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	if isTerminal(null) {
		t.Error("/dev/null is taken for a terminal")
	}
}
