package salesforce

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

const (
	oldHost   = "http://127.0.0.1:9"
	newHost   = "http://127.0.0.1:10"
	goneBody  = `[{"message":"Destination URL not reset. The URL returned from login must be set","errorCode":"URL_NOT_RESET"}]`
	goneAfter = 10 * time.Minute // of work, until the org moves
)

// movingOrg is an org that begins at oldHost, where the token host is, too.
type movingOrg struct {
	home   string
	old    http.HandlerFunc // answers there, where it is not nil
	grant  http.HandlerFunc // replaces the token endpoint
	logins []time.Duration  // since it was made
	told   []string         // instances, by Config.LoggedIn
}

func newMovingOrg(t *testing.T) (*movingOrg, *Client) {
	t.Helper()
	o, start := &movingOrg{home: oldHost}, time.Now()
	return o, newClient(t, oldHost, func(cfg *Config) {
		cfg.LoggedIn = func(s Session) { o.told = append(o.told, s.InstanceURL) }
		cfg.HTTPClient = inMemory(func(w http.ResponseWriter, r *http.Request) {
			switch {
			case r.URL.Path == tokenPath:
				o.logins = append(o.logins, time.Since(start))
				if o.grant != nil {
					o.grant(w, r)
					return
				}
				writeGrant(w, o.home, fmt.Sprintf("00D!token-%d", len(o.logins)))
			case o.old != nil && r.URL.Host == "127.0.0.1:9":
				o.old(w, r)
			default:
				reply(w, 200, limitsBody)
			}
		})
	})
}

func page(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=UTF-8")
		w.WriteHeader(status)
		_, _ = w.Write([]byte("<html>URL No Longer Exists</html>"))
	}
}

// An org that has moved is found again, whatever its old host says (fault 68).
func TestAnOrgThatHasMovedIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		old  http.HandlerFunc
		took time.Duration
	}{
		"404":           {page(404), time.Second},
		"420":           {page(420), time.Second},
		"URL_NOT_RESET": {func(w http.ResponseWriter, _ *http.Request) { reply(w, 404, goneBody) }, time.Second},
		"redirect":      {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://evil.example/", 302) }, time.Second},
		"503":           {page(503), pagesMost + time.Second},
		"502":           {page(502), pagesMost + time.Second},
		"200":           {page(200), pagesMost + time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				o, client := newMovingOrg(t)
				if _, err := client.Limits(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(goneAfter)
				o.home, o.old = newHost, c.old
				start := time.Now()
				for {
					_, err := client.Limits(t.Context())
					if err == nil {
						break
					}
					if ClassOf(err) != Transient {
						t.Fatalf("%s: %v", ClassOf(err), err)
					}
					if time.Since(start) > 5*time.Minute {
						t.Fatalf("not found in five minutes, with logins at %v", o.logins)
					}
					time.Sleep(time.Second)
				}
				if took := time.Since(start); took != c.took {
					t.Errorf("found after %s, want %s", took, c.took)
				}
				if len(o.logins) != 2 || !slices.Equal(o.told, []string{oldHost, newHost}) {
					t.Errorf("logins at %v, told of %v, want one more than the first", o.logins, o.told)
				}
			})
		})
	}
}

// An org in maintenance is where it was: it causes a login a minute at most, and
// none of them changes anything.
func TestMaintenanceCausesFewLogins(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, client := newMovingOrg(t)
		ask := func() error { _, err := client.Limits(t.Context()); return err }
		if err := ask(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(goneAfter)

		// A page now and then is none of it.
		for range 100 {
			o.old = page(503)
			expect(t, ask(), Transient, "", false)
			o.old = nil
			time.Sleep(pagesMost)
			if err := ask(); err != nil {
				t.Fatal(err)
			}
		}
		if len(o.logins) != 1 {
			t.Fatalf("logins at %v, want only the first", o.logins)
		}

		o.old = page(503)
		for range 3600 {
			expect(t, ask(), Transient, "", false)
			time.Sleep(time.Second)
		}
		if n := len(o.logins); n < 30 || n > 61 {
			t.Errorf("%d logins in an hour, want one a minute at most", n-1)
		}
		for i := 2; i < len(o.logins); i++ {
			if gap := o.logins[i] - o.logins[i-1]; gap < suspectEvery {
				t.Errorf("a login %s after the one before", gap)
			}
		}
		if o.old = nil; ask() != nil || client.suspect || client.failure != nil || client.hurried {
			t.Errorf("not as before: suspect %t, failure %v, hurried %t", client.suspect, client.failure, client.hurried)
		}
	})
}

// Credentials that are refused while the instance is in doubt are tried as rarely as
// ever, and the session, which nobody has refused, serves on.
func TestRefusedLoginsDoNotEndASessionInDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, client := newMovingOrg(t)
		if _, err := client.Limits(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(goneAfter)
		o.old = page(404)
		o.grant = func(w http.ResponseWriter, _ *http.Request) { reply(w, 400, refusal) }
		for range 3600 {
			_, err := client.Limits(t.Context())
			if e := asError(t, err); e.Status != 404 {
				t.Fatalf("got %v after logins at %v", err, o.logins)
			}
			time.Sleep(time.Second)
		}
		if n := len(o.logins) - 1; n > 18 {
			t.Errorf("%d attempts within an hour: they lock the user out", n)
		}
		o.old = nil
		if _, err := client.Limits(t.Context()); err != nil {
			t.Errorf("the session is lost: %v", err)
		}
	})
}

// What others see of the instance is heard, and forgotten when the org answers.
func TestDoubt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o, client := newMovingOrg(t)
		s, err := client.Login(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		token := func(want string) {
			t.Helper()
			if got, err := client.Token(t.Context(), ""); err != nil || got.InstanceURL != want {
				t.Errorf("got %s, want %s; %v", got.InstanceURL, want, err)
			}
		}
		o.home = newHost
		client.Doubt(s.Token)
		token(oldHost) // the last login was just now
		time.Sleep(suspectEvery)
		if _, err := client.Limits(t.Context()); err != nil {
			t.Fatal(err)
		}
		token(newHost)

		time.Sleep(suspectEvery)
		client.Doubt(s.Token) // of before
		token(newHost)
		client.Doubt(client.session.Token)
		client.trustInstance(client.session)
		token(newHost)
		if len(o.logins) != 2 {
			t.Errorf("logins at %v, want two", o.logins)
		}
	})
}
