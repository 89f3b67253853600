package freeport_test

import (
	"fmt"
	"net"
	"sync"
	"testing"

	"hcbridge/test/freeport"
)

// What is found can be listened on, and nobody gets it twice.
func TestFind(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	seen := map[int]bool{}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			port, err := freeport.Find()
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if seen[port] || port >= 32_768 {
				t.Errorf("port %d, seen %t", port, seen[port])
			}
			seen[port] = true
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // closed at once
			if err != nil {
				t.Error(err)
				return
			}
			defer l.Close()
		})
	}
	all.Wait()
}
