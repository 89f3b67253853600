package beat

import (
	"testing"
	"testing/synctest"
	"time"
)

// Loops that began at different times, and whose work takes different times, look at
// the same moments, and miss none.
func TestInStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const period = time.Second
		looks := make([][]time.Time, 3)
		done := make(chan struct{})
		for i := range looks {
			go func() {
				defer func() { done <- struct{}{} }()
				time.Sleep(time.Duration(i*300) * time.Millisecond)
				time.Sleep(Wait(period))
				last := Count(period)
				for range 20 {
					looks[i] = append(looks[i], time.Now())
					time.Sleep(time.Duration(1+i*49) * time.Millisecond)
					time.Sleep(Wait(period))
					if n := Count(period); n != last+1 {
						t.Errorf("loop %d: beat %d after %d", i, n, last)
					} else {
						last = n
					}
				}
			}()
		}
		for range looks {
			<-done
		}
		for i := 1; i < len(looks); i++ {
			late := int(looks[i][0].Sub(looks[0][0]) / period)
			for k, at := range looks[i][:20-late] {
				if !at.Equal(looks[0][k+late]) {
					t.Fatalf("loop %d looks at %v, the first at %v", i, at, looks[0][k+late])
				}
			}
		}
	})
}

// The wait is above zero and at most the period, and ends where the count goes up.
func TestWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for i := range 1000 {
			period := time.Duration(i%37+1) * 7 * time.Millisecond
			n, wait := Count(period), Wait(period)
			if wait <= 0 || wait > period {
				t.Fatalf("%v of %v", wait, period)
			}
			time.Sleep(wait - 1)
			if got := Count(period); got != n {
				t.Fatalf("%d before the beat, %d at first", got, n)
			}
			time.Sleep(time.Nanosecond)
			if got := Count(period); got != n+1 {
				t.Fatalf("%d at the beat, %d before", got, n)
			}
			time.Sleep(time.Duration(i) * 13 * time.Microsecond)
		}
	})
}
