package pushtopic

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrForeign reports that the org has a topic with our name that no bridge
// made. A person must rename or delete it.
var ErrForeign = errors.New("topic is not ours")

// ErrTaken reports that the topic is that of another bridge and does not tell
// of every change, as one does that somebody edited and its bridge has not
// repaired.
var ErrTaken = errors.New("topic of another bridge does not tell of every change")

// Topic is a PushTopic record. Its JSON form is that of REST.
type Topic struct {
	ID                         string  `json:"Id,omitempty"`
	Name                       string  `json:"Name"`
	Query                      string  `json:"Query"`
	ApiVersion                 float64 `json:"ApiVersion"`
	IsActive                   bool    `json:"IsActive"`
	NotifyForFields            string  `json:"NotifyForFields"`
	NotifyForOperationCreate   bool    `json:"NotifyForOperationCreate"`
	NotifyForOperationUpdate   bool    `json:"NotifyForOperationUpdate"`
	NotifyForOperationDelete   bool    `json:"NotifyForOperationDelete"`
	NotifyForOperationUndelete bool    `json:"NotifyForOperationUndelete"`
	Description                string  `json:"Description"`
}

// API reads and writes the PushTopics of an org.
type API interface {
	// Find returns the topics whose names begin with prefix; it may return
	// others too.
	Find(ctx context.Context, prefix string) ([]Topic, error)

	// Create makes a topic, whose ID is empty, and returns its id. An error
	// about one field of the query should implement RefusedField; see
	// [RefusedField].
	Create(ctx context.Context, t Topic) (id string, err error)

	// Update sets all fields of the topic t.ID. Errors are as for Create.
	Update(ctx context.Context, t Topic) error

	// Delete removes a topic. That it is gone already is no error.
	Delete(ctx context.Context, id string) error
}

// RefusedField returns the field that an error of an [API] blames: what the
// method RefusedField() string of an error in its chain returns, else "".
func RefusedField(err error) string {
	var r interface{ RefusedField() string }
	if errors.As(err, &r) {
		return r.RefusedField()
	}
	return ""
}

// RefusedColumn returns the field that a message of Salesforce blames, as in
// "No such column 'StateCode' on entity 'Lead'. If you are ...", else "". It is
// for writing the RefusedField method of an error.
func RefusedColumn(message string) string {
	_, rest, ok := strings.Cut(message, "No such column '")
	if !ok {
		return ""
	}
	field, _, ok := strings.Cut(rest, "'")
	if !ok || !plain(field) {
		return ""
	}
	return field
}

// Action is what [Ensure] did.
type Action int

// The actions of [Ensure].
const (
	Kept     Action = iota // the topic was as it should be
	Created                // there was none
	Repaired               // there was one, but different
	Shared                 // there was one of another bridge, which is used as it is
)

// String returns the action in lower case, for logs.
func (a Action) String() string {
	switch a {
	case Created:
		return "created"
	case Repaired:
		return "repaired"
	case Shared:
		return "shared"
	default:
		return "kept"
	}
}

// Ensure makes the org's topic as spec says and returns it. bridge is who asks,
// at most 255 bytes. Fields that the org refuses move from Carried to
// Left; the spec returned is the one in effect. What is not ours is left alone:
// the topic of another bridge is [Shared] if it tells of every change, whatever
// fields it carries, else [ErrTaken], and any other is [ErrForeign].
//
// A repaired topic keeps its id and its replay ids, a new one has its own.
func Ensure(ctx context.Context, api API, bridge string, spec Spec) (Topic, Spec, Action, error) {
	have, err := find(ctx, api, spec)
	for err == nil {
		var (
			t      = spec.topic(bridge)
			action = Kept
			fault  error
		)
		switch {
		case have == nil:
			action = Created
			t.ID, fault = api.Create(ctx, t)
		case !have.describedAs(t.Description) && !have.tellsAll(spec.Object):
			return Topic{}, spec, Kept, fmt.Errorf("ensure topic %s: %w", spec.Name, ErrTaken)
		case !have.describedAs(t.Description):
			return *have, spec, Shared, nil
		case !have.matches(t):
			action = Repaired
			t.ID, t.Description = have.ID, have.Description
			fault = api.Update(ctx, t)
		default:
			return *have, spec, action, nil
		}
		if fault == nil {
			return t, spec, action, nil
		}
		if less, ok := spec.without(RefusedField(fault)); ok {
			spec = less
			continue
		}
		// Another bridge may have made the topic since we looked.
		if have == nil {
			if have, err = find(ctx, api, spec); have != nil || err != nil {
				continue
			}
		}
		err = fault
	}
	return Topic{}, spec, Kept, fmt.Errorf("ensure topic %s: %w", spec.Name, err)
}

