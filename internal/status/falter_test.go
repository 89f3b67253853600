package status_test

import (
	"testing"
	"testing/synctest"
	"time"

	"hcbridge/internal/status"
)

// What heals within moments is no stop. What lasts is one, told once, also when nobody
// says anything more of it; and what a person must look at is one at once.
func TestFalter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := status.New()
		b.Go("start")
		ready := func(want bool) {
			t.Helper()
			if ok, stops := b.Ready(); ok != want {
				t.Errorf("ready %v, %v", ok, stops)
			}
		}
		if begun, news := b.Falter("Account", "no answer"); !begun || news {
			t.Errorf("at first: begun %v, news %v", begun, news)
		}
		time.Sleep(status.Grace - 1)
		if begun, news := b.Falter("Account", "no answer, again"); begun || news {
			t.Errorf("again: begun %v, news %v", begun, news)
		}
		ready(true)
		if was, _ := b.Go("Account"); was || len(b.Outlasted()) > 0 {
			t.Error("what has healed in time was a stop")
		}

		b.Falter("Account", "no answer")
		changed := b.Changed()
		time.Sleep(status.Grace)
		ready(false)
		if stops := b.Outlasted(); len(stops) != 1 || stops[0].Reason != "no answer" || time.Since(stops[0].Since) != status.Grace {
			t.Errorf("told: %v", stops)
		}
		<-changed
		if begun, news := b.Falter("Account", "no answer"); begun || news || len(b.Outlasted()) > 0 {
			t.Error("it is told twice")
		}
		if _, news := b.Falter("Account", "refused"); !news {
			t.Error("another reason is no news")
		}
		if was, after := b.Go("Account"); !was || after != status.Grace {
			t.Errorf("flows again: %v after %s", was, after)
		}
		ready(true)

		b.Falter("Account", "no answer")
		if !b.Stop("Account", "no permission") {
			t.Error("that it has stopped for good is no news")
		}
		ready(false)
		if len(b.Outlasted()) > 0 {
			t.Error("it is told twice")
		}
		b.GoAll()
		ready(true)
	})
}
