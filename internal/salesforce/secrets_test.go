package salesforce

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// Everything that may go wrong goes wrong, with a server that echoes what it is
// sent. No secret and no record value may show in an error or in the log.
func TestCanariesStayHidden(t *testing.T) {
	t.Parallel()
	const value = "CANARYvalue of a record"
	_, _, pemKey := testKey(t)
	echo := func(status int, contentType, form string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_ = r.ParseForm()
			all := fmt.Sprint(r.Header.Get("Authorization"), " ", string(body), " ", r.URL)
			if a := r.PostFormValue("assertion"); a != "" {
				all += a
			}
			w.Header().Set("Content-Type", contentType)
			w.Header().Set("Location", "https://evil.tld/?"+canaryToken)
			w.WriteHeader(status)
			quoted, _ := json.Marshal(all)
			_, _ = fmt.Fprintf(w, form, quoted)
		}
	}
	handlers := map[string]http.HandlerFunc{
		"error array": echo(400, "application/json", `[{"message":%s,"errorCode":"X"}]`),
		"error code":  echo(400, "application/json", `[{"message":"","errorCode":%s}]`),
		"oauth":       echo(400, "application/json", `{"error":"invalid_grant","error_description":%s}`),
		"html":        echo(503, "text/html", `<html>%s</html>`),
		"not json":    echo(200, "application/json", `{"x":%s`),
		"other json":  echo(200, "application/json", `{"x":%s}`),
		"redirect":    echo(302, "text/html", `%s`),
		"refused":     echo(401, "application/json", `[{"message":%s,"errorCode":"INVALID_SESSION_ID"}]`),
		"cut":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOrg(t)
			var log bytes.Buffer
			verbose := func(cfg *Config) { cfg.Log = zerolog.New(&log).Level(zerolog.TraceLevel) }
			o.api = h
			c := o.client(verbose)
			s, err := c.Login(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c.longAgo()
			record := []map[string]any{{"Id": id1, "Name": value, "Key__c": value}}
			_, e1 := c.InsertAll(t.Context(), "Account", record)
			c.longAgo()
			_, e2 := c.UpsertAll(t.Context(), "Account", "Key__c", record)
			c.longAgo()
			_, e3 := c.Create(t.Context(), "Account", record[0])
			c.longAgo()
			_, e4 := c.QueryResults(t.Context(), "750R0000000zlh9IAA", "", 0)

			o.mu.Lock()
			o.grant = h
			o.mu.Unlock()
			_, e5 := o.client(verbose).Login(t.Context())
			_, e6 := o.client(verbose, func(cfg *Config) { cfg.Auth, cfg.JWTKey = AuthJWT, pemKey }).Login(t.Context())

			for i, err := range []error{e1, e2, e3, e4, e5, e6} {
				if err == nil {
					t.Errorf("call %d succeeded", i+1)
					continue
				}
				hidden(t, fmt.Sprintf("error %d", i+1), err.Error())
				if e := asError(t, err); strings.Contains(e.Message+e.Code, canaryToken) || strings.Contains(e.Message+e.Code, canaryPassword) {
					t.Errorf("error %d keeps a secret in its fields: %+v", i+1, e)
				}
			}
			hidden(t, "log", log.String())
			hidden(t, "session", fmt.Sprintf("%v %+v %#v %s", s, s, s, s))
			hidden(t, "config", fmt.Sprintf("%v %+v %#v %s", c.cfg, c.cfg, c.cfg, c.cfg))
			asJSON, _ := json.Marshal(s)
			hidden(t, "session as JSON", string(asJSON))
			if log.Len() == 0 {
				t.Error("nothing was logged, so nothing was tested")
			}
		})
	}
}

func hidden(t *testing.T, what, text string) {
	t.Helper()
	for _, s := range []string{"CANARY", "PRIVATE KEY", "eyJ"} {
		if i := strings.Index(text, s); i >= 0 {
			t.Errorf("%s tells a secret: %q", what, text[max(0, i-80):min(len(text), i+80)])
		}
	}
}
