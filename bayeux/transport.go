package bayeux

import "context"

// Names of the connection types. ("Bayeux 1.0, connectionType"; websocket is
// CometD's and faye's addition)
const (
	typeLongPolling = "long-polling"
	typeWebSocket   = "websocket"
)

// transport carries batches of messages to the server and brings the answers.
// A session uses it for at most two exchanges at a time.
type transport interface {
	// kind is the connection type by which the server knows the transport.
	kind() string

	// exchange sends one batch, a JSON array, and returns the whole answer to
	// it. Whatever keeps it from that is an *Error, without Channel. It
	// returns promptly when ctx ends.
	exchange(ctx context.Context, batch []byte) ([]byte, error)
}

// upgrader is a transport that can open a connection of the kind websocket for
// the session it belongs to.
type upgrader interface {
	upgrade(ctx context.Context) (duplex, error)
}

// duplex is a connection on which both sides send when they like, in order.
// One goroutine may read and one may write at a time; errors are *Error.
type duplex interface {
	read() ([]byte, error)    // the next batch; blocks
	write(batch []byte) error // has a deadline of its own
	close()                   // also ends a read that is under way
}
