package crash

import (
	"os"
	"sync"
	"syscall"
)

// fate numbers the effects of a bridge and kills it at one of them.
//
// Of Postgres these are: a statement has been sent and has not arrived at the
// server; its answer (also that of a COMMIT) has been given and has not arrived at
// the bridge. Of Salesforce: a request has been written whole and has not arrived;
// a request that writes has arrived, and nobody waits for its answer; an answer has
// been given and has not arrived. What a kill left under way never arrives.
type fate struct {
	mu      sync.Mutex
	bridge  *os.Process
	life    int // of the process: what belongs to an earlier one is dead
	n, at   int // effects so far; the one to die at, 0 = none
	what    string
	hit     chan struct{} // closed when it has died
	streams map[int][]func()
}

// arm counts from one again and lets the bridge die at effect number at, if that
// is not 0. The channel is closed then.
func (f *fate) arm(at int) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.n, f.at, f.what, f.hit = 0, at, "", make(chan struct{})
	return f.hit
}

// disarm lets it live and reports whether it has died, at what, and how many
// effects there were.
func (f *fate) disarm() (died bool, what string, n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	died = f.at > 0 && f.n >= f.at
	f.at = 0
	return died, f.what, f.n
}

// lives tells the fate whose effects it counts from now on.
func (f *fate) lives(p *os.Process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bridge = p
}

// join returns the life that a new connection belongs to; end is called when that
// is over.
func (f *fate) join(end func()) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.streams == nil {
		f.streams = map[int][]func(){}
	}
	f.streams[f.life] = append(f.streams[f.life], end)
	return f.life
}

// effect counts what is about to be passed on in a life, and reports whether it
// may be.
func (f *fate) effect(life int, what func() string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if life != f.life {
		return false
	}
	f.n++
	if f.at == 0 || f.n != f.at {
		return true
	}
	f.what = what()
	f.end()
	close(f.hit)
	return false
}

// kill ends the life that is, at no effect.
func (f *fate) kill() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end()
}

// end is called with mu held. The process is dead before anything else is seen of
// it, and its connections are gone.
func (f *fate) end() {
	if f.bridge != nil {
		_ = f.bridge.Signal(syscall.SIGKILL) // it may have ended by itself, which others notice
	}
	for _, end := range f.streams[f.life] {
		go end()
	}
	delete(f.streams, f.life)
	f.life++
}
