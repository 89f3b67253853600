package bayeux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-resty/resty/v2"
)

// longPolling is the transport "long-polling": one POST per batch.
type longPolling struct {
	client   *resty.Client
	base     http.RoundTripper
	jar      http.CookieJar
	endpoint string
	token    string
	maxReply int64
	buffers  sync.Pool // of *bytes.Buffer
}

// newLongPolling returns a transport for one session. Each has a cookie jar of
// its own: the cookies of the handshake bind it to one server, those of another
// session would lead it astray ("Streaming API Developer Guide, Clients and
// Cookies for Streaming API").
func newLongPolling(base http.RoundTripper, endpoint, token string, maxReply int64) (*longPolling, error) {
	if err := checkEndpoint(endpoint); err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("cookie jar: %w", err)
	}
	client := resty.NewWithClient(&http.Client{
		Transport: base,
		Jar:       jar,
		// The token is for this host only, and a POST that was turned into a
		// GET of a login page has no answer for us.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	})
	client.SetDoNotParseResponse(true).SetDisableWarn(true)
	return &longPolling{client: client, base: base, jar: jar, endpoint: endpoint, token: token, maxReply: maxReply}, nil
}

// checkEndpoint lets a token out over https, and over http to this machine.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	if err != nil || u.Host == "" || u.User != nil {
		return fmt.Errorf("%w: not an absolute URL", ErrEndpoint)
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return fmt.Errorf("%w: %s://%s is not https", ErrEndpoint, u.Scheme, u.Host)
	}
	return nil
}

func (p *longPolling) kind() string { return typeLongPolling }

func (p *longPolling) exchange(ctx context.Context, batch []byte) ([]byte, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// A reader and not the bytes: those resty would copy to a buffer that it
	// reuses as soon as the answer begins, which can be before it is sent.
	res, err := p.client.R().
		SetContext(ctx).
		SetHeader("Content-Type", "application/json;charset=UTF-8").
		SetHeader("Accept", "application/json").
		SetHeader("Authorization", "Bearer "+p.token).
		SetBody(bytes.NewReader(batch)).
		Post(p.endpoint)
	if err != nil {
		return nil, &Error{Err: cause(ctx, err)}
	}
	defer res.RawBody().Close()

	if status := res.StatusCode(); status != http.StatusOK {
		// Drained, so that the connection can be used again. It is the edge
		// that speaks here, mostly in HTML; nothing in it is for us.
		_, _ = io.CopyN(io.Discard, res.RawBody(), 64<<10)
		return nil, &Error{HTTPStatus: status, retryAfter: retryAfter(res.Header().Get("Retry-After"))}
	}
	if media, _, _ := mime.ParseMediaType(res.Header().Get("Content-Type")); strings.HasSuffix(media, "html") {
		return nil, &Error{Err: fmt.Errorf("reply is %s", media)}
	}
	return p.read(ctx, cancel, res)
}

func (p *longPolling) read(ctx context.Context, cancel context.CancelCauseFunc, res *resty.Response) ([]byte, error) {
	length := res.RawResponse.ContentLength
	if length > p.maxReply {
		return nil, &Error{Err: fmt.Errorf("%w: %d bytes of at most %d", errTooLarge, length, p.maxReply)}
	}
	// Read into a buffer that is used again and copied from there: a reply of
	// unknown length would go through many that grow, and be cleared in each.
	body, _ := p.buffers.Get().(*bytes.Buffer)
	if body == nil {
		body = &bytes.Buffer{}
	}
	defer p.buffers.Put(body)
	body.Reset()
	rest := &steady{Reader: res.RawBody(), cancel: cancel}
	defer rest.stop()
	n, err := body.ReadFrom(io.LimitReader(rest, p.maxReply+1))
	if err != nil {
		return nil, &Error{Err: fmt.Errorf("reply cut off after %d bytes: %w", n, cause(ctx, err))}
	}
	if n > p.maxReply {
		return nil, &Error{Err: fmt.Errorf("%w: more than %d bytes", errTooLarge, p.maxReply)}
	}
	return bytes.Clone(body.Bytes()), nil
}

// steady ends a request of whose reply a part has come, and then nothing for long: a
// connect is held before its reply begins, not within it.
type steady struct {
	io.Reader
	cancel context.CancelCauseFunc
	timer  *time.Timer // nil until something has come
}

func (s *steady) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	switch {
	case n == 0:
	case s.timer == nil:
		s.timer = time.AfterFunc(stallTimeout, func() { s.cancel(fmt.Errorf("no more of the reply in %s", stallTimeout)) })
	default:
		s.timer.Reset(stallTimeout)
	}
	return n, err //nolint:wrapcheck // a Reader's
}

func (s *steady) stop() {
	if s.timer != nil {
		s.timer.Stop()
	}
}

// cause replaces an error that is only the end of ctx by the reason for that,
// and drops the URL that net/http puts before the others.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

// retryAfter reads the header of that name, in seconds.
func retryAfter(header string) time.Duration {
	seconds, err := strconv.Atoi(header)
	if err != nil || seconds < 0 {
		return 0
	}
	return min(time.Duration(min(seconds, 3600))*time.Second, maxInterval)
}
