package chaos

import (
	"io"
	"net"
	"sync"
	"testing"
)

// A toxic that has ended a connection may go, and another come, while a third is still
// at that connection's end: with all three in one proxy it panics.
func TestToxicsOfADyingConnection(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = listener.Close() })
	wg.Go(func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			})
		}
	})
	w := newWire(t, "echo", listener.Addr().String())
	toxic := func(name, kind, attribute string, n int) toxic {
		return toxic{Name: name, Type: kind, Stream: "downstream", Toxicity: 1, Attributes: map[string]any{attribute: n}}
	}
	// says sends hello and wants so much of it back; the connection stays.
	says := func(want string) {
		t.Helper()
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.addr())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, len(want))
		if n, err := io.ReadFull(c, got); string(got) != want {
			t.Errorf("got %q, want %q: %v", got[:n], want, err)
		}
	}
	w.add(toxic("limit", "limit_data", "bytes", 3))
	w.add(toxic("close", "slow_close", "delay", 500))
	says("hel")
	w.remove("limit")
	w.add(toxic("another", "limit_data", "bytes", 4))
	says("hell")
	w.remove("another")
	w.remove("close")
	says("hello")
}
