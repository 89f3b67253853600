package web

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
)

// maxForm bounds the body of an action.
const maxForm = 64 << 10

// ErrFailureID reports an id that no failure can have.
var ErrFailureID = errors.New("not an id of a failed write or read")

// Settle retries or dismisses failures, named by log id or Salesforce id; no ids
// means all. It returns how many.
type Settle func(ctx context.Context, ids []string) (int64, error)

// act answers a form with fields id, or all: the page's script with JSON, a
// browser without scripts by going back to the page.
func (s *Server) act(done string, settle Settle) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		if kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); kind != "application/x-www-form-urlencoded" {
			answer(w, http.StatusUnsupportedMediaType, map[string]string{"message": "send a form: id=… or all=1"})
			return
		}
		if err := r.ParseForm(); err != nil {
			answer(w, http.StatusBadRequest, map[string]string{"message": "the form cannot be read"})
			return
		}
		ids := r.PostForm["id"]
		if (len(ids) > 0) == (r.PostForm.Get("all") != "") {
			answer(w, http.StatusBadRequest, map[string]string{"message": "name failures by id, or all of them by all=1"})
			return
		}
		n, err := settle(r.Context(), ids)
		switch {
		case errors.Is(err, ErrFailureID):
			answer(w, http.StatusBadRequest, map[string]string{"message": "an id is none that a failed write or read can have"})
		case err != nil:
			answer(w, http.StatusServiceUnavailable, map[string]string{"message": "That did not work: the database could not be asked, or there is no such id."})
		case strings.Contains(r.Header.Get("Accept"), "text/html"):
			http.Redirect(w, r, "/", http.StatusSeeOther)
		default:
			answer(w, http.StatusOK, map[string]any{"message": fmt.Sprintf("%d %s.", n, done), "count": n})
		}
	}
}
