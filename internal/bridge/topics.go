package bridge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"hcbridge/internal/salesforce"
	"hcbridge/pushtopic"
)

// topics lets package pushtopic keep its topics in the org.
type topics struct{ sf *salesforce.Client }

var _ pushtopic.API = topics{}

const pushTopic = "PushTopic"

// Find returns the topics whose names begin with prefix.
func (t topics) Find(ctx context.Context, prefix string) ([]pushtopic.Topic, error) {
	soql := "SELECT Id, Name, Query, ApiVersion, IsActive, NotifyForFields, NotifyForOperationCreate, NotifyForOperationUpdate, " +
		"NotifyForOperationDelete, NotifyForOperationUndelete, Description FROM PushTopic WHERE Name LIKE '" + strings.ReplaceAll(prefix, "_", `\_`) + "%'"
	page, err := t.sf.Query(ctx, soql, salesforce.QueryOpts{})
	var found []pushtopic.Topic
	for {
		if err != nil {
			return nil, err
		}
		for _, record := range page.Records {
			var topic pushtopic.Topic
			if err := json.Unmarshal(record, &topic); err != nil {
				return nil, fmt.Errorf("PushTopic record: %w", err)
			}
			topic.ID = salesforce.ID18(topic.ID) // as Create gives it
			found = append(found, topic)
		}
		if page.Done {
			return found, nil
		}
		page, err = t.sf.Next(ctx, page)
	}
}

// Create makes a topic.
func (t topics) Create(ctx context.Context, topic pushtopic.Topic) (string, error) {
	id, err := t.sf.Create(ctx, pushTopic, topicBody(topic))
	return id, blame(err)
}

// Update puts a topic back to what it should be.
func (t topics) Update(ctx context.Context, topic pushtopic.Topic) error {
	return blame(t.sf.Update(ctx, pushTopic, topic.ID, topicBody(topic)))
}

// Delete removes a topic.
func (t topics) Delete(ctx context.Context, id string) error {
	err := t.sf.Delete(ctx, pushTopic, id)
	if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Status == http.StatusNotFound {
		return nil // gone already
	}
	return err
}

// fieldError is an error about one field of a topic's query.
type fieldError struct {
	error
	field string
}

func (e fieldError) RefusedField() string { return e.field }

func (e fieldError) Unwrap() error { return e.error }

// blame finds the field that Salesforce refuses, so that the topic can do
// without it.
func blame(err error) error {
	var se *salesforce.Error
	if !errors.As(err, &se) {
		return err
	}
	if field := pushtopic.RefusedColumn(se.Message); field != "" {
		return fieldError{error: err, field: field}
	}
	return err
}

func topicBody(t pushtopic.Topic) map[string]any {
	return map[string]any{
		"Name": t.Name, "Query": t.Query, "ApiVersion": t.ApiVersion, "IsActive": t.IsActive, "NotifyForFields": t.NotifyForFields,
		"NotifyForOperationCreate": t.NotifyForOperationCreate, "NotifyForOperationUpdate": t.NotifyForOperationUpdate,
		"NotifyForOperationDelete": t.NotifyForOperationDelete, "NotifyForOperationUndelete": t.NotifyForOperationUndelete,
		"Description": t.Description,
	}
}

// refused says in one sentence why an object cannot be streamed, or reports
// false if err is a passing failure that is worth another try.
func refused(err error) (why string, final bool) {
	var se *salesforce.Error
	switch {
	case errors.Is(err, pushtopic.ErrUnsupported):
		return "PushTopics do not support this object; it is polled", true
	case errors.Is(err, pushtopic.ErrForeign):
		return "a PushTopic of the name that this object needs belongs to somebody else; it is polled", true
	case errors.Is(err, pushtopic.ErrTaken):
		return "the PushTopic of another bridge does not tell of every change, and is not ours to repair; it is polled", true
	case !errors.As(err, &se) || se.Class != salesforce.Permanent && se.Class != salesforce.Limit:
		return "", false
	case se.Code == "NOT_FOUND" || strings.HasPrefix(se.Code, "INSUFFICIENT_ACCESS") || se.Code == "INVALID_TYPE":
		return "no permission for PushTopics: grant Read and Create on PushTopic to the user; it is polled", true
	case se.Code == "LIMIT_EXCEEDED":
		return "the org has no room for another PushTopic; it is polled", true
	case se.Class == salesforce.Limit:
		return "", false
	}
	return "Salesforce refuses the PushTopic (" + se.Code + "); it is polled", true
}
