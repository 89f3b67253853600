package rig

import (
	"encoding/json"
	"fmt"
	"strings"
)

const (
	// telling is how long a text must be to be looked for: shorter ones are found by
	// chance.
	telling = 8
	// mostTexts is how many texts of an object are looked for, of its first records
	// and of its last: some tests make a hundred thousand.
	mostTexts = 200
	// tokenMark is in every access token of the org, and in nothing else.
	tokenMark = "!AR8AQ"
)

// Secrets returns what a log or an output of the program must not hold and
// holds: secrets of the settings or of the org.
func (r *Rig) Secrets(text string) (found []string) {
	for _, name := range []string{
		"DATABASE_URL", "HC_LISTEN_DATABASE_URL", "HC_SALESFORCE_CLIENT_SECRET", "HC_SALESFORCE_PASSWORD",
		"HC_SALESFORCE_JWT_KEY", "HC_SALESFORCE_REFRESH_TOKEN", "HC_HTTP_TOKEN",
	} {
		if secret := r.Env[name]; len(secret) >= telling && strings.Contains(text, secret) {
			found = append(found, "the value of "+name)
		}
	}
	if strings.Contains(text, tokenMark) {
		found = append(found, "an access token")
	}
	return found
}

// values returns what a log must not hold and holds: texts of records. A log
// has its own words in event, component, op and message, which are not looked at.
func (r *Rig) values(log string) (found []string) {
	for object := range strings.SplitSeq(r.Env["HC_OBJECTS"], ",") {
		ob := r.SF.Object(object)
		if ob == nil {
			continue
		}
		records := r.SF.Records(object)
		if len(records) > mostTexts {
			records = append(records[:mostTexts/2:mostTexts/2], records[len(records)-mostTexts/2:]...)
		}
		seen := map[string]bool{}
		for _, record := range records {
			for i, field := range ob.Fields {
				text, _ := record.At(ob, i).(string)
				switch field.Type {
				case "string", "textarea", "email", "phone", "url":
				default:
					continue
				}
				if len(text) < telling || seen[text] || len(seen) >= mostTexts || !strings.Contains(log, text) {
					continue
				}
				seen[text] = true
				if line, ok := lineWith(log, text); ok {
					found = append(found, fmt.Sprintf("%s.%s %q: %s", object, field.Name, text, line))
				}
			}
		}
	}
	return found
}

// lineWith finds the first line of a log that has the text in a value.
func lineWith(log, text string) (string, bool) {
	for line := range strings.Lines(log) {
		if !strings.Contains(line, text) {
			continue
		}
		var entry map[string]any
		if json.Unmarshal([]byte(line), &entry) != nil {
			return line, true
		}
		for _, own := range []string{"event", "component", "op", "message"} {
			delete(entry, own)
		}
		if strings.Contains(fmt.Sprint(entry), text) {
			return line, true
		}
	}
	return "", false
}
