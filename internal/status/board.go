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
	from   time.Time // it counts from then on
	told   string
	toldAt time.Time
	times  int
}

// Grace is how long a part that heals by itself, as a rule, may falter before that is
// a stop.
const Grace = 5 * time.Second

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
	_, news = b.halt(part, reason, 0)
	return news
}

// Falter is Stop for what heals by itself as a rule: it is a stop only once it has
// lasted for [Grace]. It reports whether it has just begun, and else whether it is news
// as a stop; see [Board.Outlasted].
func (b *Board) Falter(part, reason string) (begun, news bool) {
	return b.halt(part, reason, Grace)
}

func (b *Board) halt(part, reason string, grace time.Duration) (begun, news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	key := strings.ToLower(part)
	s, ok := b.stops[key]
	if !ok {
		s = stopped{Stop: Stop{Part: part, Since: now}, from: now.Add(grace)}
	}
	if grace == 0 && s.from.After(now) {
		s.from = now
	}
	if s.Reason != reason {
		s.Reason = reason
		b.wake()
	}
	news = s.news(now)
	b.stops[key] = s
	return !ok, news
}

// news reports whether the stop is to be told now, with the reason that it has.
func (s *stopped) news(now time.Time) bool {
	known := s.times > 0 && (s.told == s.Reason || s.times >= firstFew && now.Sub(s.toldAt) < quiet)
	if known || s.from.After(now) {
		return false
	}
	s.told, s.toldAt = s.Reason, now
	s.times++
	return true
}

// Outlasted returns the stops that have become such since the last call, as nobody took
// them back in time: whoever falters may say nothing more for minutes. Whoever runs the
// process tells them, and asks every second or so.
func (b *Board) Outlasted() (stops []Stop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	for key, s := range b.stops {
		if s.times == 0 && s.news(now) {
			b.stops[key] = s
			stops = append(stops, s.Stop)
		}
	}
	if len(stops) > 0 {
		b.wake()
	}
	return stops
}

// Go takes a stop back and reports whether there was one, and for how long. What has
// only faltered was none.
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
	return s.times > 0, time.Since(s.Since)
}

// GoAll takes all stops back.
func (b *Board) GoAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.stops)
	b.wake()
}

// Ready reports whether both directions flow, and what has stopped otherwise,
// by part.
func (b *Board) Ready() (bool, []Stop) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	stops := make([]Stop, 0, len(b.stops))
	for _, s := range b.stops {
		if !s.from.After(now) {
			stops = append(stops, s.Stop)
		}
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
