package bridge

import (
	"time"

	"hcbridge/internal/status"
)

// A backlog of as many changes is long work, of which is told how far it is, until
// only a few wait.
const (
	drainFrom  = 1000
	drainUntil = 100
	drainTold  = 5 * time.Second
)

// drain is a backlog of one object's changes. The zero value is none.
type drain struct {
	most  int64 // that waited at a time
	told  int64 // how many were left when it was told last
	began time.Time
	said  time.Time
}

// step takes in that n changes wait, and reports whether that is to be told, and
// whether it was the end of a backlog, which is for the caller to reset.
func (d *drain) step(n int64, now time.Time) (tell, over bool) {
	switch {
	case d.most == 0 && n < drainFrom:
		return false, false
	case d.most == 0:
		*d = drain{most: n, told: n, began: now, said: now}
		return true, false
	case n < drainUntil:
		return true, true
	}
	d.most = max(d.most, n)
	if n == d.told || now.Sub(d.said) < drainTold { // one that stands still has its own message
		return false, false
	}
	d.told, d.said = n, now
	return true, false
}

// drained tells how far the backlogs are, as they were counted just now.
func (s *session) drained(drains map[string]*drain) {
	now, all := time.Now(), int64(0)
	for _, o := range s.objects {
		if o.table.ReadWrite {
			all += o.gathering.pending.Load()
		}
		d := drains[o.cfg.Name]
		if d == nil {
			d = &drain{}
			drains[o.cfg.Name] = d
		}
		n := o.gathering.pending.Load()
		tell, over := d.step(n, now)
		log := s.log.With().Str("component", "outbox").Str("object", o.cfg.Name).Logger()
		switch {
		case over:
			log.Info().Str("event", "drained").Int64("rows", d.most).Dur("took_ms", now.Sub(d.began)).Msg("what waited to be sent is sent")
			*d = drain{}
		case tell:
			log.Info().Str("event", "draining").Int64("rows", d.most-n).Int64("of", d.most).Msg("sending what has waited")
		}
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.Backlog = d.most })
	}
	if all == 0 && s.writer != nil { // what failed last is settled, so nothing stands still
		s.resume("outbound")
	}
}

// undrained takes the backlogs off the board: nothing is sent any more.
func (s *session) undrained() {
	for _, o := range s.objects {
		s.board.Object(o.cfg.Name, func(b *status.Object) { b.Backlog = 0 })
	}
}
