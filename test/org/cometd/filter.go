package cometd

import (
	"encoding/json"
	"fmt"
	"strings"
)

// filter is the part of a subscription after "?": conditions of which one must
// hold. "&" is the only joiner and means OR (Streaming API Developer Guide,
// "Filtered Subscriptions").
type filter []condition

type condition struct{ field, value string }

// splitSubscription separates a channel from its filter.
func splitSubscription(subscription string) (string, filter) {
	name, query, ok := strings.Cut(subscription, "?")
	if !ok {
		return name, nil
	}
	var f filter
	for part := range strings.SplitSeq(query, "&") {
		field, value, _ := strings.Cut(part, "=")
		f = append(f, condition{
			field: strings.TrimSpace(field),
			value: strings.Trim(strings.TrimSpace(value), "'"),
		})
	}
	return name, f
}

// match reports whether an event of a PushTopic passes.
func (f filter) match(data json.RawMessage) bool {
	if len(f) == 0 {
		return true
	}
	var body struct {
		SObject map[string]any `json:"sobject"`
	}
	if json.Unmarshal(data, &body) != nil {
		return false
	}
	for _, c := range f {
		for name, value := range body.SObject {
			if strings.EqualFold(name, c.field) && value != nil && fmt.Sprint(value) == c.value {
				return true
			}
		}
	}
	return false
}
