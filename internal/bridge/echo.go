package bridge

import (
	"time"

	"hcbridge/outbox"
	"hcbridge/pgsink"
)

// echo notes an event that tells of an update on its way: it took effect, then, should
// nobody hear of that otherwise.
func (s *session) echo(o *object, row pgsink.Row, b *pgsink.Batch) {
	if s.writer == nil {
		return
	}
	if sent := s.writer.Sent(row.SFID); sent != nil && o.echoes(sent, row, s.sf.ServerTime()) {
		b.Echoes = append(b.Echoes, sent.Entry)
	}
}

// echoes reports whether an event that is read now, by Salesforce's clock, has what was
// sent, and is not one of before. What cannot be compared is no proof.
func (m *mapping) echoes(sent *outbox.Sent, row pgsink.Row, now time.Time) bool {
	if row.Stamp.Before(now.Add(-sent.Age - stampSpare)) {
		return false
	}
	c, err := newComparer(m, []outbox.Attempt{{Fields: sent.Fields}}, "")
	return err == nil && c.holds(0, row) == outbox.Yes
}
