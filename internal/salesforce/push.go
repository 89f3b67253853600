package salesforce

import (
	"context"
	"net/http"
)

// Push publishes an event with text as its payload, at most 3,000 characters, on
// the StreamingChannel with that id.
//
// Streaming API Developer Guide, "Streaming Channel Push".
func (c *Client) Push(ctx context.Context, channelID, text string) error {
	const op = "push"
	if !idForm(channelID) {
		return invalid(op, "not an id")
	}
	body, err := encode(op, map[string]any{"pushEvents": []any{map[string]any{"payload": text, "userIds": []string{}}}})
	if err != nil {
		return err
	}
	_, err = c.do(ctx, request{op: op, method: http.MethodPost, path: c.base() + "/sobjects/StreamingChannel/" + channelID + "/push", body: body})
	return err
}
