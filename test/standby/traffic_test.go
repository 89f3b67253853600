package standby

import (
	"fmt"
	"sync"
	"time"

	"hcbridge/test/org"
)

// traffic is an app and the people of the org, who make and change rows and records
// all the time.
type traffic struct {
	p  *pair
	wg sync.WaitGroup

	mu    sync.Mutex
	gate  sync.RWMutex // locked while nothing is to happen
	quiet bool
	ended bool
	rows  []string // keys of contacts made in Postgres
	names []string // of accounts made there
	ids   []string // records made in the org
}

func (a *traffic) start() {
	a.gate.Lock()
	a.quiet = true
	a.wg.Go(func() { a.run(a.app) })
	a.wg.Go(func() { a.run(a.people) })
}

func (a *traffic) run(step func(n int)) {
	for n := 0; ; n++ {
		a.gate.RLock()
		a.mu.Lock()
		ended := a.ended
		a.mu.Unlock()
		if !ended {
			step(n)
		}
		a.gate.RUnlock()
		if ended {
			return
		}
		time.Sleep(time.Duration(10+n%30) * time.Millisecond) // their pace
	}
}

func (a *traffic) flow() { a.quiet = false; a.gate.Unlock() }

func (a *traffic) pause() { a.gate.Lock(); a.quiet = true }

func (a *traffic) stop() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	if a.quiet {
		a.gate.Unlock()
	}
	a.wg.Wait()
}

func (a *traffic) app(n int) {
	ctx := a.p.T.Context()
	var err error
	key := fmt.Sprintf("row-%d", n)
	switch {
	case n%4 == 0:
		_, err = a.p.Pool.Exec(ctx, "INSERT INTO salesforce.contact (lastname, external_id__c) VALUES ('App', $1)", key)
		a.rows = append(a.rows, key)
	case n%4 == 2:
		_, err = a.p.Pool.Exec(ctx, "INSERT INTO salesforce.account (name) VALUES ($1)", key)
		a.names = append(a.names, key)
	default:
		_, err = a.p.Pool.Exec(ctx, "UPDATE salesforce.contact SET phone = $1 WHERE external_id__c = $2", fmt.Sprint(n), a.rows[n%len(a.rows)])
	}
	if err != nil && ctx.Err() == nil {
		a.p.T.Errorf("app: %v", err)
	}
}

func (a *traffic) people(n int) {
	by := a.p.SF.As(org.DefaultOther)
	var err error
	if n%3 == 0 {
		var id string
		id, err = by.Insert("Contact", map[string]any{"LastName": "People", "External_Id__c": fmt.Sprintf("record-%d", n)})
		a.ids = append(a.ids, id)
	} else {
		err = by.Update("Contact", a.ids[n%len(a.ids)], map[string]any{"Phone": fmt.Sprint(n)})
	}
	if err != nil {
		a.p.T.Errorf("people: %v", err)
	}
}

// check looks for all that was made; settled has compared what it holds.
func (a *traffic) check() {
	a.p.T.Helper()
	for _, id := range a.ids {
		if _, ok := a.p.SF.Get("Contact", id); !ok {
			a.p.T.Errorf("record %s is gone", id)
		}
	}
	named := map[string]string{"account": "name", "contact": "lastname"}
	for table, want := range map[string]int{"account": len(a.names), "contact": len(a.rows) + len(a.ids)} {
		if n := a.p.Count("SELECT count(*) FROM salesforce." + table + " WHERE " + named[table] + " <> 'Taken over'"); n != want {
			a.p.T.Errorf("%d rows of %s, want %d", n, table, want)
		}
	}
}
