package web

import "context"

// OrgObject is an object of the org that can be mapped, or cannot and why.
type OrgObject struct {
	Object    string     `json:"object"`
	Label     string     `json:"label"`
	Table     string     `json:"table"`
	Writeable bool       `json:"writeable"` // the user may create, edit and delete
	Streaming bool       `json:"streaming"` // PushTopics support it
	Mapped    bool       `json:"mapped"`    // the configuration names it
	Fields    []OrgField `json:"fields,omitempty"`
}

// OrgField is one field of an object.
type OrgField struct {
	Field      string `json:"field"`
	Label      string `json:"label"`
	Type       string `json:"type"`                  // Salesforce's
	Column     string `json:"column,omitempty"`      // empty: it cannot be mapped
	ColumnType string `json:"column_type,omitempty"` // Postgres's
	Streaming  bool   `json:"streaming"`             // a PushTopic carries it
	Writeable  bool   `json:"writeable"`
	Required   bool   `json:"required"`    // a new record needs a value
	ExternalID bool   `json:"external_id"` // fit for HC_OBJECT_<NAME>_EXTERNAL_ID: unique
	Mapped     bool   `json:"mapped"`
	Indexed    bool   `json:"indexed"`
	Note       string `json:"note,omitempty"`

	Always bool `json:"-"` // syncing needs it: mapped whether it is chosen or not
}

// Choice is what a person has chosen on the mapping page. It is all that the page
// remembers: the server keeps nothing.
type Choice struct {
	Block    string    // environment block with what was chosen before; empty = what is configured
	Settings *Settings // new settings of an object of the block; nil = none
	Drop     string    // object to take out of the block; empty = none
	Show     string    // object to look at, and to add to the block if it is not there; empty = none
}

// Settings are those of one object, as a form has them.
type Settings struct {
	Object, Mode, Access, ExternalID string
	PollInterval                     string // a Go duration; empty = HC_POLL_INTERVAL
	Every                            bool   // map every field that can be mapped, else Fields
	Fields                           []string
	Parents                          string // parents' external ids, comma separated: Account__r.Code__c
	Indexes                          []string
}

// Mapping is what a choice makes.
type Mapping struct {
	Trouble  string      // why the org could not be asked; Objects and Object are missing then
	Problems []string    // what is wrong with the choice
	Objects  []OrgObject // all that can be mapped, by name
	Chosen   []Chosen    // in the order of the block
	Dropped  []string    // objects that are synced now and not in the block
	Object   *Detail     // the object that is looked at

	Block       string // the environment block
	File        string // the same as a Heroku Connect export; empty if that cannot be told
	FileTrouble string // why not
}

// Chosen is an object of the block.
type Chosen struct {
	Object, Mode, Access string
	Fields               int    // 0 = every one that can be mapped
	Change               string // beside what is synced now: "new", "changed" or empty
}

// Detail is one object with its settings and the table they make.
type Detail struct {
	OrgObject

	Mode, Access, ExternalID string
	PollInterval             string // empty = HC_POLL_INTERVAL
	Every                    bool
	Parents                  string
	ExternalIDs              []string // fields that may be ExternalID

	Columns []Column // empty: the table cannot be told, and Problems say why
	Indexes []Index
}

// Column is one column of a table.
type Column struct {
	Name, Type string
	Field      string // Salesforce's; empty = of the bridge
}

// Index is one index of a table.
type Index struct {
	Name, Column string
	Unique       bool
}

// Plan tells what a choice makes. What goes wrong is part of the answer.
type Plan func(ctx context.Context, c Choice) Mapping
