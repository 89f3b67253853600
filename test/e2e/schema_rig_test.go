package e2e

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/internal/status"
	"hcbridge/test/org/sobject"
)

// schemaRig is a bridge between two read_write objects, Contact with a field
// Extra__c that holds something in every record, and traffic on Account.
type schemaRig struct {
	*rig
	ids  []string // of the contacts
	stop func()   // ends the traffic and checks it
}

func newSchemaRig(t *testing.T, settings ...string) *schemaRig {
	t.Helper()
	r := &schemaRig{rig: newRig(t, append(append([]string{"HC_OBJECT_CONTACT_POLL_INTERVAL=2s"}, readWrite...), settings...)...)}
	r.Must(r.SF.AddField("Contact", textField("Extra__c", 40)))
	for i := range 20 {
		r.ids = append(r.ids, r.Insert("Contact", map[string]any{"LastName": fmt.Sprintf("C %d", i), "External_Id__c": fmt.Sprintf("c-%d", i), "Extra__c": fmt.Sprintf("%d", i)}))
	}
	r.Start()
	r.Synced()
	r.Equal("Contact")
	r.stop = r.traffic()
	return r
}

func textField(name string, length int) *sobject.Field {
	return &sobject.Field{Name: name, Label: name, Type: "string", Length: length, Nillable: true, Createable: true, Updateable: true, Custom: true}
}

// traffic changes an account on one side after the other, each change once the
// last has arrived, until the test ends. It fails if one does not arrive.
func (r *schemaRig) traffic() (stop func()) {
	id := r.Insert("Account", map[string]any{"Name": "Traffic", "External_Id__c": "traffic"})
	ob := r.SF.Object("Account")
	var wg sync.WaitGroup
	quit := make(chan struct{})
	var longest time.Duration
	rounds := 0
	arrives := func(there func() bool) bool {
		began := time.Now()
		for !there() {
			if time.Since(began) > 40*time.Second {
				r.T.Errorf("round %d: a change of Account did not arrive", rounds)
				return false
			}
			time.Sleep(5 * time.Millisecond)
		}
		longest = max(longest, time.Since(began))
		return true
	}
	column := func(name string) (v string) {
		_ = r.Pool.QueryRow(r.T.Context(), "SELECT COALESCE("+name+", '') FROM salesforce.account WHERE sfid = $1", id).Scan(&v)
		return v
	}
	arrives(func() bool { return column("name") == "Traffic" })
	longest = 0
	wg.Go(func() {
		for ; ; rounds++ {
			select {
			case <-quit:
				return
			default:
			}
			want := fmt.Sprint(rounds)
			if err := r.SF.Update("Account", id, map[string]any{"Phone": want}); err != nil {
				r.T.Error(err)
				return
			}
			if !arrives(func() bool { return column("phone") == want }) {
				return
			}
			if _, err := r.Pool.Exec(r.T.Context(), "UPDATE salesforce.account SET site = $2 WHERE sfid = $1", id, want); err != nil {
				r.T.Error(err)
				return
			}
			if !arrives(func() bool { rec, _ := r.SF.Get("Account", id); return rec.Get(ob, "Site") == want }) {
				return
			}
		}
	})
	return sync.OnceFunc(func() {
		close(quit)
		wg.Wait()
		r.T.Logf("traffic: %d rounds, the longest wait for a change was %s", rounds, longest.Round(time.Millisecond))
		if r.T.Failed() {
			return
		}
		r.Equal("Account")
	})
}

// shows waits until status shows an object in a state, with texts in its
// message.
func (r *schemaRig) shows(object, state string, texts ...string) {
	r.T.Helper()
	r.Eventually("status of "+object, 20*time.Second, func() error {
		st, ok := r.Status()
		if !ok {
			return fmt.Errorf("no status")
		}
		for _, o := range st.Objects {
			if o.Object != object {
				continue
			}
			for _, text := range texts {
				if !strings.Contains(o.Message, text) {
					return fmt.Errorf("no %q in %q", text, o.Message)
				}
			}
			if len(texts) == 0 && o.Message != "" {
				return fmt.Errorf("message %q", o.Message)
			}
			if state == status.DataSynced && strings.HasPrefix(o.State, "POLLING_SF") {
				return nil
			}
			if o.State != state {
				return fmt.Errorf("%s: %s", o.State, o.Message)
			}
			return nil
		}
		return fmt.Errorf("%s is not shown", object)
	})
}

// row waits until one contact's column holds a value.
func (r *schemaRig) row(i int, column, want string) {
	r.T.Helper()
	r.Eventually(column, 20*time.Second, func() error {
		var got *string
		if err := r.Pool.QueryRow(r.T.Context(), "SELECT "+column+"::text FROM salesforce.contact WHERE sfid = $1", r.ids[i]).Scan(&got); err != nil {
			return err
		}
		if got == nil || *got != want {
			return fmt.Errorf("%s of contact %d is %s, want %q", column, i, show(got), want)
		}
		return nil
	})
}

// record waits until one contact's field holds a value in Salesforce.
func (r *schemaRig) record(i int, field, want string) {
	r.T.Helper()
	r.Eventually(field, 20*time.Second, func() error {
		rec, _ := r.SF.Get("Contact", r.ids[i])
		if got := fmt.Sprint(rec.Get(r.SF.Object("Contact"), field)); got != want {
			return fmt.Errorf("%s of contact %d is %s in Salesforce, want %s", field, i, got, want)
		}
		return nil
	})
}

func show(s *string) string {
	if s == nil {
		return "null"
	}
	return fmt.Sprintf("%q", *s)
}
