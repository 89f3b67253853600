package web

import (
	"bytes"
	"context"
	"embed"
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"hcbridge/internal/status"
)

//go:embed page.html mapping.html parts.html assets
var files embed.FS

// pageErrors is how many errors the page shows.
const pageErrors = 50

var pages = template.Must(template.New("").Funcs(template.FuncMap{
	"count": count, "lag": lag, "lower": strings.ToLower,
}).ParseFS(files, "page.html", "mapping.html", "parts.html"))

// view is what the page is made of.
type view struct {
	status.Status
	Ready         bool
	Stops         []status.Stop
	Charts        []chart
	Since         time.Time // of the process
	Errors        []shownFailure
	ErrorsUnknown bool
	More          bool // errors than are shown
	Version       string
}

// shownFailure is a failure with the name that retry and dismiss know it by.
type shownFailure struct {
	Failure
	Key string
}

// view asks the board and the database.
func (s *Server) view(ctx context.Context) view {
	now := time.Now()
	v := view{Status: s.cfg.Board.Snapshot(), Since: s.began, Version: s.cfg.Version}
	v.Ready, v.Stops = s.cfg.Board.Ready()
	day := s.cfg.Board.Activity(now, 24*60)
	v.Charts = []chart{newChart("hour", "Last hour", "a minute", day[len(day)-60:], 1), newChart("day", "Last 24 hours", "a quarter of an hour", day, 15)}
	list, err := s.cfg.Errors(ctx, pageErrors+1)
	v.ErrorsUnknown = err != nil
	if v.More = len(list) > pageErrors; v.More {
		list = list[:pageErrors]
	}
	for _, f := range list {
		key := f.SFID
		if f.ID != 0 {
			key = strconv.FormatInt(f.ID, 10)
		}
		v.Errors = append(v.Errors, shownFailure{f, key})
	}
	return v
}

// page is rendered whole, so that it says something without scripts; the script
// then puts in what /live sends, which comes from the same templates.
func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	html, err := render("page.html", s.view(r.Context()))
	if err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html)
}

func render(name string, v any) ([]byte, error) {
	var buf bytes.Buffer
	err := pages.ExecuteTemplate(&buf, name, v)
	return buf.Bytes(), err
}

// count writes a number of rows for people; -1 is one that is not known yet.
func count(n any) string {
	var i int64
	switch n := n.(type) {
	case int:
		i = int64(n)
	case int64:
		i = n
	}
	if i < 0 {
		return "–"
	}
	text := strconv.FormatInt(i, 10)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}

// lag writes milliseconds for people.
func lag(ms int64) string {
	switch d := time.Duration(ms) * time.Millisecond; {
	case d < time.Second:
		return strconv.FormatInt(ms, 10) + " ms"
	case d < time.Minute:
		return strconv.FormatFloat(d.Seconds(), 'f', 1, 64) + " s"
	default:
		return d.Truncate(time.Second).String()
	}
}
