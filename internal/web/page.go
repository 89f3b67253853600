package web

import (
	"bytes"
	_ "embed"
	"html/template"
	"net/http"

	"hcbridge/internal/status"
)

//go:embed page.html
var pageHTML string

// page is rendered whole on the server, so that it says something without
// scripts; the script in it then keeps it fresh from /api/status.
func (s *Server) page(w http.ResponseWriter, _ *http.Request) {
	ready, stops := s.cfg.Board.Ready()
	var buf bytes.Buffer
	err := pageTemplate().Execute(&buf, struct {
		status.Status
		Ready   bool
		Stops   []status.Stop
		Version string
	}{s.cfg.Board.Snapshot(), ready, stops, s.cfg.Version})
	if err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(buf.Bytes())
}

func pageTemplate() *template.Template {
	return template.Must(template.New("page").Parse(pageHTML))
}
