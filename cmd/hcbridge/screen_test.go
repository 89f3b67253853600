package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"hcbridge/internal/status"
)

// What takes long shows as one line: of loads, or else of what is sent.
func TestLongWork(t *testing.T) {
	t.Parallel()
	loading := func(name string, n, of int64) status.Object {
		return status.Object{Object: name, State: status.ReloadTable, Loaded: n, ToLoad: of, PendingWrites: 7}
	}
	sending := func(name string, pending, most int64) status.Object {
		return status.Object{Object: name, State: status.DataSynced, Loaded: 5, ToLoad: 5, PendingWrites: pending, Backlog: most}
	}
	for name, c := range map[string]struct {
		objects []status.Object
		want    string
	}{
		"nothing":       {[]status.Object{sending("Account", 12, 0), {Object: "Lead", State: status.ReloadTable}}, ""},
		"a load":        {[]status.Object{loading("Account", 50, 200), sending("Lead", 0, 0)}, "loading Account [██████████" + strings.Repeat("░", 30) + "] 50 of 200"},
		"loads":         {[]status.Object{loading("Account", 50, 100), loading("Contact", 50, 100), sending("Lead", 10, 2000)}, "loading 2 objects [" + strings.Repeat("█", 20) + strings.Repeat("░", 20) + "] 100 of 200"},
		"sending":       {[]status.Object{sending("Account", 500, 2000)}, "sending Account [" + strings.Repeat("█", 30) + strings.Repeat("░", 10) + "] 1500 of 2000"},
		"more than was": {[]status.Object{sending("Account", 2001, 2000)}, "sending Account [" + strings.Repeat("░", 40) + "] 0 of 2000"},
	} {
		if got := longWork(c.objects, 0); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if got := longWork([]status.Object{loading("Account", 50, 200)}, 40); len([]rune(got)) > 40 || !strings.HasSuffix(got, "] 50 of 200") {
		t.Errorf("on 40 columns: %q", got)
	}
}

// The log scrolls above the bar, and nothing of the bar stays when it goes.
func TestScreen(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	s := &screen{w: &out}
	write := func(line string) {
		if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
			t.Errorf("wrote %d, %v", n, err)
		}
	}
	write("one\n")
	s.draw("bar 1")
	s.draw("bar 1")
	write("two\n")
	s.draw("")
	write("three\n")
	if got, want := out.String(), "one\n\rbar 1\x1b[K\r\x1b[Ktwo\nbar 1\r\x1b[Kthree\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}

	board := status.New()
	board.Object("Account", func(o *status.Object) { o.State, o.Loaded, o.ToLoad = status.ReloadTable, 1, 2 })
	out.Reset()
	stop := s.follow(board)
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		s.mu.Lock()
		shown := s.bar
		s.mu.Unlock()
		if shown != "" {
			break
		}
	}
	stop()
	if got := out.String(); !strings.Contains(got, "loading Account [") || !strings.HasSuffix(got, "\r"+clearLine) {
		t.Errorf("followed: %q", got)
	}
}
