package poll

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/test/org"
)

// decode makes a row of what the org says of a record now.
func (b *bundle) decode(id, name string, stamp time.Time) pgsink.Row {
	b.t.Helper()
	row, err := b.o.Table.Decode(fmt.Appendf(nil, `{"Id":%q,"SystemModstamp":%q,"IsDeleted":false,"FirstName":null,"LastName":%q,"Title":null,"Email":null,"External_Id__c":null}`,
		id, stamp.Format(time.RFC3339), name))
	b.must(err)
	return row
}

// What changes while a load goes on is neither undone by a page that was made
// before, nor lost.
func TestLoadBesideLiveChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.r.loadPage = 600
	ids, err := b.sf.AsBulk("loader@example.com").InsertMany("Contact", names(smallLoad+400))
	b.must(err)
	edited, removed, last := ids[len(ids)-1], ids[len(ids)-2], ids[len(ids)-3]
	calls, seen := 0, false
	b.must(b.r.Load(t.Context(), b.o, func(loaded, _ int64) {
		if calls++; calls == 2 { // the first page is loaded, and the job's result long made
			b.clock.move(time.Minute)
			editor := b.sf.AsBulk("loader@example.com")
			b.must(editor.Update("Contact", edited, map[string]any{"LastName": "Edited", "Email": nil}))
			b.must(editor.Update("Contact", last, map[string]any{"LastName": "Nobody was told"}))
			b.must(editor.Delete("Contact", removed))
			_, err := b.sink.Apply(t.Context(), pgsink.Batch{
				Changes: []pgsink.Change{
					{Table: b.o.Table, Kind: pgsink.Event, Row: b.decode(edited, "Edited", b.clock.Now())},
					{Table: b.o.Table, Kind: pgsink.Delete, Row: pgsink.Row{SFID: removed}},
				},
				Marks: []pgsink.Mark{{Object: "Contact", SFID: removed, Reason: "deleted during the load"}},
			})
			b.must(err)
		}
		var n int
		b.must(b.pool.QueryRow(t.Context(), "SELECT count(*) FROM salesforce.contact WHERE sfid = $1 OR sfid = $2 AND lastname <> 'Edited'", removed, edited).Scan(&n))
		seen = seen || n > 0 && calls > 1
	}))
	if calls < 4 || seen {
		t.Errorf("%d calls of progress, older values seen: %t", calls, seen)
	}
	b.hydrate()
	b.poll()
	b.equal()
}

// A page larger than a chunk is resumed within the page.
func TestLoadResumesWithinAPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const records = 25_000 // some chunks
	b.insertMany(records)
	b.sf.Fault(org.Fault{Path: `/results`, Verb: org.Cut, Times: 1})
	if err := b.r.Load(t.Context(), b.o, func(int64, int64) {}); err == nil {
		t.Fatal("the load did not break off")
	}
	state, err := b.sink.ReadState(t.Context(), "Contact")
	b.must(err)
	if state.LoadDone == 0 || state.LoadDone != state.Loaded || b.rows() != int(state.LoadDone) || state.LoadDone == records {
		t.Errorf("state %+v with %d rows", state, b.rows())
	}
	b.load()
	b.equal()
	if state, err = b.sink.ReadState(t.Context(), "Contact"); err != nil || state.Loaded != records {
		t.Errorf("%d records counted, %v", state.Loaded, err)
	}
}

// A load by REST that takes longer than its locator lives goes on where it was.
func TestLoadOutlivesItsLocator(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.sf.Fault(org.Fault{Path: `/jobs/query`, Verb: org.Reject, Status: 403, Body: `[{"message":"not enabled","errorCode":"API_DISABLED_FOR_ORG"}]`})
	const records = 3*pageSize + 10
	b.insertMany(records)
	most := int64(0)
	b.must(b.r.Load(t.Context(), b.o, func(loaded, _ int64) {
		if most = max(most, loaded); loaded > 0 {
			b.sf.ExpireLocators()
		}
	}))
	if most != records {
		t.Errorf("%d records were read, want each of %d once", most, records)
	}
	b.equal()
}

// An answer that ends early, at the end of a line, is not a page.
func TestLoadCountsAPage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.insertMany(smallLoad + 10)
	b.r.sf = &short{Source: b.r.sf}
	if err := b.r.Load(t.Context(), b.o, func(int64, int64) {}); err == nil {
		t.Fatal("a page with a record too few was loaded")
	}
	b.load()
	b.equal()
}

// short leaves out the last record of the first page.
type short struct {
	Source
	done bool
}

