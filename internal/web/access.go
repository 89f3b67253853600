package web

import (
	"crypto/subtle"
	"net/http"
	"strings"
)

// guard lets through who may see the page and the API.
func (s *Server) guard(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.loopback && s.cfg.Token == "":
			// A name other than the loopback's can only come from a page that had
			// its own name resolve to us.
			if !isLoopback(r.Host) {
				http.Error(w, "this address answers under localhost only", http.StatusForbidden)
				return
			}
		case s.loopback && isLoopback(r.Host):
		case s.cfg.Token == "":
			http.Error(w, "set HC_HTTP_TOKEN to see this page on an address that is not loopback", http.StatusForbidden)
			return
		case !s.authorized(r):
			w.Header().Set("WWW-Authenticate", challenge)
			http.Error(w, "the value of HC_HTTP_TOKEN is needed, as a bearer token or as the password", http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// actor lets through who may act: with the token, on any address, and not by a
// form of another site that a browser adds a password to.
func (s *Server) actor(next http.HandlerFunc) http.Handler {
	return http.NewCrossOriginProtection().Handler(s.guard(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case s.cfg.Token == "":
			answer(w, http.StatusForbidden, map[string]string{"message": "Set HC_HTTP_TOKEN to act from this page; hcbridge retry and hcbridge ignore work without it."})
		case !s.authorized(r):
			w.Header().Set("WWW-Authenticate", challenge)
			answer(w, http.StatusUnauthorized, map[string]string{"message": "The value of HC_HTTP_TOKEN is needed, as a bearer token or as the password."})
		default:
			next(w, r)
		}
	}))
}

const challenge = `Basic realm="hcbridge", charset="UTF-8"`

func (s *Server) authorized(r *http.Request) bool {
	given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		_, given, ok = r.BasicAuth()
	}
	return ok && subtle.ConstantTimeCompare([]byte(given), []byte(s.cfg.Token)) == 1
}

// secure sets the headers that keep the page from being framed, sniffed or
// made to load from elsewhere.
func secure(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'self'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
