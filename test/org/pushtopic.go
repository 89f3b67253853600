package org

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"hcbridge/test/org/sobject"
	"hcbridge/test/org/soql"
)

const pushTopic = "PushTopic"

// streamable are the standard objects that a topic may select from; custom
// objects all may. (Streaming API Developer Guide, "Supported PushTopic Queries".)
var streamable = map[string]bool{
	"Account": true, "Campaign": true, "Case": true, "Contact": true, "ContractLineItem": true, "Entitlement": true,
	"Lead": true, "LiveChatTranscript": true, "MessagingSession": true, "Opportunity": true, "Quote": true,
	"QuoteLineItem": true, "ServiceAppointment": true, "ServiceContract": true, "Task": true,
	"UserServicePresence": true, "WorkOrder": true, "WorkOrderLineItem": true,
}

// checkTopic is the trigger that keeps PushTopic records valid. It runs for
// every writer, whichever API carries the record.
func (s *Server) checkTopic(d *sobject.Draft) error {
	if d.Object.Name != pushTopic || d.Kind != sobject.Insert && d.Kind != sobject.Update && d.Kind != sobject.Undelete {
		return nil
	}
	if version, _ := d.Get("ApiVersion").(json.Number); version != "" {
		if n, err := version.Float64(); err != nil || n <= 20 {
			return refuse("INVALID_FIELD", "API version must be greater than 20.0", "ApiVersion")
		}
	}
	text, _ := d.Get("Query").(string)
	name, _ := d.Get("Name").(string)
	mode, _ := d.Get("NotifyForFields").(string)
	if text == "" || len(name) > 25 || len(text) > 1300 {
		return nil // the field's own rules refuse it
	}
	if _, err := s.compile(text, mode, d.Tx.Origin.UserID); err != nil {
		return err
	}
	if active, _ := d.Get("IsActive").(bool); active && !s.topics.room(d) {
		return refuse("LIMIT_EXCEEDED", "The maximum number of active PushTopics has been reached")
	}
	return d.Set("NotifyForOperations", operations(d))
}

// operations derives the field that replaced by the four flags in version 29.
func operations(d *sobject.Draft) string {
	create, _ := d.Get("NotifyForOperationCreate").(bool)
	update, _ := d.Get("NotifyForOperationUpdate").(bool)
	switch {
	case create && update:
		return "All"
	case create:
		return "Create"
	case update:
		return "Update"
	}
	return "Extended"
}

func refuse(code, message string, fields ...string) *sobject.Error {
	if fields == nil {
		fields = []string{}
	}
	return &sobject.Error{Status: http.StatusBadRequest, Code: code, Message: message, Fields: fields}
}

// compile parses a topic's query and applies the rules for topics.
// (Streaming API Developer Guide, "Unsupported PushTopic Queries"; the texts
// in quotes there are the texts here.)
func (s *Server) compile(text, mode, userID string) (*soql.Query, error) {
	text = strings.TrimSuffix(strings.TrimSpace(text), ";")
	q, err := soql.Parse(text)
	if err != nil {
		return nil, topicError(err)
	}
	for _, rule := range []struct {
		broken  bool
		message string
	}{
		{q.SemiJoin, "semi/anti join sub-selects are not supported"},
		{q.Aggregate || q.Count, "Aggregate queries are not supported"},
		{q.Limit >= 0, "'LIMIT' is not allowed"},
		{q.Relationship || q.Subquery, "relationships are not supported"},
		{len(q.OrderBy) > 0, "'ORDER BY' clause is not allowed"},
		{q.Not, "'NOT' is not supported"},
		{q.Offset >= 0, "'OFFSET' clause is not allowed"},
		{q.TypeOf, "'TYPEOF' clause is not allowed"},
	} {
		if rule.broken {
			return nil, refuse("INVALID_FIELD", rule.message, "Query")
		}
	}
	ob := s.store.Object(q.From)
	if ob != nil && !ob.Custom && !streamable[ob.Name] {
		return nil, refuse("INVALID_FIELD", "entity "+ob.Name+" is not supported in a PushTopic query", "Query")
	}
	visible := func(ob *sobject.Object, f *sobject.Field) bool { return !s.hides(userID, ob, f) }
	if err := q.Bind(s.store, visible); err != nil {
		return nil, topicError(err)
	}
	return q, topicFields(q, mode)
}

// topicFields checks the columns against the mode. (Streaming API Developer
// Guide, "NotifyForFields Set to …".)
func topicFields(q *soql.Query, mode string) error {
	ob := q.Object()
	chosen, filtered := q.SelectFields(), q.WhereFields()
	if !slices.Contains(chosen, "Id") {
		return refuse("INVALID_FIELD", "The query must select the Id field", "Query")
	}
	for _, name := range filtered {
		if f := ob.Field(name); f.Type == "textarea" || f.Calculated {
			return refuse("INVALID_FIELD", "field "+name+" cannot be filtered in a PushTopic query", "Query")
		}
	}
	other := func(names []string) bool {
		return slices.ContainsFunc(names, func(n string) bool { return n != "Id" })
	}
	switch {
	case mode == "Referenced" && !other(chosen) && !other(filtered):
		return refuse("INVALID_FIELD", "NotifyForFields Referenced needs a field other than Id in SELECT or WHERE", "Query")
	case mode == "Select" && !other(chosen):
		return refuse("INVALID_FIELD", "NotifyForFields Select needs a field other than Id in SELECT", "Query")
	case mode == "Where" && !other(filtered):
		return refuse("INVALID_FIELD", "NotifyForFields Where needs a field other than Id in WHERE", "Query")
	}
	return nil
}

// topicError gives a query error its form on a PushTopic: the message without
// the marked query text, and the field that holds the query.
func topicError(err error) error {
	var e *soql.Error
	if !errors.As(err, &e) {
		return err
	}
	message := e.Detail
	if message == "" {
		message = e.Message
	}
	return refuse(e.Code, message, "Query")
}
