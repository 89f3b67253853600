package bayeux

import "strings"

// Match reports whether channel is one of those that pattern stands for: itself,
// with a last segment of "*" any one segment there, with "**" one or more.
// ("Bayeux 1.0, Channel Globbing") A filter after "?" in pattern is not looked at.
func Match(pattern, channel string) bool {
	pattern = replayKey(pattern)
	if parent, deep := strings.CutSuffix(pattern, "/**"); deep {
		rest, below := strings.CutPrefix(channel, parent+"/")
		return below && rest != ""
	}
	if parent, flat := strings.CutSuffix(pattern, "/*"); flat {
		rest, below := strings.CutPrefix(channel, parent+"/")
		return below && rest != "" && !strings.Contains(rest, "/")
	}
	return pattern == channel
}

// isService reports whether channel is a service channel. What is published
// there goes to the server only, and what comes from there was sent to this
// client; there is nothing to subscribe. ("Bayeux 1.0, Service Channels")
func isService(channel string) bool { return strings.HasPrefix(channel, "/service/") }

func isMeta(channel string) bool { return strings.HasPrefix(channel, "/meta/") }
