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
	"hcbridge/internal/web"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

// explorer asks an org what can be mapped.
type explorer struct {
	sf  catalog
	cfg *config.Config
}

// explore logs in, and returns the id of the org with it.
func explore(ctx context.Context, cfg *config.Config) (*salesforce.Client, string, error) {
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
	return sf, sess.OrgID, nil
}

// OrgObjects lists the objects that can be mapped, by name. It needs no
// database.
func OrgObjects(ctx context.Context, cfg *config.Config) ([]web.OrgObject, error) {
	sf, _, err := explore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	x := explorer{sf, cfg}
	return x.objects(ctx)
}

func (x *explorer) objects(ctx context.Context) ([]web.OrgObject, error) {
	all, err := x.sf.DescribeGlobal(ctx)
	if err != nil {
		return nil, err
	}
	var list []web.OrgObject
	for _, o := range all {
		if mappable(o) {
			list = append(list, x.object(o))
		}
	}
	slices.SortFunc(list, func(a, b web.OrgObject) int { return strings.Compare(a.Object, b.Object) })
	return list, nil
}

// mappable leaves out what is no table of records: setup data, and the objects
// that Salesforce derives from others. What remains may still lack
// SystemModstamp, which only its own description tells.
func mappable(o salesforce.SObject) bool {
	lower := strings.ToLower(o.Name)
	for _, suffix := range []string{"__share", "__history", "__feed", "__tag"} {
		if strings.HasSuffix(lower, suffix) {
			return false
		}
	}
	return noTable(o.Name) == "" && o.Queryable && o.Retrieveable && o.Replicateable && !o.DeprecatedAndHidden
}

func (x *explorer) object(o salesforce.SObject) web.OrgObject {
	return web.OrgObject{
		Object: o.Name, Label: o.Label, Table: pgsink.TableName(o.Name), Writeable: o.Createable && o.Updateable && o.Deletable,
		Streaming: pushtopic.Supported(o.Name, o.Custom), Mapped: find(x.cfg.Objects, o.Name) != nil,
	}
}

// find returns the settings of an object, or nil.
func find(objects []config.Object, name string) *config.Object {
	for i, o := range objects {
		if strings.EqualFold(o.Name, name) {
			return &objects[i]
		}
	}
	return nil
}

// Described is an object of the org, and what maps it.
type Described struct {
	Object   web.OrgObject
	Settings config.Object   // as the configuration has it, else read only; it names every field that is mapped
	Mapping  []config.Object // what is configured, and the object if it is not: with what was set, for [config.Env]
	OrgID    string
}

// DescribeObject describes one object with its fields. It needs no database.
func DescribeObject(ctx context.Context, cfg *config.Config, name string) (*Described, error) {
	sf, org, err := explore(ctx, cfg)
	if err != nil {
		return nil, err
	}
	x := explorer{sf, cfg}
	set := find(cfg.Objects, name)
	v, err := x.look(ctx, name, set)
	if err != nil {
		return nil, err
	}
	d := &Described{Object: v.object, Settings: v.settings, Mapping: configured(cfg), OrgID: org}
	if set == nil {
		d.Mapping = append(d.Mapping, v.settings)
		for i := range d.Object.Fields {
			d.Object.Fields[i].Mapped = false
		}
	}
	if len(d.Settings.Fields) == 0 {
		d.Settings.Fields = v.whole.fields
	}
	return d, nil
}

// looked is an object as the org has it, and what some settings make of it.
type looked struct {
	object   web.OrgObject
	settings config.Object
	whole    *mapping // with every field
	mapping  *mapping // as the settings say; nil if they are wrong
	wrong    error    // a *mappingError
}