func (s *short) QueryResults(ctx context.Context, id, locator string, limit int) (salesforce.Results, error) {
	results, err := s.Source.QueryResults(ctx, id, locator, limit)
	if err == nil && !s.done {
		s.done = true
		body, rerr := io.ReadAll(results.Body)
		lines := bytes.SplitAfter(body, []byte("\"\n"))
		results.Body, err = io.NopCloser(bytes.NewReader(bytes.Join(lines[:len(lines)-2], nil))), errors.Join(rerr, results.Body.Close())
	}
	return results, err
}

// A reload never shows fewer rows, keeps their ids, and brings what was missed.
func TestReload(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const records = 20_000
	ids, err := b.sf.AsBulk("loader@example.com").InsertMany("Contact", names(records))
	b.must(err)
	b.load()
	numbers := func() (sum string) {
		b.must(b.pool.QueryRow(t.Context(), "SELECT md5(string_agg(id || sfid, ',' ORDER BY id)) FROM salesforce.contact").Scan(&sum))
		return sum
	}
	before := numbers()
	b.clock.move(time.Hour)
	for i := range 50 {
		b.must(b.sf.AsBulk("loader@example.com").Update("Contact", ids[i*300], map[string]any{"Title": "missed"}))
	}
	b.must(b.sink.WriteState(t.Context(), b.o.Name, func(s *pgsink.State) {
		s.LoadedAt, s.LoadStarted, s.Loaded = time.Time{}, time.Time{}, 0
	}))
	state, err := b.sink.ReadState(t.Context(), "Contact")
	b.must(err)
	if !state.LoadedAt.IsZero() || state.Loaded != 0 || state.DeletedMark.IsZero() {
		t.Errorf("state %+v", state)
	}
	deletedMark := state.DeletedMark

	var stop atomic.Bool
	counted := make(chan error, 1)
	go func() {
		for !stop.Load() {
			var n int
			if err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM salesforce.contact").Scan(&n); err != nil || n != records {
				counted <- fmt.Errorf("%d rows, %w", n, err)
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
		counted <- nil
	}()
	b.load()
	stop.Store(true)
	b.must(<-counted)
	if got := numbers(); got != before {
		t.Error("ids have changed")
	}
	b.equal()
	if state, err = b.sink.ReadState(t.Context(), "Contact"); err != nil || !state.DeletedMark.Equal(deletedMark) || state.Loaded != records {
		t.Errorf("state %+v, %v: deletes since the last poll would be missed", state, err)
	}
}

// Results are asked for, and read, compressed: they are much smaller then, and
// Salesforce sends them so to whoever can read it.
func TestLoadOfCompressedResults(t *testing.T) {
	t.Parallel()
	b := setup(t)
	target, err := url.Parse(b.sf.URL())
	b.must(err)
	var packed atomic.Int64
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.SetXForwarded()
		},
		ModifyResponse: func(resp *http.Response) error {
			switch path := resp.Request.URL.Path; {
			case strings.HasSuffix(path, "/token"): // the instance is the proxy
				body, err := io.ReadAll(resp.Body)
				body = bytes.ReplaceAll(body, []byte(target.Host), []byte(resp.Request.Header.Get("X-Forwarded-Host")))
				resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
				resp.Header.Del("Content-Length")
				return err
			case !strings.HasSuffix(path, "/results"), resp.StatusCode != http.StatusOK,
				!strings.Contains(resp.Request.Header.Get("Accept-Encoding"), "gzip"):
				return nil
			}
			packed.Add(1)
			out, in := io.Pipe()
			go func(body io.ReadCloser) {
				z := gzip.NewWriter(in)
				_, err := io.Copy(z, body)
				in.CloseWithError(errors.Join(err, z.Close(), body.Close()))
			}(resp.Body)
			resp.Body, resp.ContentLength = out, -1
			resp.Header.Set("Content-Encoding", "gzip")
			resp.Header.Del("Content-Length")
			return nil
		},
	})
	t.Cleanup(proxy.Close)
	client, err := salesforce.New(salesforce.Config{
		LoginURL: proxy.URL, Auth: salesforce.AuthPassword, ClientID: org.DefaultClientID, ClientSecret: org.DefaultClientSecret,
		Username: org.DefaultUsername, Password: org.DefaultPassword,
	})
	b.must(err)
	_, err = client.Login(t.Context())
	b.must(err)
	b.r.sf = client
	b.insertMany(5000)
	b.r.loadPage = 2000
	b.load()
	if n := packed.Load(); n != 3 {
		t.Errorf("%d pages came compressed, want 3", n)
	}
	b.equal()
}
