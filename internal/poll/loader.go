package poll

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"golang.org/x/sync/errgroup"

	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
)

// loadWriters is how many chunks of a load are written at a time. Writing is
// what a load waits for, and one connection does not use the database's cores.
const loadWriters = 2

// loader moves the result of a Bulk query into a table: one goroutine fetches
// and decodes while others write, so that no transaction waits for Salesforce.
//
//	page ─▶ page ─▶ …     read    ─ work ─▶    write, write
//	                              ◀─ free ─
//
// Chunks are as many as there are goroutines, whatever the size of the result.
type loader struct {
	r        *Reader
	o        Object
	total    int64
	progress Progress

	work chan work
	free chan *pgsink.Chunk

	mu   sync.Mutex                    // guards what follows, and calls of progress
	done map[int64]pgsink.LoadPosition // written chunks, by number, and where each ends
	next int64                         // the first chunk that is not written
	at   pgsink.LoadPosition           // where the one before it ends
}

// work is a chunk to be written.
type work struct {
	number int64
	chunk  *pgsink.Chunk
	end    pgsink.LoadPosition
}

func newLoader(r *Reader, o Object, state pgsink.State, progress Progress) *loader {
	l := &loader{
		r: r, o: o, total: state.ToLoad, progress: progress,
		work: make(chan work), free: make(chan *pgsink.Chunk, loadWriters+1),
		done: map[int64]pgsink.LoadPosition{},
		at:   pgsink.LoadPosition{Job: state.LoadJob, Locator: state.LoadLocator, Done: state.LoadDone, Loaded: state.Loaded},
	}
	for range cap(l.free) {
		l.free <- &pgsink.Chunk{}
	}
	return l
}

// run loads from where the state says to the end. When reading breaks off, what
// was read is written still; when writing does, reading stops.
func (l *loader) run(ctx context.Context) error {
	var g errgroup.Group
	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	start := l.at
	g.Go(func() error {
		defer close(l.work)
		return l.read(reading, start)
	})
	for range loadWriters {
		g.Go(func() error {
			err := l.write(ctx)
			if err != nil {
				stop(err)
			}
			return err
		})
	}
	err := g.Wait()
	if err == nil {
		return nil
	}
	// A chunk that was written before an earlier one has not stored how far the
	// load has come. The rows are durable, so it may be said now.
	return errors.Join(err, l.r.sink.WriteState(ctx, l.o.Name, func(s *pgsink.State) {
		s.LoadLocator, s.LoadDone, s.Loaded = l.at.Locator, l.at.Done, l.at.Loaded
	}))
}

// read cuts page after page into chunks.
func (l *loader) read(ctx context.Context, at pgsink.LoadPosition) error {
	for number := int64(0); ; {
		results, err := l.r.sf.QueryResults(ctx, at.Job, at.Locator, l.r.loadPage)
		if err != nil {
			return err
		}
		err = l.readPage(ctx, results, &at, &number)
		if cerr := results.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil || results.Locator == "" {
			return err
		}
	}
}

// readPage cuts one page. at is where it is to begin, and then where it ends.
func (l *loader) readPage(ctx context.Context, page salesforce.Results, at *pgsink.LoadPosition, number *int64) error {
	chunks, err := l.o.Table.Chunks(page.Body, at.Done)
	if err != nil {
		return err
	}
	for end := false; !end; {
		var chunk *pgsink.Chunk
		select {
		case chunk = <-l.free:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		err := chunks.Next(chunk)
		if end = errors.Is(err, io.EOF); err != nil && !end {
			return err
		}
		at.Done, at.Loaded = at.Done+chunk.Rows, at.Loaded+chunk.Rows
		if end && page.Count >= 0 && at.Done != int64(page.Count) {
			return fmt.Errorf("a page of %s has %d records instead of %d", l.o.Name, at.Done, page.Count)
		}
		if end && page.Locator != "" {
			at.Locator, at.Done = page.Locator, 0
		}
		select {
		case l.work <- work{number: *number, chunk: chunk, end: *at}:
			*number++
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// write writes chunks until there are no more.
func (l *loader) write(ctx context.Context) error {
	for w := range l.work {
		if err := l.r.sink.LoadChunk(ctx, w.chunk, func() (pgsink.LoadPosition, bool) { return l.reached(w) }); err != nil {
			return err
		}
		l.free <- w.chunk
		l.wrote(w)
	}
	return nil
}

// reached is how far the load has come when w is written. It is asked within
// the transaction that writes w: the position never runs ahead of the rows. ok
// is false while an earlier chunk is still being written.
func (l *loader) reached(w work) (at pgsink.LoadPosition, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.number != l.next {
		return at, false
	}
	at = w.end
	for n := w.number + 1; ; n++ {
		end, ok := l.done[n]
		if !ok {
			return at, true
		}
		at = end
	}
}

// wrote notes that w is durable.
func (l *loader) wrote(w work) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.done[w.number] = w.end
	for {
		end, ok := l.done[l.next]
		if !ok {
			break
		}
		delete(l.done, l.next)
		l.at = end
		l.next++
	}
	l.progress(l.at.Loaded, max(l.at.Loaded, l.total))
}
