package bayeux

import "context"

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
