package pushtopic

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

const (
	prefix  = "hc_"
	maxName = 25 // "Object Reference, PushTopic, Name"
	hashLen = 8

	// Before the object in the Description of a topic that a bridge made, and
	// before that bridge; see at for what may follow.
	mark = "hcbridge: "
	by   = " of "
)

// Name returns the name of the topic of object: "hc_" and the object, or, if
// that is longer than the 25 characters allowed, its beginning, "_" and a hash
// of the whole.
func Name(object string) string {
	if len(prefix)+len(object) <= maxName {
		return prefix + object
	}
	sum := sha256.Sum256([]byte(object))
	head := object[:maxName-len(prefix)-1-hashLen]
	return prefix + head + "_" + hex.EncodeToString(sum[:])[:hashLen]
}

// Channel returns the channel to subscribe for a topic, "/topic/" and its name.
func Channel(name string) string { return channelPrefix + name }

const channelPrefix = "/topic/"

// description is what marks the topic of object as that of a bridge.
func description(object, bridge string) string { return mark + object + by + bridge }

// claim returns the object and the bridge that a topic was made for, false if
// no bridge made it. The name must fit too, so that a copy somebody made of a
// topic is not taken for it.
func claim(t Topic) (object, bridge string, ok bool) {
	rest, ok := strings.CutPrefix(t.Description, mark)
	if !ok {
		return "", "", false
	}
	object, bridge, _ = strings.Cut(rest, by)
	bridge, _, _ = strings.Cut(bridge, at)
	return object, bridge, strings.EqualFold(t.Name, Name(object))
}
