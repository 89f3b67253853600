package e2e

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

// A first load that is killed again and again goes on where it was, keeps what
// happens meanwhile, and ends equal.
func TestLoadSurvivesKill(t *testing.T) {
	t.Parallel()
	r := newRig(t, "HC_OBJECTS=Contact", "HC_POLL_INTERVAL=1s")
	r.Raced() // else it may be over before the third death
	const records = 30_000
	ids, err := r.SF.InsertMany("Contact", func(yield func(map[string]any) bool) {
		for i := range records {
			if !yield(map[string]any{"LastName": fmt.Sprintf("Contact %d", i), "Description": "a line\r\nand another, \"quoted\"", "Birthdate": "1980-02-29"}) {
				return
			}
		}
	})
	r.Must(err)
	loaded := func() (n int) {
		_ = r.Pool.QueryRow(t.Context(), "SELECT loaded FROM hcbridge.object WHERE object = 'Contact' AND loaded_at IS NULL").Scan(&n)
		return n
	}
	reached, row := 0, 0
	for kill := range 3 {
		b := r.Start()
		r.Eventually(fmt.Sprintf("progress before kill %d", kill+1), 60*time.Second, func() error {
			if n := loaded(); n <= reached {
				return fmt.Errorf("%d records are loaded", n)
			}
			return nil
		})
		b.End(syscall.SIGKILL)
		now := loaded()
		if now <= reached || now >= records {
			t.Fatalf("killed at %d records after %d: the load began anew, or was over", now, reached)
		}
		reached = now
		if n := r.Count("SELECT id FROM salesforce.contact WHERE sfid = $1", ids[0]); kill > 0 && n != row {
			t.Errorf("the first record's row is %d, was %d", n, row)
		} else {
			row = n
		}
		r.Must(r.SF.Update("Contact", ids[len(ids)-1-kill], map[string]any{"LastName": "Edited"}))
		r.Must(r.SF.Delete("Contact", ids[len(ids)-10-kill]))
		r.Must(r.SF.Update("Contact", ids[kill+1], map[string]any{"LastName": "Edited after it was loaded"}))
	}
	r.Start()
	r.Synced()
	r.Equal("Contact")
}
