package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
)

const (
	// maxMapping bounds the form of the mapping page: hundreds of objects with
	// hundreds of fields.
	maxMapping = 4 << 20
	// maxFound is how many objects a search shows.
	maxFound = 24
)

// mappingView is what the mapping page is made of.
type mappingView struct {
	Mapping

	Query   string
	Found   []OrgObject // at most maxFound
	Matches int
	Version string
}

// mappingGet answers the page as one finds it: ?object=NAME looks at one, ?q=…
// searches.
func (s *Server) mappingGet(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.mapping(w, r, Choice{Show: q.Get("object")}, q.Get("q"))
}

// mappingPost answers the page as the form on it makes it. It changes nothing.
func (s *Server) mappingPost(w http.ResponseWriter, r *http.Request) {
	if c, ok := readChoice(w, r); ok {
		s.mapping(w, r, c, r.PostForm.Get("q"))
	}
}

func (s *Server) mapping(w http.ResponseWriter, r *http.Request, c Choice, query string) {
	v := mappingView{Mapping: s.cfg.Plan(r.Context(), c), Query: query, Version: s.cfg.Version}
	v.Found, v.Matches = search(v.Objects, v.Chosen, query)
	html, err := render("mapping.html", v)
	if err != nil {
		http.Error(w, "the page could not be rendered", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(html)
}

// download answers one of the two texts as a file.
func (s *Server) download(name, kind string, text func(Mapping) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		c, ok := readChoice(w, r)
		if !ok {
			return
		}
		m := s.cfg.Plan(r.Context(), c)
		if text(m) == "" {
			http.Error(w, "The file cannot be made now. "+m.FileTrouble, http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=%q", name))
		_, _ = w.Write([]byte(text(m)))
	}
}

// readChoice reads the form of the page. Where it cannot, it answers.
func readChoice(w http.ResponseWriter, r *http.Request) (Choice, bool) {
	r.Body = http.MaxBytesReader(w, r.Body, maxMapping)
	if err := r.ParseForm(); err != nil {
		http.Error(w, "the form cannot be read", http.StatusBadRequest)
		return Choice{}, false
	}
	f := r.PostForm
	c := Choice{Block: f.Get("block"), Drop: f.Get("drop"), Show: f.Get("show")}
	if object := f.Get("object"); object != "" {
		c.Settings = &Settings{
			Object: object, Mode: f.Get("mode"), Access: f.Get("access"), ExternalID: f.Get("external_id"), PollInterval: strings.TrimSpace(f.Get("poll_interval")),
			Every: f.Get("fields") == "every", Fields: f["field"], Parents: f.Get("parents"), Indexes: f["index"],
		}
		if c.Show == "" && object != c.Drop {
			c.Show = object
		}
	}
	return c, true
}

// search finds objects by a part of their name or label, those that are not
// chosen yet first. It returns the first few, and how many there are.
func search(objects []OrgObject, chosen []Chosen, query string) (found []OrgObject, matches int) {
	query = strings.ToLower(strings.TrimSpace(query))
	var late []OrgObject
	for _, o := range objects {
		o.Mapped = slices.ContainsFunc(chosen, func(c Chosen) bool { return strings.EqualFold(c.Object, o.Object) })
		switch {
		case !strings.Contains(strings.ToLower(o.Object), query) && !strings.Contains(strings.ToLower(o.Label), query):
		case o.Mapped:
			late = append(late, o)
		default:
			found = append(found, o)
		}
	}
	found = append(found, late...)
	return found[:min(len(found), maxFound)], len(found)
}
