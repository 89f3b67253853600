package bayeux

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/gorilla/websocket"
)

const (
	upgradeTimeout = 15 * time.Second
	writeTimeout   = 15 * time.Second
)

// socket is a connection of the kind websocket: one JSON array per text frame
// in either direction. It needs no pings, since the connects that go over it
// have deadlines; those of the server are answered.
type socket struct {
	conn *websocket.Conn
}

// upgrade opens a WebSocket to the endpoint, with the token and the cookies of
// the session. Redirects are not followed.
func (p *longPolling) upgrade(ctx context.Context) (duplex, error) {
	u, err := url.Parse(p.endpoint)
	if err != nil {
		return nil, &Error{Err: err}
	}
	u.Scheme = map[string]string{"http": "ws", "https": "wss"}[u.Scheme]
	ctx, cancel := context.WithTimeoutCause(ctx, upgradeTimeout, fmt.Errorf("no upgrade in %s", upgradeTimeout))
	defer cancel()
	dialer := newDialer(p.base)
	dialer.Jar = p.jar
	conn, res, err := dialer.DialContext(ctx, u.String(), http.Header{"Authorization": {"Bearer " + p.token}})
	if err != nil {
		e := &Error{Err: cause(ctx, err)}
		if res != nil {
			res.Body.Close()
			e.HTTPStatus = res.StatusCode
		}
		return nil, e
	}
	res.Body.Close()
	conn.SetReadLimit(p.maxReply)
	return &socket{conn}, nil
}

// newDialer dials as base does, as far as that can be known.
func newDialer(base http.RoundTripper) *websocket.Dialer {
	d := &websocket.Dialer{Proxy: http.ProxyFromEnvironment, HandshakeTimeout: upgradeTimeout}
	t, ok := base.(*http.Transport)
	if !ok {
		return d
	}
	d.Proxy, d.NetDialContext = t.Proxy, t.DialContext
	if t.TLSClientConfig != nil {
		d.TLSClientConfig = t.TLSClientConfig.Clone()
	} else {
		d.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	d.TLSClientConfig.NextProtos = []string{"http/1.1"} // there is no upgrade in HTTP/2
	return d
}

func (s *socket) read() ([]byte, error) {
	_, r, err := s.conn.NextReader()
	var frame bytes.Buffer
	if err == nil {
		_, err = frame.ReadFrom(r)
	}
	switch {
	case errors.Is(err, websocket.ErrReadLimit):
		return nil, &Error{Err: fmt.Errorf("%w: a frame", errTooLarge)}
	case err != nil:
		return nil, &Error{Err: fmt.Errorf("websocket: %w", err)}
	default:
		return frame.Bytes(), nil
	}
}

func (s *socket) write(batch []byte) error {
	_ = s.conn.SetWriteDeadline(time.Now().Add(writeTimeout)) // cannot fail
	if err := s.conn.WriteMessage(websocket.TextMessage, batch); err != nil {
		return &Error{Err: fmt.Errorf("websocket: %w", err)}
	}
	return nil
}

func (s *socket) close() {
	bye := websocket.FormatCloseMessage(websocket.CloseNormalClosure, "")
	_ = s.conn.WriteControl(websocket.CloseMessage, bye, time.Now().Add(time.Second)) // if it can be said
	s.conn.Close()
}
