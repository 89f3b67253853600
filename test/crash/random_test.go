package crash

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"hcbridge/test/check"
	"hcbridge/test/pgtest"
)

// TestRandom kills the bridge at random times while both sides change, each time
// only a moment after it has begun to work again. HCBRIDGE_CRASH_RANDOM is how
// often, HCBRIDGE_SEED repeats the times and the changes.
func TestRandom(t *testing.T) {
	kills := 10
	if text := os.Getenv("HCBRIDGE_CRASH_RANDOM"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("HCBRIDGE_CRASH_RANDOM=%q", text)
		}
		kills = n
	}
	seed := rand.Uint64()
	if text := os.Getenv("HCBRIDGE_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("HCBRIDGE_SEED=%d", seed)
	var each sync.WaitGroup
	worlds := min(2, kills)
	server := pgtest.Private(t, pgtest.Options{})
	for n := range worlds {
		each.Go(func() {
			if err := mixed(t, server, rand.New(rand.NewPCG(seed, uint64(n))), (kills+n)/worlds); err != nil {
				t.Error(err)
			}
		})
	}
	each.Wait()
}

// mixed kills so often under mixed load, then lets all come to rest.
func mixed(t *testing.T, server *pgtest.Server, random *rand.Rand, kills int) error {
	ctx := t.Context()
	w, err := newWorld(ctx, server, map[string]string{"HC_POLL_INTERVAL": "5s", "HC_OBJECT_CONTACT_POLL_INTERVAL": ""})
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.start(); err != nil {
		return err
	}
	if err := w.ready(ctx); err != nil {
		return err
	}
	stop := make(chan struct{})
	var load sync.WaitGroup
	failed := make(chan error, 2)
	for n, change := range []func(context.Context, *world, *rand.Rand, *[]string) error{byApp, byUser} {
		own := rand.New(rand.NewPCG(random.Uint64(), uint64(n)))
		load.Go(func() {
			var made []string
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Duration(10+own.IntN(60)) * time.Millisecond): // the pace of people
				}
				if err := change(ctx, w, own, &made); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	var left []check.Violation
	for k := range kills {
		time.Sleep(time.Duration(random.IntN(900)) * time.Millisecond) // when it dies is what is random
		hit := w.fate.arm(1)
		<-hit
		meanwhile := over
		if k == kills-1 {
			close(stop)
			load.Wait()
			meanwhile = age
		}
		more, err := w.revive(ctx, meanwhile)
		left = append(left, more...)
		if err == nil {
			err = w.ready(ctx)
		}
		if err != nil {
			return err
		}
	}
	select {
	case err := <-failed:
		return err
	default:
	}
	found, err := w.check.Converged(ctx, soon)
	if found = append(left, found...); err != nil || len(found) > 0 {
		said := w.said.String()
		return fmt.Errorf("after %d kills: %w %s\n%s", kills, err, list(found), said[max(0, len(said)-6000):])
	}
	t.Logf("%d kills", kills)
	return nil
}

// byApp is one change of the app.
func byApp(ctx context.Context, w *world, random *rand.Rand, made *[]string) error {
	switch k := random.IntN(6); {
	case k < 2 || len(*made) < 5:
		id, err := w.app.Insert(ctx, "Account", map[string]any{"name": fmt.Sprintf("App %d", random.Uint64()), "phone": "0"})
		*made = append(*made, strconv.FormatInt(id, 10))
		return err
	case k == 2:
		name := fmt.Sprintf("c%d", random.Uint64())
		_, err := w.app.Insert(ctx, "Contact", map[string]any{"lastname": name, "external_id__c": name})
		return err
	default:
		id, err := strconv.ParseInt((*made)[random.IntN(len(*made))], 10, 64)
		if err != nil {
			return err
		}
		return w.app.Update(ctx, "Account", id, map[string]any{"phone": strconv.Itoa(random.Int())})
	}
}

// byUser is one change of a person in the org.
func byUser(_ context.Context, w *world, random *rand.Rand, made *[]string) error {
	switch k := random.IntN(6); {
	case k < 2 || len(*made) < 5:
		id, err := w.sf.Insert("Account", map[string]any{"Name": fmt.Sprintf("User %d", random.Uint64())})
		*made = append(*made, id)
		return err
	case k == 2:
		last := len(*made) - 1
		id := (*made)[last]
		*made = (*made)[:last]
		return w.sf.Delete("Account", id)
	default:
		return w.sf.Update("Account", (*made)[random.IntN(len(*made))], map[string]any{"Industry": strconv.Itoa(random.Int())})
	}
}
