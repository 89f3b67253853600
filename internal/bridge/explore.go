package bridge

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

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
	ExternalID bool   `json:"external_id"` // fit for HC_OBJECT_<NAME>_EXTERNAL_ID: unique
	Mapped     bool   `json:"mapped"`
	Note       string `json:"note,omitempty"`
}

// explorer asks an org what can be mapped.
type explorer struct {
	sf  *salesforce.Client
	cfg *config.Config
}

func explore(ctx context.Context, cfg *config.Config) (*explorer, string, error) {
	sf, err := NewSalesforce(cfg, zerolog.Nop())
	if err != nil {
		return nil, "", err
	}
	sess, err := sf.Login(ctx)
	if err != nil {
		if ce := authConfigError(cfg, err); ce != nil {
			return nil, "", ce
		}
		return nil, "", err
	}
	return &explorer{sf, cfg}, sess.OrgID, nil
}

// OrgObjects lists the objects that can be mapped, by name. It needs no
// database.
func OrgObjects(ctx context.Context, cfg *config.Config) ([]OrgObject, error) {
	x, _, err := explore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	all, err := x.sf.DescribeGlobal(ctx)
	if err != nil {
		return nil, err
	}
	var list []OrgObject
	for _, o := range all {
		if mappable(o) {
			list = append(list, x.object(o))
		}
	}
	slices.SortFunc(list, func(a, b OrgObject) int { return strings.Compare(a.Object, b.Object) })
	return list, nil
}

// mappable leaves out what is no table of records: setup data, and the objects
// that Salesforce derives from others. What remains may still lack
// SystemModstamp, which only its own description tells.
func mappable(o salesforce.SObject) bool {
	lower := strings.ToLower(o.Name)
	for _, suffix := range []string{"__kav", "__mdt", "__e", "__b", "__x", "__share", "__history", "__feed", "__tag", "changeevent", "articleversion"} {
		if strings.HasSuffix(lower, suffix) {
			return false
		}
	}
	return o.Queryable && o.Retrieveable && o.Replicateable && !o.DeprecatedAndHidden
}

func (x *explorer) object(o salesforce.SObject) OrgObject {
	return OrgObject{
		Object: o.Name, Label: o.Label, Table: pgsink.TableName(o.Name), Writeable: o.Createable && o.Updateable && o.Deletable,
		Streaming: pushtopic.Supported(o.Name, o.Custom), Mapped: x.mapped(o.Name) != nil,
	}
}

func (x *explorer) mapped(object string) *config.Object {
	for i, o := range x.cfg.Objects {
		if strings.EqualFold(o.Name, object) {
			return &x.cfg.Objects[i]
		}
	}
	return nil
}

// DescribeObject returns one object with its fields, the id of the org, and
// what to set to map it: as the configuration has it, else read only, with
// every field that can be mapped. It needs no database.
func DescribeObject(ctx context.Context, cfg *config.Config, name string) (OrgObject, config.Object, string, error) {
	x, org, err := explore(ctx, cfg)
	if err != nil {
		return OrgObject{}, config.Object{}, "", err
	}
	d, err := x.sf.Describe(ctx, name)
	if err != nil {
		if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Status == http.StatusNotFound {
			err = mappingErrorf("Salesforce has no object %s that this user may see: see hcbridge objects, or grant Read on the object", name)
		}
		return OrgObject{}, config.Object{}, "", err
	}
	configured := x.mapped(d.Name)
	asked := config.Object{Name: d.Name, Mode: config.ModeStreaming, Access: config.AccessReadOnly}
	if configured != nil {
		asked = *configured
	} else if !pushtopic.Supported(d.Name, d.Custom) {
		asked.Mode = config.ModePolling
	}
	whole := asked
	whole.Fields, whole.ExternalID, whole.Indexes = nil, "", nil
	m, err := mapObject(ctx, x.sf, whole, cfg.Schema, cfg.NumberType == config.NumberNumeric, nil)
	if err != nil {
		return OrgObject{}, config.Object{}, "", err
	}
	var carried []string
	if spec, err := pushtopic.Plan(d.Name, d.Custom, m.topic, cfg.Salesforce.APIVersion); err == nil {
		carried = spec.Carried
	}
	o := x.object(d.SObject)
	for _, f := range d.Fields {
		field := OrgField{
			Field: f.Name, Label: f.Label, Type: f.Type, Streaming: slices.Contains(carried, f.Name),
			Writeable: f.Createable || f.Updateable, ExternalID: f.ExternalID && f.Unique,
			Mapped: configured != nil && (len(configured.Fields) == 0 || containsFold(configured.Fields, f.Name)),
		}
		field.Column, field.ColumnType = m.column(f.Name)
		switch {
		case field.Column == "":
			field.Mapped, field.Note = false, "no column can hold it"
			if f.Type == "address" || f.Type == "location" {
				field.Note = "mapped by its parts"
			}
		case f.Calculated:
			field.Note = "computed: changes do not show in SystemModstamp"
		case f.Type == "encryptedstring":
			field.Note = "masked unless the user has View Encrypted Data"
		}
		o.Fields = append(o.Fields, field)
	}
	if len(asked.Fields) == 0 {
		asked.Fields = m.fields
	}
	if i := slices.IndexFunc(o.Fields, func(f OrgField) bool { return f.ExternalID }); asked.ExternalID == "" && i >= 0 {
		asked.ExternalID = o.Fields[i].Field
	}
	return o, asked, org, nil
}

// column is where a field goes. Id is the column sfid.
func (m *mapping) column(field string) (name, pgType string) {
	if field == "Id" {
		return "sfid", "character varying(18)"
	}
	for _, c := range m.table.Columns {
		if c.Field == field {
			return c.Name, c.PgType
		}
	}
	return "", ""
}

// Resolved returns the objects of the configuration as the org spells them, each
// with all fields that are mapped, and the id of the org. It needs no database.
func Resolved(ctx context.Context, cfg *config.Config) ([]config.Object, string, error) {
	x, org, err := explore(ctx, cfg)
	if err != nil {
		return nil, "", err
	}
	all, err := describeAll(ctx, x.sf, cfg.Objects)
	if err != nil {
		return nil, "", err
	}
	var objects []config.Object
	var errs []error
	for _, o := range cfg.Objects {
		m, err := mapObject(ctx, all, o, cfg.Schema, false, nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		o.Name, o.ExternalID, o.Fields = m.cfg.Name, m.spec.ExternalID, m.fields
		o.Indexes = nil
		for _, f := range m.spec.Fields {
			if f.Indexed && !f.Unique {
				o.Indexes = append(o.Indexes, f.Name)
			}
		}
		objects = append(objects, o)
	}
	return objects, org, errors.Join(errs...)
}
