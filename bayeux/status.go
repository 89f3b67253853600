package bayeux

import (
	"slices"
	"sync"
	"time"
)

// State is what a [Client] is doing.
type State int

// The states of a [Client].
const (
	Idle       State = iota // not running, or nothing to subscribe
	Connecting              // taking a token, shaking hands, subscribing
	Connected               // the server has answered a connect
	Waiting                 // between sessions, after a failure
	Stopped                 // Run has returned
)

// String returns the state in lower case, for logs.
func (s State) String() string {
	switch s {
	case Connecting:
		return "connecting"
	case Connected:
		return "connected"
	case Waiting:
		return "waiting"
	case Stopped:
		return "stopped"
	default:
		return "idle"
	}
}

// Status is a picture of a [Client] at one moment.
type Status struct {
	State     State
	Since     time.Time // when State was entered
	ClientID  string    // of the session, "" if there is none
	Transport string    // "long-polling" or "websocket", "" if there is no session
	LastReply time.Time // end of the last usable reply, zero if there was none
	Sessions  int       // sessions opened since New
	Failures  int       // sessions that ended in trouble since one was connected for 10 s
	LastError error     // why the last session or attempt ended; nil once connected again
	Channels  []string  // confirmed by the server in this session, sorted
}

// board is where Run writes its status and others read it.
type board struct {
	mu sync.Mutex
	s  Status
}

func (b *board) read() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.s
	s.Channels = slices.Clone(s.Channels)
	if s.State == Connected && time.Since(s.Since) >= stableAfter {
		s.Failures = 0
	}
	return s
}

func (b *board) update(change func(*Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.s)
}

// enter changes the state; nothing else changes Since.
func (b *board) enter(state State) {
	b.update(func(s *Status) {
		if s.State != state || s.Since.IsZero() {
			s.State, s.Since = state, time.Now()
		}
		if state != Connected {
			s.Channels = nil
		}
		if state != Connected && state != Connecting {
			s.ClientID, s.Transport = "", ""
		}
	})
}
