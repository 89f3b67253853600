// Package freeport finds ports for servers that a test starts, and starts again, at
// a known address.
//
// A port that the kernel hands out may be handed out again, to any client's
// connection, before the server that it is meant for listens. So these are from below
// the range that it takes such ports from (ip_local_port_range, from 32768 by
// default), and no process returns one twice.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

const first, last = 10_000, 32_767

var (
	mu    sync.Mutex
	given = map[int]bool{}
)

// Find returns a port on which nobody listens on the loopback interface. It may be
// called by several at a time.
func Find() (int, error) {
	mu.Lock()
	defer mu.Unlock()
	for range 1000 {
		port := first + rand.IntN(last-first+1)
		if given[port] {
			continue
		}
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port)) //nolint:noctx // closed at once
		if err != nil {
			continue
		}
		_ = l.Close()
		given[port] = true
		return port, nil
	}
	return 0, errors.New("freeport: none is free")
}

// Addr is Find as an address of the loopback interface.
func Addr() (string, error) {
	port, err := Find()
	return fmt.Sprintf("127.0.0.1:%d", port), err
}
