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
			if !IsLoopback(r.Host) {
				refuse(w, r, "this address answers under localhost only", http.StatusForbidden)
				return
			}
		case s.loopback && IsLoopback(r.Host):
		case s.cfg.Token == "":
			refuse(w, r, "set HC_HTTP_TOKEN to see this page on an address that is not loopback", http.StatusForbidden)
			return
		case !s.authorized(r):
			w.Header().Set("WWW-Authenticate", challenge)
			refuse(w, r, "the value of HC_HTTP_TOKEN is needed, as a bearer token or as the password", http.StatusUnauthorized)
			return
		}
		next(w, r)
	})
}

// actor lets through who may act: with the token, on any address, and not by a
// form of another site that a browser adds a password to.
func (s *Server) actor(next http.HandlerFunc) http.Handler {
	own := http.NewCrossOriginProtection()
	own.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refuse(w, r, "a form of another site is not taken", http.StatusForbidden)
	}))
	return own.Handler(s.guard(func(w http.ResponseWriter, r *http.Request) {
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

// refuse says why a request is not answered: as JSON under /api/.
func refuse(w http.ResponseWriter, r *http.Request, text string, code int) {
	switch {
	case !strings.HasPrefix(r.URL.Path, apiPath):
		http.Error(w, text, code)
	case r.Method == http.MethodPost: // as what acts answers
		answer(w, code, map[string]string{"message": text})
	default:
		answer(w, code, map[string]string{"error": text})
	}
}

const apiPath = "/api/"

// routed has mux answer, but says itself, as JSON, what there is not under /api/.
func routed(mux *http.ServeMux) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h, pattern := mux.Handler(r)
		if pattern != "" || !strings.HasPrefix(r.URL.Path, apiPath) {
			mux.ServeHTTP(w, r)
			return
		}
		v := verdict{header: w.Header()}
		h.ServeHTTP(&v, r)
		refuse(w, r, strings.ToLower(http.StatusText(v.code)), v.code)
	})
}

// verdict takes the code and the headers of an answer, and not its text.
type verdict struct {
	header http.Header
	code   int
}

func (v *verdict) Header() http.Header         { return v.header }
func (v *verdict) WriteHeader(code int)        { v.code = code }
func (v *verdict) Write(b []byte) (int, error) { return len(b), nil }

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
