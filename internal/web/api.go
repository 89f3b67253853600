package web

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"hcbridge/internal/status"
)

// maxErrors bounds what /api/errors answers.
const maxErrors = 1000

func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintln(w, "ok")
}

func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	ok, stops := s.cfg.Board.Ready()
	code := http.StatusOK
	if !ok {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, struct {
		Ready bool          `json:"ready"`
		Stops []status.Stop `json:"stops"`
	}{ok, stops})
}

func (s *Server) status(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.cfg.Board.Snapshot())
}

func (s *Server) objects(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, s.cfg.Board.Snapshot().Objects)
}

func (s *Server) object(w http.ResponseWriter, r *http.Request) {
	for _, o := range s.cfg.Board.Snapshot().Objects {
		if strings.EqualFold(o.Object, r.PathValue("name")) {
			answer(w, http.StatusOK, o)
			return
		}
	}
	answer(w, http.StatusNotFound, map[string]string{"error": "no such object is mapped; see HC_OBJECTS"})
}

func (s *Server) errors(w http.ResponseWriter, r *http.Request) {
	list, err := s.cfg.Errors(r.Context(), maxErrors)
	if err != nil {
		answer(w, http.StatusServiceUnavailable, map[string]string{"error": "the list of errors could not be read from the database"})
		return
	}
	if list == nil {
		list = []Failure{}
	}
	answer(w, http.StatusOK, list)
}

func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	_ = enc.Encode(body) // the client has gone; there is nobody to tell
}