// find returns the topic of spec, of whatever bridge, if there is one, nil if
// not.
func find(ctx context.Context, api API, spec Spec) (*Topic, error) {
	topics, err := api.Find(ctx, spec.Name)
	if err != nil {
		return nil, err
	}
	for _, t := range topics {
		if !strings.EqualFold(t.Name, spec.Name) {
			continue
		}
		if object, _, ok := claim(t); !ok || !strings.EqualFold(object, spec.Object) {
			return nil, ErrForeign
		}
		return &t, nil
	}
	return nil, nil
}

// Remove deletes the topics of bridge, except those that keep names, by object
// or by topic. It returns the names of the deleted ones also when others could
// not be deleted.
func Remove(ctx context.Context, api API, bridge string, keep []string) (removed []string, err error) {
	topics, err := api.Find(ctx, prefix)
	if err != nil {
		return nil, fmt.Errorf("remove topics: %w", err)
	}
	var problems []error
	for _, t := range topics {
		object, maker, ok := claim(t)
		kept := slices.ContainsFunc(keep, func(name string) bool {
			return strings.EqualFold(name, object) || strings.EqualFold(name, t.Name)
		})
		if !ok || maker != bridge || kept {
			continue
		}
		if err := api.Delete(ctx, t.ID); err != nil {
			problems = append(problems, fmt.Errorf("remove topic %s: %w", t.Name, err))
			continue
		}
		removed = append(removed, t.Name)
	}
	return removed, errors.Join(problems...)
}

// topic is the record that spec asks for.
func (s Spec) topic(bridge string) Topic {
	version, _ := strconv.ParseFloat(s.APIVersion, 64) // Plan has checked it
	return Topic{
		Name: s.Name, Query: s.Query, ApiVersion: version, IsActive: true,
		NotifyForFields:            "All",
		NotifyForOperationCreate:   true,
		NotifyForOperationUpdate:   true,
		NotifyForOperationDelete:   true,
		NotifyForOperationUndelete: true,
		Description:                description(s.Object, bridge),
	}
}

// matches reports whether t is as want says, but for its id, its description, and
// the spaces and the order of the fields in its query: a describe may list them in
// another order after a release.
func (t Topic) matches(want Topic) bool {
	t.ID, t.Description = want.ID, want.Description
	if sorted(t.Query) == sorted(want.Query) {
		t.Query = want.Query
	}
	return t == want
}

// tellsAll reports whether t, whatever it carries, gives an event of every change
// of object that a stream can carry: without a WHERE clause.
func (t Topic) tellsAll(object string) bool {
	_, from, _ := strings.Cut(strings.ToLower(compact(t.Query)), " from ")
	return from == strings.ToLower(object) && t.IsActive && t.NotifyForFields == "All" &&
		t.NotifyForOperationCreate && t.NotifyForOperationUpdate && t.NotifyForOperationDelete && t.NotifyForOperationUndelete
}

// sorted is a query with its fields in alphabetical order.
func sorted(query string) string {
	query = compact(query)
	list, rest, ok := strings.Cut(strings.TrimPrefix(query, "SELECT "), " FROM ")
	if !ok {
		return query
	}
	fields := strings.Split(list, ",")
	slices.Sort(fields)
	return "SELECT " + strings.Join(fields, ",") + " FROM " + rest
}

func compact(query string) string {
	query = strings.Join(strings.Fields(query), " ")
	return strings.ReplaceAll(query, ", ", ",")
}