// look describes an object and maps it by settings: those that are given, else
// read only, with every field.
func (x *explorer) look(ctx context.Context, name string, settings *config.Object) (*looked, error) {
	d, err := x.sf.Describe(ctx, name)
	if err != nil {
		if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Status == http.StatusNotFound {
			err = mappingErrorf("Salesforce has no object %s that this user may see: see hcbridge objects, or grant Read on the object", name)
		}
		return nil, err
	}
	v := &looked{object: x.object(d.SObject)}
	if settings != nil {
		v.settings = *settings
	} else {
		v.settings = config.Object{Name: d.Name, Mode: config.ModeStreaming, Access: config.AccessReadOnly}
		if !v.object.Streaming {
			v.settings.Mode = config.ModePolling
		}
		if i := slices.IndexFunc(d.Fields, isUpsertField); i >= 0 {
			v.settings.ExternalID = d.Fields[i].Name
		}
	}
	numeric := x.cfg.NumberType == config.NumberNumeric
	whole := v.settings
	whole.Fields, whole.ExternalID, whole.Indexes = nil, "", nil
	if v.whole, err = mapObject(ctx, x.sf, whole, x.cfg.Schema, numeric, nil); err != nil {
		return nil, err
	}
	if v.mapping, err = mapObject(ctx, x.sf, v.settings, x.cfg.Schema, numeric, nil); err != nil {
		if me := (*mappingError)(nil); !errors.As(err, &me) {
			return nil, err
		}
		v.wrong = err
	}
	x.fields(v, d)
	return v, nil
}

// isUpsertField reports whether inserts can be made upserts by f.
func isUpsertField(f salesforce.Field) bool { return f.ExternalID && f.Unique }

// fields adds to v.object what can be said of each field.
func (x *explorer) fields(v *looked, d *salesforce.Describe) {
	carried := func(fields ...pushtopic.Field) []string {
		spec, _ := pushtopic.Plan(d.Name, d.Custom, fields, x.cfg.Salesforce.APIVersion) // the object is not supported: nothing is carried
		return spec.Carried
	}
	used := v.mapping
	if used == nil {
		used = v.whole
	}
	topic := carried(used.topic...)
	for _, f := range d.Fields {
		field := web.OrgField{
			Field: f.Name, Label: f.Label, Type: f.Type,
			Writeable: f.Createable || f.Updateable, ExternalID: isUpsertField(f),
			Required: f.Createable && !f.Nillable && !f.DefaultedOnCreate && f.Type != "boolean",
			Mapped:   slices.Contains(used.fields, f.Name), Indexed: containsFold(v.settings.Indexes, f.Name),
			Always: slices.Contains([]string{"Id", "SystemModstamp", "IsDeleted", v.settings.ExternalID}, f.Name),
		}
		field.Column, field.ColumnType = v.whole.column(f.Name)
		fits := slices.Contains(carried(pushtopic.Field{Name: f.Name, Type: f.Type, Length: f.Length, Compound: f.CompoundFieldName}), f.Name)
		if field.Streaming = fits; field.Mapped {
			field.Streaming = slices.Contains(topic, f.Name)
		}
		switch {
		case field.Column == "" && (f.Type == "address" || f.Type == "location"):
			field.Note = "mapped by its parts"
		case field.Column == "":
			field.Note = "no column can hold it"
		case f.Calculated:
			field.Note = "computed: changes do not show in SystemModstamp"
		case f.Type == encrypted:
			field.Note = "masked unless the user has View Encrypted Data"
		case fits && !field.Streaming:
			field.Note = "more than the query of a PushTopic holds: read back after each event"
		}
		v.object.Fields = append(v.object.Fields, field)
	}
}

// column is where a field goes. Id is the column sfid.
func (m *mapping) column(field string) (name, pgType string) {
	for _, c := range m.table.Layout().Columns {
		if c.Field == field {
			return c.Name, c.PgType
		}
	}
	return "", ""
}

// Resolved returns the objects of the configuration as the org spells them, each
// with all fields that are mapped, and the id of the org. It needs no database.
func Resolved(ctx context.Context, cfg *config.Config) ([]config.Object, string, error) {
	sf, org, err := explore(ctx, cfg)
	if err != nil {
		return nil, "", err
	}
	all, err := describeAll(ctx, sf, cfg.Objects)
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
		o.Name, o.ExternalID, o.Fields = m.cfg.Name, m.spec.ExternalID, slices.Concat(m.fields, m.binary)
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
