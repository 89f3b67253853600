package status

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Board remembers the status. The zero value is not usable; see [New].
type Board struct {
	mu      sync.Mutex
	conn    Connection
	objects map[string]*Object
	order   []string
	stops   map[string]stopped
	changed chan struct{}
	watched atomic.Int64 // by how many pages

	activity activity
}

// Stop says that a part of a flow has come to a halt.
type Stop struct {
	Part   string    `json:"part"`   // for example "database", "stream", "Account"
	Reason string    `json:"reason"` // what a person reads
	Since  time.Time `json:"since"`
}

// stopped is a stop, and what was last told of it.
type stopped struct {
	Stop
	told   string
	toldAt time.Time
	times  int
}

// Errors that name a port or a time differ each time, so that after the first few
// another reason of a stop is not news for a while.
const (
	firstFew = 5
	quiet    = time.Minute
)

// New returns a board whose connection is STARTING and whose only stop is that
// fact.
func New() *Board {
	b := &Board{
		conn:    Connection{State: Starting, Streaming: "off", Role: "standby"},
		objects: map[string]*Object{},
		stops:   map[string]stopped{},
		changed: make(chan struct{}),
	}
	b.Stop("start", "starting")
	return b
}

// Connection changes the connection's state by fn, which must not call the
// board.
func (b *Board) Connection(fn func(*Connection)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	fn(&b.conn)
	b.wake()
}

// Object changes the state of one object by fn, which must not call the board.
// An object named for the first time is added after the others. Salesforce does not tell
// names by their case, and neither does the board.
func (b *Board) Object(name string, fn func(*Object)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := strings.ToLower(name)
	o, ok := b.objects[key]
	if !ok {
		o = &Object{Object: name, State: Initial, RowsSalesforce: -1, RowsPostgres: -1}
		b.objects[key] = o
		b.order = append(b.order, key)
	}
	fn(o)
	b.wake()
}

// Stop records that part has halted, and why. It reports whether that is news
// for the log: the stop is, and a few other reasons, then one a minute. Whoever halts says so
// again at each attempt, so the last reason is told in the end.
func (b *Board) Stop(part, reason string) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	key := strings.ToLower(part)
	s, ok := b.stops[key]
	if !ok {
		s = stopped{Stop: Stop{Part: part, Since: now}}
	}
	if s.Reason != reason {
		s.Reason = reason
		b.wake()
	}
	if !ok || s.told != reason && (s.times < firstFew || now.Sub(s.toldAt) >= quiet) {
		s.told, s.toldAt, news = reason, now, true
		s.times++
	}
	b.stops[key] = s
	return news
}

// Go takes a stop back and reports whether there was one, and for how long.
func (b *Board) Go(part string) (was bool, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	key := strings.ToLower(part)
	s, ok := b.stops[key]
	if !ok {
		return false, 0
	}
	delete(b.stops, key)
	b.wake()
	return true, time.Since(s.Since)
}

// Ready reports whether both directions flow, and what has stopped otherwise,
// by part.
func (b *Board) Ready() (bool, []Stop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	stops := make([]Stop, 0, len(b.stops))
	for _, s := range b.stops {
		stops = append(stops, s.Stop)
	}
	slices.SortFunc(stops, func(x, y Stop) int { return strings.Compare(x.Part, y.Part) })
	return len(stops) == 0, stops
}

// Snapshot returns a copy of everything, objects in the order they were named.
func (b *Board) Snapshot() Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := Status{Connection: b.conn, Objects: make([]Object, 0, len(b.order))}
	for _, name := range b.order {
		o := *b.objects[name]
		o.Message = strings.Join(slices.DeleteFunc([]string{o.Held, o.Message, o.Note}, func(s string) bool { return s == "" }), "; ")
		o.LagMS = max(o.LagMS, o.StaleMS)
		s.Objects = append(s.Objects, o)
	}
	return s
}

// Changed returns a channel that is closed at the next change. Take it before
// a snapshot, and no change is missed.
func (b *Board) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.changed
}

// Watch notes that somebody looks at the board all the time, until done is called.
func (b *Board) Watch() (done func()) {
	b.watched.Add(1)
	return func() { b.watched.Add(-1) }
}

// Watched reports whether anybody does, so that it is worth more work to keep the
// board up to date.
func (b *Board) Watched() bool { return b.watched.Load() > 0 }

func (b *Board) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}
