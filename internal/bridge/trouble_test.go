package bridge

import (
	"testing"

	"github.com/rs/zerolog"

	"hcbridge/config"
)

// One object that is not read is its own trouble; where none is, nothing comes in.
func TestStands(t *testing.T) {
	t.Parallel()
	b := New(scheduleConfig(), "test", zerolog.Nop())
	b.board.Go("start")
	s := &session{Bridge: b}
	for _, name := range []string{"Account", "Contact"} {
		s.objects = append(s.objects, &object{mapping: &mapping{cfg: config.Object{Name: name}}})
	}
	for _, step := range []struct {
		stop, resume string
		want         bool
	}{{"stream", "", false}, {"Account", "", false}, {"Contact", "", true}, {"", "Account", false}, {"inbound", "", true}} {
		if step.stop != "" {
			b.board.Stop(step.stop, "why")
		} else {
			b.board.Go(step.resume)
		}
		if got := s.stands(); got != step.want {
			t.Errorf("after %+v: %v", step, got)
		}
	}
}
