package web_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"hcbridge/internal/status"
	"hcbridge/internal/web"
)

// planned answers every choice alike and remembers the last one.
type planned struct {
	web.Mapping
	last web.Choice
}

func (p *planned) plan(_ context.Context, c web.Choice) web.Mapping {
	p.last = c
	return p.Mapping
}

func newMapping(addr, token string) (*web.Server, *planned) {
	p := &planned{Mapping: web.Mapping{
		Block: "HC_OBJECTS=Account\n", File: "{}\n", Problems: []string{"<i>wrong</i>"}, Chosen: []web.Chosen{{Object: "Account", Mode: "cdc", Change: "new"}},
		Objects: []web.OrgObject{{Object: "Account", Label: "Account"}, {Object: "Contact", Label: "Person"}, {Object: "Lead", Label: "<b>Lead"}},
		Object:  &web.Detail{OrgObject: web.OrgObject{Object: "Account", Fields: []web.OrgField{{Field: "Name", Column: "name", Label: `"><script>`, Mapped: true}}}},
	}}
	return web.New(web.Config{Board: status.New(), Addr: addr, Token: token, Version: "v1", Plan: p.plan}), p
}

func post(t *testing.T, h http.Handler, target string, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, target, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestMappingPage(t *testing.T) {
	t.Parallel()
	s, p := newMapping("127.0.0.1:0", "")
	code, body := get(t, s, "http://127.0.0.1/mapping?object=Account&q=lea")
	if code != http.StatusOK || p.last.Show != "Account" || p.last.Settings != nil || p.last.Block != "" {
		t.Errorf("code %d, choice %+v", code, p.last)
	}
	for _, want := range []string{"&lt;i&gt;wrong", "&lt;b&gt;Lead", "&#34;&gt;&lt;script&gt;", ">HC_OBJECTS=Account\n<", "1 object.", `value="lea"`} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the page", want)
		}
	}
	if strings.Contains(body, `value="Contact"`) || strings.Contains(body, "<script>") || strings.Contains(body, "style=") {
		t.Error("the page has what it must not have")
	}
	if _, body := get(t, s, "http://127.0.0.1/mapping?q=person"); !strings.Contains(body, `id="add-Contact"`) {
		t.Error("an object is not found by its label")
	}
	if _, body := get(t, s, "http://127.0.0.1/mapping"); strings.Index(body, `id="add-Account"`) < strings.Index(body, `id="add-Lead"`) {
		t.Error("what is chosen is not last")
	}
	p.Mapping = web.Mapping{Trouble: "not logged in", Block: "HC_OBJECTS=\n", FileTrouble: "Not now."}
	if _, body := get(t, s, "http://127.0.0.1/mapping"); !strings.Contains(body, "not logged in") || !strings.Contains(body, "Not now.") || strings.Contains(body, `id="q"`) {
		t.Error("the page does not say what is the matter")
	}
}

func TestMappingForm(t *testing.T) {
	t.Parallel()
	s, p := newMapping("127.0.0.1:0", "")
	form := url.Values{
		"block": {"HC_OBJECTS=Account"}, "object": {"Account"}, "mode": {"cdc"}, "access": {"read_write"}, "external_id": {"Key__c"}, "poll_interval": {" 1m "},
		"fields": {"some"}, "field": {"Name", "Phone"}, "parents": {"Owner.X"}, "index": {"Name"},
	}
	want := web.Choice{Block: "HC_OBJECTS=Account", Show: "Account", Settings: &web.Settings{
		Object: "Account", Mode: "cdc", Access: "read_write", ExternalID: "Key__c", PollInterval: "1m", Fields: []string{"Name", "Phone"}, Parents: "Owner.X", Indexes: []string{"Name"},
	}}
	for name, kind := range map[string]string{"": "text/html", "/env": "text/plain", "/file": "application/json"} {
		resp := post(t, s, "http://127.0.0.1/mapping"+name, form)
		if resp.Code != http.StatusOK || !reflect.DeepEqual(p.last, want) || !strings.HasPrefix(resp.Header().Get("Content-Type"), kind) {
			t.Errorf("%s: code %d, %s, choice %+v", name, resp.Code, resp.Header().Get("Content-Type"), p.last)
		}
		if attached := strings.HasPrefix(resp.Header().Get("Content-Disposition"), "attachment"); attached != (name != "") {
			t.Errorf("%s: attached %v", name, attached)
		}
	}
	form.Set("fields", "every")
	form.Set("drop", "Account")
	if post(t, s, "http://127.0.0.1/mapping", form); p.last.Show != "" || p.last.Drop != "Account" || !p.last.Settings.Every {
		t.Errorf("choice %+v", p.last)
	}
	p.File, p.FileTrouble = "", "Not now."
	resp := post(t, s, "http://127.0.0.1/mapping/file", form)
	if resp.Code != http.StatusServiceUnavailable || !strings.Contains(resp.Body.String(), "Not now.") {
		t.Errorf("code %d: %s", resp.Code, resp.Body)
	}
	if resp := post(t, s, "http://127.0.0.1/mapping", url.Values{"block": {strings.Repeat("x", 5<<20)}}); resp.Code != http.StatusBadRequest {
		t.Errorf("code %d for a form of 5 MB, want 400", resp.Code)
	}
}

// Who may see the page may see this one, and no other site may fill it in.
func TestMappingAccess(t *testing.T) {
	t.Parallel()
	s, _ := newMapping("0.0.0.0:8080", "s3cret")
	for _, path := range []string{"/mapping", "/mapping/env", "/mapping/file"} {
		if resp := post(t, s, "http://bridge"+path, nil); resp.Code != http.StatusUnauthorized {
			t.Errorf("%s: code %d without the token, want 401", path, resp.Code)
		}
		if resp := post(t, s, "http://bridge"+path, nil, "Authorization", "Bearer s3cret", "Sec-Fetch-Site", "cross-site"); resp.Code != http.StatusForbidden {
			t.Errorf("%s: code %d for another site, want 403", path, resp.Code)
		}
		if resp := post(t, s, "http://bridge"+path, nil, "Authorization", "Bearer s3cret", "Sec-Fetch-Site", "same-origin"); resp.Code != http.StatusOK {
			t.Errorf("%s: code %d, want 200", path, resp.Code)
		}
	}
	if code, _ := get(t, s, "http://bridge/mapping"); code != http.StatusUnauthorized {
		t.Errorf("code %d without the token, want 401", code)
	}
	local, p := newMapping("127.0.0.1:0", "")
	if code, _ := get(t, local, "http://evil.example/mapping"); code != http.StatusForbidden || p.last.Show != "" {
		t.Errorf("code %d under another name, want 403", code)
	}
}
