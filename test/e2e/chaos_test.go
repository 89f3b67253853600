package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"syscall"
	"testing"
	"time"

	"hcbridge/test/org"
)

// The whole program, with its own timers, while records change at random and
// everything fails at random: requests, the stream's sessions, its events, the
// process. When that ends, both sides are equal. package bridge does the same
// ten thousand times, part by part. HCBRIDGE_SEED repeats a run's choices.
func TestChaos(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	if text := os.Getenv("HCBRIDGE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HCBRIDGE_SEED=%d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	r := newRig(t, "HC_POLL_INTERVAL=2s")
	r.Raced()
	b := r.Start()
	r.Synced()
	records := map[string][]string{}
	change := func() {
		by := r.SF.As(org.DefaultOther)
		if random.IntN(4) == 0 {
			by = r.SF.AsBulk("loader@example.com")
		}
		object, name := "Account", "Name"
		fields := map[string]any{}
		if random.IntN(2) == 0 {
			object, name = "Contact", "LastName"
			if accounts := r.SF.Records("Account"); len(accounts) > 0 {
				fields["AccountId"] = accounts[random.IntN(len(accounts))].ID
			}
		}
		fields[name] = fmt.Sprintf("%s %d", object, random.Uint32())
		ids := records[object]
		if len(ids) < 5 || random.IntN(5) == 0 {
			id, err := by.Insert(object, fields)
			r.Must(err)
			records[object] = append(ids, id)
			return
		}
		// What Salesforce refuses, such as an update of a deleted record, has not
		// happened.
		id := ids[random.IntN(len(ids))]
		switch random.IntN(10) {
		case 0, 1:
			_ = by.Delete(object, id)
		case 2, 3:
			_ = by.Undelete(object, id)
		case 4:
			_ = by.Merge(object, id, ids[random.IntN(len(ids))])
		default:
			_ = by.Update(object, id, fields)
		}
	}
	verbs := []org.Verb{org.Reject, org.FailAfterWrite, org.HTML, org.Cut, org.Garble, org.Drop}
	spoil := []func(){
		func() {
			r.SF.Fault(org.Fault{Path: []string{"/query", "/composite", "^/cometd/", ""}[random.IntN(4)], Verb: verbs[random.IntN(len(verbs))], Times: 1 + random.IntN(3)})
		},
		r.SF.Forget,
		r.SF.ExpireReplay,
		r.SF.RevokeTokens,
		r.SF.Stream().DisconnectAll,
		func() { r.SF.Mute(true); change(); r.SF.Mute(false) },
		func() { r.SF.Stream().Duplicate(random.IntN(5)) },
		func() { r.SF.ReverseEvents(true); change(); change(); r.SF.ReverseEvents(false) },
		func() {
			if random.IntN(4) == 0 {
				b.End(syscall.SIGKILL)
				b = r.Start()
			}
		},
	}
	for range 300 {
		change()
		if random.IntN(12) == 0 {
			spoil[random.IntN(len(spoil))]()
		}
		time.Sleep(time.Duration(random.IntN(40)) * time.Millisecond) // the pace of the people in the org
	}
	r.SF.ClearFaults()
	r.SF.Stream().Duplicate(0)
	r.Equal("Account", "Contact")
}
