package truth

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"hcbridge/test/org/sobject"
)

// wire is an Org in JSON. A record is its values in the order of its object's
// fields, formulas computed and compound fields left out.
type wire struct {
	ID, User string
	Clients  int
	Calls    map[string]int
	Objects  []wireObject
	Changes  []wireChange
}

type wireObject struct {
	Name    string
	Fields  []wireField
	Records []wireRecord
}

type wireField struct{ Name, Type string }

type wireRecord struct {
	ID      string
	Deleted bool      `json:",omitempty"`
	Purged  bool      `json:",omitempty"`
	Created time.Time `json:",omitzero"`
	Stamp   time.Time `json:",omitzero"`
	Nonce   uint64
	Values  []any
}

type wireChange struct {
	Tx            uint64
	At            time.Time
	User, API     string
	Kind          sobject.OpKind
	Object        string
	Cascade       bool        `json:",omitempty"`
	Replay        int64       `json:",omitempty"`
	Before, After *wireRecord `json:",omitempty"`
}

// MarshalJSON implements [json.Marshaler].
func (o *Org) MarshalJSON() ([]byte, error) {
	w := wire{ID: o.ID, User: o.User, Clients: o.Clients, Calls: o.Calls}
	for name, ob := range o.Objects {
		to := wireObject{Name: name}
		for _, i := range plain(ob) {
			to.Fields = append(to.Fields, wireField{ob.Fields[i].Name, ob.Fields[i].Type})
		}
		for _, r := range o.All[name] {
			to.Records = append(to.Records, *pack(ob, r))
		}
		w.Objects = append(w.Objects, to)
	}
	for _, c := range o.Changes {
		if o.Objects[c.Object.Name] == nil {
			continue
		}
		to := wireChange{Tx: c.Tx, At: c.At, User: c.User, API: c.API, Kind: c.Kind, Object: c.Object.Name, Cascade: c.Cascade, Replay: c.Replay}
		if c.Before.ID != "" {
			to.Before = pack(c.Object, c.Before)
		}
		if c.After.ID != "" {
			to.After = pack(c.Object, c.After)
		}
		w.Changes = append(w.Changes, to)
	}
	return json.Marshal(w)
}

// UnmarshalJSON implements [json.Unmarshaler].
func (o *Org) UnmarshalJSON(text []byte) error {
	var w wire
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&w); err != nil {
		return err
	}
	*o = Org{ID: w.ID, User: w.User, Clients: w.Clients, Calls: w.Calls, Objects: map[string]*sobject.Object{}, All: map[string][]sobject.Record{}}
	for _, from := range w.Objects {
		ob := &sobject.Object{Name: from.Name}
		for _, f := range from.Fields {
			ob.Fields = append(ob.Fields, &sobject.Field{Name: f.Name, Type: f.Type})
		}
		o.Objects[ob.Name] = ob
		for i := range from.Records {
			o.All[ob.Name] = append(o.All[ob.Name], unpack(ob, &from.Records[i]))
		}
	}
	for _, c := range w.Changes {
		ob := o.Objects[c.Object]
		if ob == nil {
			return fmt.Errorf("a change of %s, which is not among the objects", c.Object)
		}
		o.Changes = append(o.Changes, Change{Tx: c.Tx, At: c.At, User: c.User, API: c.API, Kind: c.Kind, Object: ob, Cascade: c.Cascade, Replay: c.Replay, Before: unpack(ob, c.Before), After: unpack(ob, c.After)})
	}
	return nil
}

// plain lists the fields of an object that have one value.
func plain(ob *sobject.Object) (list []int) {
	for i, f := range ob.Fields {
		if !f.IsCompound() {
			list = append(list, i)
		}
	}
	return list
}

func pack(ob *sobject.Object, r sobject.Record) *wireRecord {
	w := &wireRecord{ID: r.ID, Deleted: r.Deleted, Purged: r.Purged, Created: r.Created, Stamp: r.Stamp, Nonce: r.Nonce}
	for _, i := range plain(ob) {
		v := r.At(ob, i)
		if t, is := v.(time.Time); is {
			v = t.Format(time.RFC3339Nano)
		}
		w.Values = append(w.Values, v)
	}
	return w
}

func unpack(ob *sobject.Object, w *wireRecord) sobject.Record {
	if w == nil {
		return sobject.Record{}
	}
	r := sobject.Record{ID: w.ID, Deleted: w.Deleted, Purged: w.Purged, Created: w.Created, Stamp: w.Stamp, Nonce: w.Nonce}
	for i, v := range w.Values {
		if i < len(ob.Fields) {
			v = typed(ob.Fields[i], v)
		}
		r.Values = append(r.Values, v)
	}
	return r
}

// Get asks the control of an org at base, "http://127.0.0.1:8801", for its truth.
func Get(ctx context.Context, base string, objects []string) (*Org, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/_org/truth?objects="+url.QueryEscape(strings.Join(objects, ",")), nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, fmt.Errorf("the org's truth: %w", err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("the org's truth: %s", answer.Status)
	}
	o := &Org{}
	if err := json.NewDecoder(answer.Body).Decode(o); err != nil {
		return nil, fmt.Errorf("the org's truth: %w", err)
	}
	return o, nil
}
