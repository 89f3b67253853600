package pushtopic

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// at comes between a bridge and its epoch in the Description of a topic.
const at = " at epoch "

// Epoch returns the highest epoch that the topics of bridge bear, and the name of
// the topic that does; 0 if none does.
func Epoch(ctx context.Context, api API, bridge string) (epoch int64, topic string, err error) {
	topics, err := api.Find(ctx, prefix)
	if err != nil {
		return 0, "", fmt.Errorf("epoch of topics: %w", err)
	}
	for _, t := range topics {
		if _, maker, ok := claim(t); ok && maker == bridge && t.epoch() > epoch {
			epoch, topic = t.epoch(), t.Name
		}
	}
	return epoch, topic, nil
}

// SetEpoch notes epoch in one topic of bridge: the one that bears an epoch already,
// else any. Where there is none, it does nothing.
func SetEpoch(ctx context.Context, api API, bridge string, epoch int64) error {
	topics, err := api.Find(ctx, prefix)
	if err != nil {
		return fmt.Errorf("epoch of topics: %w", err)
	}
	var bearer *Topic
	for i, t := range topics {
		if _, maker, ok := claim(t); ok && maker == bridge && (bearer == nil || t.epoch() > bearer.epoch()) {
			bearer = &topics[i]
		}
	}
	if bearer == nil {
		return nil
	}
	said, _, _ := strings.Cut(bearer.Description, at)
	bearer.Description = said + at + strconv.FormatInt(epoch, 10)
	if err := api.Update(ctx, *bearer); err != nil {
		return fmt.Errorf("epoch of topic %s: %w", bearer.Name, err)
	}
	return nil
}

// epoch is the one in the Description, 0 without one: anybody may have edited it.
func (t Topic) epoch() int64 {
	_, text, _ := strings.Cut(t.Description, at)
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// describedAs reports whether t's Description is want, with or without an epoch.
func (t Topic) describedAs(want string) bool {
	said, _, _ := strings.Cut(t.Description, at)
	return said == want
}
