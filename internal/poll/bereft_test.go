package poll

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// A parent goes between the reading and the writing of a page that names it, or while
// the table of its children is put aside. Their stamps tell nothing, and nobody is told
// of the parent again.
func TestBereft(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]func(w *mergers){
		"FirstLoad": func(w *mergers) {
			w.beforeWriting(func() { w.merge(); w.read() })
			w.load()
		},
		"FirstLoadBeforeTheParentsRowGoes": func(w *mergers) {
			var judged readings
			w.beforeWriting(func() {
				w.merge()
				p := reading{marks: []pgsink.Mark{{Object: "Account", SFID: w.loser, Reason: pgsink.ReasonGone}}}
				var err error
				judged, err = w.r.judge(w.t.Context(), w.account, &p)
				w.must(err)
			})
			w.load()
			_, err := w.sink.Apply(w.t.Context(), judged.Batch)
			w.must(err)
		},
		"BulkReadOfAPoll": func(w *mergers) {
			w.load()
			w.clock.move(time.Hour)
			w.tell()
			state, err := w.r.beginBulk(w.t.Context(), w.o, window{from: [depths]time.Time{w.clock.Now().Add(-48 * time.Hour)}}, 1)
			w.must(err)
			w.beforeWriting(func() {
				w.merge()
				w.read()
				if v := w.value("contact", "accountid", w.child); v != w.winner {
					w.t.Errorf("the child refers to %s, want the winner %s", v, w.winner)
				}
			})
			w.must(w.r.bulkRows(w.t.Context(), w.o, state))
		},
		"PutAside": func(w *mergers) {
			w.load()
			w.merge()
			w.account.Children = nil
			w.read()
			w.load() // as at the next beginning
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			w := &mergers{bundle: b}
			w.account, w.loser, w.child = b.family()
			b.o.Parents = []Parent{{Column: "accountid", Objects: []string{"Account"}}}
			people := b.sf.AsBulk("loader@example.com")
			var err error
			w.winner, err = people.Insert("Account", map[string]any{"Name": "Winner"})
			b.must(err)
			b.must(b.r.Load(t.Context(), w.account, func(int64, int64) {}))
			b.clock.move(24 * time.Hour)
			b.tell()
			run(w)
			b.hydrate(w.account)
			if v := b.value("contact", "accountid", w.child); v != w.winner {
				t.Errorf("the child refers to %s, want the winner %s", v, w.winner)
			}
			b.equal()
		})
	}
}

// mergers is a contact whose account is merged into another.
type mergers struct {
	*bundle

	account              Object
	winner, loser, child string
}

func (w *mergers) merge() {
	w.must(w.sf.AsBulk("loader@example.com").Merge("Account", w.winner, w.loser))
}

// read hears of the merge, and reads back what is known to have changed by it.
func (w *mergers) read() {
	w.must(w.r.mark(w.t.Context(), []pgsink.Mark{{Object: "Account", SFID: w.loser, Reason: pgsink.ReasonGone}}))
	w.hydrate(w.account)
}

// beforeWriting calls fn when the next page of contacts is read, and not written yet.
func (w *mergers) beforeWriting(fn func()) {
	w.r.sf = pages{w.client, sync.OnceFunc(func() {
		w.r.sf = w.client
		fn()
	})}
}

// pages calls fn after a page of contacts, or of a job's result, was read.
type pages struct {
	Source

	fn func()
}

func (p pages) Query(ctx context.Context, soql string, o salesforce.QueryOpts) (*salesforce.Page, error) {
	page, err := p.Source.Query(ctx, soql, o)
	if strings.Contains(soql, "FROM Contact ORDER BY Id") {
		p.fn()
	}
	return page, err
}

func (p pages) QueryResults(ctx context.Context, id, locator string, limit int) (salesforce.Results, error) {
	results, err := p.Source.QueryResults(ctx, id, locator, limit)
	if err == nil {
		body, rerr := io.ReadAll(results.Body)
		results.Body, err = io.NopCloser(bytes.NewReader(body)), errors.Join(rerr, results.Body.Close())
		p.fn()
	}
	return results, err
}
