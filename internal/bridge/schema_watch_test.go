package bridge

import (
	"testing"
	"testing/synctest"
	"time"

	"hcbridge/outbox"
)

func TestSchemaWatch(t *testing.T) {
	t.Parallel()
	look := func(w *schemaWatch, again time.Duration) { w.done(w.begin(), again) }

	t.Run("WithoutReasonFourTimesADay", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newSchemaWatch()
			looks := 0
			for began := time.Now(); ; looks++ {
				time.Sleep(time.Until(w.due()))
				if time.Since(began) > 24*time.Hour {
					break
				}
				look(w, 0)
			}
			if looks != 4 {
				t.Errorf("%d looks a day, want 4", looks)
			}
		})
	})

	t.Run("SoonOnADoubtAndRarelyWhenThatIsInVain", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newSchemaWatch()
			time.Sleep(time.Minute)
			if !w.doubt("INVALID_FIELD") || time.Until(w.due()) > 0 {
				t.Errorf("the first doubt is looked into in %s", time.Until(w.due()))
			}
			looks := 0
			for began := time.Now(); time.Since(began) < 24*time.Hour; time.Sleep(time.Second) {
				w.doubt("INVALID_FIELD") // every second, for some other reason
				if time.Now().Before(w.due()) {
					continue
				}
				look(w, 0)
				looks++
			}
			if looks > 40 {
				t.Errorf("%d looks a day for an error that has another reason", looks)
			}
		})
	})

	t.Run("ARefusalWaitsForOneLook", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newSchemaWatch()
			refusal := func(message string) outbox.Class {
				return w.refused(&outbox.Failure{Class: outbox.Permanent, Code: "INVALID_FIELD", Message: message}).Class
			}
			time.Sleep(time.Minute)
			first, second := refusal("a"), refusal("a")
			if first != outbox.Transient || second != outbox.Transient || time.Until(w.due()) > 0 {
				t.Error("it does not wait for a look, or that does not come at once")
			}
			time.Sleep(time.Second)
			doubted := w.begin()
			if time.Sleep(time.Second); refusal("a") != outbox.Transient {
				t.Error("it does not wait for the look that is under way")
			}
			w.done(doubted, 0)
			if refusal("a") != outbox.Permanent {
				t.Error("it waits after a look that was in vain")
			}
			if refusal("b") != outbox.Permanent {
				t.Error("another one waits for a look that does not come soon")
			}
			if time.Sleep(time.Minute); refusal("b") != outbox.Transient || refusal("a") != outbox.Permanent {
				t.Error("another one does not get its look, or the first gets a second")
			}
			if f := w.refused(&outbox.Failure{Class: outbox.Permanent, Code: "STRING_TOO_LONG"}); f.Class != outbox.Permanent {
				t.Error("a refusal that has nothing to do with the schema is tried again")
			}
		})
	})

	t.Run("ADoubtDuringALookCausesAnother", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newSchemaWatch()
			doubted := w.begin()
			w.doubt("INVALID_TYPE")
			w.done(doubted, 0)
			if wait := time.Until(w.due()); wait > time.Minute {
				t.Errorf("it is looked into in %s", wait)
			}
		})
	})

	t.Run("LooksAgainForWhatIsPutAside", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newSchemaWatch()
			look(w, time.Minute)
			if wait := time.Until(w.due()); wait != time.Minute {
				t.Errorf("in %s, want 1m", wait)
			}
			w.soon()
			if wait := time.Until(w.due()); wait > 0 {
				t.Errorf("in %s, want now", wait)
			}
		})
	})
}
