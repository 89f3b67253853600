package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// An app and users of Salesforce write to the same few records, and the app deletes
// records that have just changed on both sides: answers, events and what is read back
// meet in Postgres, and none of them ever waits for one that waits for it.
func TestNeverInItsOwnWay(t *testing.T) {
	t.Parallel()
	const kept, deleted = 5, 60
	r := newRig(t, "HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_CONTACT_ACCESS=read_write",
		"HC_OBJECT_ACCOUNT_FIELDS=Name,Phone,Site", "HC_OBJECT_CONTACT_FIELDS=LastName,AccountId")
	var ids []string
	for n := range kept + deleted {
		id, err := r.SF.Insert("Account", map[string]any{"Name": fmt.Sprint("a", n)})
		r.Must(err)
		ids = append(ids, id)
	}
	r.Start()
	r.Synced()

	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Second)
	defer cancel()
	edited := make(chan error, 1)
	go func() {
		var err error
		for n := 0; ctx.Err() == nil && err == nil; n++ {
			err = r.SF.Update("Account", ids[n%kept], map[string]any{"Site": fmt.Sprint("user ", n)})
			time.Sleep(2 * time.Millisecond)
		}
		edited <- err
	}()
	var longest time.Duration
	for n := 0; ctx.Err() == nil; n++ {
		began := time.Now()
		r.Exec(`UPDATE salesforce.account SET site = $1 WHERE sfid = $2`, fmt.Sprint("app ", n), ids[n%kept])
		longest = max(longest, time.Since(began))
		time.Sleep(2 * time.Millisecond)
	}
	r.Must(<-edited)
	for n, id := range ids[kept:] {
		r.Must(r.SF.Update("Account", id, map[string]any{"Phone": "1"}))
		r.Exec(`UPDATE salesforce.account SET site = 'x' WHERE sfid = $1`, id)
		time.Sleep(time.Duration(n%7) * 5 * time.Millisecond)
		r.Exec(`DELETE FROM salesforce.account WHERE sfid = $1`, id)
		r.Eventually("the delete is answered", 20*time.Second, func() error {
			if n := r.Count(`SELECT count(*) FROM salesforce._trigger_log WHERE action = 'DELETE' AND state IN ('NEW', 'PENDING')`); n > 0 {
				return fmt.Errorf("%d are not", n)
			}
			return nil
		})
	}
	r.Equal("Account")
	time.Sleep(1100 * time.Millisecond) // for each process of Postgres to tell what it counted
	if n := r.Count(`SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); n != 0 {
		t.Errorf("%d deadlocks", n)
	}
	t.Logf("the app's longest update took %s", longest)
}
