package bridge

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
)

// A process that stands by learns what the objects are. Its turn begins with that,
// unless whoever worked meanwhile has mapped what it does not know.
func TestWarmUp(t *testing.T) {
	t.Parallel()
	pool := migrated(t)
	sf := org.New(org.Options{}).Start()
	defer sf.Close()
	cfg := scheduleConfig()
	cfg.Objects = []config.Object{
		{Name: "Account", Mode: config.ModeStreaming, Access: config.AccessReadOnly},
		{Name: "Contact", Mode: config.ModeStreaming, Access: config.AccessReadOnly, Fields: []string{"LastName", "Account.External_Id__c"}},
	}
	one := newLease(pool, cfg.Schema)
	if ok, err := one.take(t.Context()); !ok {
		t.Fatal(ok, err)
	}
	maps := func(client *salesforce.Client, d *descriptions) *session {
		t.Helper()
		s := newSession(New(cfg, "test", zerolog.Nop()), pool, client)
		s.orgID, s.foreknown = sf.ID(), d
		if err := s.mapAll(t.Context()); err != nil {
			t.Fatal(err)
		}
		return s
	}
	client, closeIdle, err := clientOf(t.Context(), sf)
	if err != nil {
		t.Fatal(err)
	}
	defer closeIdle()
	if s := newSession(New(cfg, "test", zerolog.Nop()), pool, client); true {
		s.orgID = sf.ID()
		if err := s.pin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	maps(client, nil)

	two := newLease(pool, cfg.Schema)
	stands, closeIdle2, err := clientWith(t.Context(), sf, two.allow)
	if err == nil {
		t.Error("it could log in before it stood by, and had no lease")
	}
	defer closeIdle2()
	stand := func() *descriptions {
		t.Helper()
		prepared := &seen{text: `"standby_prepared"`, ch: make(chan struct{})}
		b := New(cfg, "test", zerolog.New(prepared))
		var warm *descriptions
		done := make(chan error, 1)
		go func() {
			d, err := b.stand(t.Context(), stands, two)
			warm = d
			done <- err
		}()
		select {
		case <-prepared.ch:
		case <-time.After(5 * time.Minute):
			t.Fatal("it has learned nothing")
		}
		expire(t, pool)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if n := sf.StreamClients(); n != 0 {
			t.Errorf("%d streams while it stood by", n)
		}
		return warm
	}

	warm := stand()
	if warm == nil {
		t.Fatal("it has forgotten it")
	}
	if err := two.allow(); err != nil {
		t.Errorf("the holder is not trusted: %v", err)
	}
	two.renewed.Store(nil)
	if err := two.allow(); !errors.Is(err, errLeaseLost) {
		t.Errorf("who has lost the lease may still ask: %v", err)
	}
	calls := func() int { n, _ := sf.Usage(); return n }
	before := calls()
	s := maps(client, warm)
	if n := calls() - before; n != 0 || len(s.objects) != 2 || s.foreknown == nil {
		t.Errorf("%d calls for %d objects, foreknown %t, want none for 2", n, len(s.objects), s.foreknown != nil)
	}

	if err := sf.AddField("Account", &sobject.Field{Name: "Extra__c", Label: "Extra", Type: "string", Length: 10, Nillable: true, Createable: true, Updateable: true, Custom: true}); err != nil {
		t.Fatal(err)
	}
	maps(client, nil) // by who works
	s = maps(client, warm)
	if o := s.byTable["account"]; s.foreknown != nil || len(o.frozen) > 0 || o.reloading.Load() || !slices.Contains(o.fields, "Extra__c") {
		t.Errorf("old knowledge was used: frozen %v, reload %t", o.frozen, o.reloading.Load())
	}
}

// seen is a writer that closes ch when it is given a text.
type seen struct {
	text string
	once sync.Once
	ch   chan struct{}
}

func (s *seen) Write(p []byte) (int, error) {
	if strings.Contains(string(p), s.text) {
		s.once.Do(func() { close(s.ch) })
	}
	return len(p), nil
}
