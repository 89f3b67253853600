package bridge

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/poll"
)

// While a backlog is sent, what was written gathers for a full call; in every other
// case it is read back at once.
func TestReadingBackGathers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSession(New(&config.Config{Schema: "salesforce"}, "test", zerolog.Nop()), nil, nil)
		s.reader = poll.New(nil, nil, zerolog.Nop())
		o := newObject(&mapping{cfg: config.Object{Name: "Account"}})
		waits := func(what string, want bool) {
			t.Helper()
			if got := s.more(o); got != want {
				t.Errorf("%s: waits %t", what, got)
			}
		}
		waits("nothing is sent", false)
		o.gathering.add(200)
		waits("no backlog", false)
		o.gathering.pending.Store(50_000)
		o.gathering.add(1000)
		waits("there is a backlog", true)
		time.Sleep(gatherLull - time.Second)
		waits("slow answers", true)
		o.gathering.add(1000)
		waits("what a call carries", false)
		o.gathering.add(1000)
		waits("after that", true)
		time.Sleep(gatherLull)
		waits("the backlog stands still, held or refused", false)
		for range 4 {
			o.gathering.add(10)
			time.Sleep(gatherMost/4 - time.Second)
			waits("a slow backlog", true)
		}
		o.gathering.add(10)
		time.Sleep(5 * time.Second)
		waits("long enough", false)
		o.gathering.add(10)
		waits("after that", true)
		o.gathering.pending.Store(gatherFrom - 1)
		waits("the end of the backlog", false)
	})
}
