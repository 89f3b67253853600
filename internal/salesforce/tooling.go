package salesforce

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
)

// Selected returns the change events that an administrator has selected for
// the standard channel of Change Data Capture, such as "AccountChangeEvent".
// The user needs View Setup and Configuration.
//
// Tooling API Developer Guide, "PlatformEventChannelMember".
func (c *Client) Selected(ctx context.Context) ([]string, error) {
	const soql = "SELECT DeveloperName, EventChannel, SelectedEntity FROM PlatformEventChannelMember"
	page, err := c.page(ctx, request{op: "tooling query", method: http.MethodGet, path: c.base() + "/tooling/query?q=" + url.QueryEscape(soql)})
	if err != nil {
		return nil, err
	}
	var selected []string
	for _, record := range page.Records {
		var member struct{ DeveloperName, EventChannel, SelectedEntity string }
		if err := json.Unmarshal(record, &member); err != nil {
			return nil, invalid("tooling query", "a PlatformEventChannelMember is unreadable: %v", err)
		}
		if member.EventChannel == "ChangeEvents" || strings.HasPrefix(member.DeveloperName, "ChangeEvents_") {
			selected = append(selected, member.SelectedEntity)
		}
	}
	return selected, nil
}
