package salesforce

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"
)

// resultReader hands on the body of a result as it arrives. It ends with io.EOF
// only where the answer ends; a connection that is cut or idle for too long ends
// it with an [*Error].
type resultReader struct {
	client      *Client
	req         request
	parent, ctx context.Context //nolint:containedctx // they live as long as the body
	cancel      context.CancelCauseFunc
	idle        *time.Timer
	body        *bufio.Reader
	closer      io.Closer
}

// openStream checks that a result is CSV and arms the idle deadline.
func (c *Client) openStream(parent, ctx context.Context, cancel context.CancelCauseFunc, r request, raw *http.Response) (*answer, *Error) {
	s := &resultReader{
		client: c, req: r, parent: parent, ctx: ctx, cancel: cancel,
		body: bufio.NewReaderSize(raw.Body, 64<<10), closer: raw.Body,
		idle: time.AfterFunc(bulkIdle, func() { cancel(lateError{bulkIdle}) }),
	}
	media, _, _ := mime.ParseMediaType(raw.Header.Get("Content-Type"))
	first, err := s.body.Peek(1)
	s.idle.Stop()
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		_ = s.Close()
		return nil, c.cut(parent, ctx, r, raw.StatusCode, err)
	case media != "text/csv":
		_ = s.Close()
		return nil, c.unreadable(r, raw.StatusCode, "not CSV but "+plain(media), nil)
	case len(first) > 0 && (first[0] == '<' || first[0] == '{' || first[0] == '['):
		_ = s.Close()
		return nil, c.unreadable(r, raw.StatusCode, "not CSV", nil)
	}
	return &answer{req: r, status: raw.StatusCode, header: raw.Header, stream: s}, nil
}

// Read implements io.Reader. The deadline counts from the last byte received, not
// from the last Read: a slow consumer is not a slow server.
func (s *resultReader) Read(p []byte) (int, error) {
	s.idle.Reset(bulkIdle)
	n, err := s.body.Read(p)
	s.idle.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = &Error{
			Op: s.req.op, Status: http.StatusOK, Class: Transient,
			Err: fmt.Errorf("answer cut: %w", s.client.cause(s.parent, s.ctx, err)),
		}
	}
	return n, err
}

// Close releases the connection. It is needed whether or not all was read.
func (s *resultReader) Close() error {
	s.idle.Stop()
	s.cancel(nil)
	return s.closer.Close()
}
