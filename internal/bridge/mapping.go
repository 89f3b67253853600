package bridge

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"hcbridge/config"
	"hcbridge/internal/poll"
	"hcbridge/internal/salesforce"
	"hcbridge/outbox"
	"hcbridge/pgsink"
	"hcbridge/pushtopic"
)

// mappingError says why an object cannot be mapped, and what to do about it.
// It stops that object only.
type mappingError struct{ text string }

func (e *mappingError) Error() string { return e.text }

func mappingErrorf(format string, args ...any) error {
	return &mappingError{text: fmt.Sprintf(format, args...)}
}

// mapping is what one object of the configuration means, given what the org
// says of it.
type mapping struct {
	cfg     config.Object
	custom  bool
	table   *pgsink.Table
	spec    pgsink.Spec
	outbox  outbox.Table
	topic   []pushtopic.Field
	change  changeEvents
	fields  []string // API names to read
	frozen  []string // API names that were mapped once and are not to be seen now; sorted
	binary  []string // fields that are named and that no column can hold: files, in base64
	narrow  []string // columns that could not be made as long as their fields; of ensure
	foreign []string // text columns of fields that are no text; of ensure
	refill  bool     // its rows were another's, and lack columns; of ensure
	added   bool     // columns were added to a table that was there; of ensure
	delete  bool     // the object has IsDeleted
	known   bool     // it was mapped before

	lookups map[string][]string // per lookup that is mapped: objects it may refer to
	moving  []string            // fields that change without a new SystemModstamp
	merges  bool                // the object has MasterRecordId
	authors bool                // and CreatedById
	logged  bool                // getDeleted and getUpdated work for it
}

// unmappable are the types that no single column can hold, or that cost one
// call per record to read.
var unmappable = []string{"address", "location", "base64", "complexvalue"}

// noTable says why an object of this name is no table of records that can be
// synced, empty if it may be one.
func noTable(object string) string {
	lower := strings.ToLower(object)
	for suffix, why := range map[string]string{
		"__kav": "articles show only with a filter by PublishStatus", "articleversion": "articles show only with a filter by PublishStatus",
		"__mdt": "it is custom metadata, not data", "__e": "it is a platform event, which is not kept", "changeevent": "it is a change event, which is not kept",
		"__b": "it is a big object, which has no SystemModstamp", "__x": "it is an external object, which Salesforce does not hold",
	} {
		if strings.HasSuffix(lower, suffix) {
			return why
		}
	}
	return ""
}

// describer is the part of Salesforce that mapping asks.
type describer interface {
	Describe(ctx context.Context, object string) (*salesforce.Describe, error)
}

// mapObject resolves cfg against the org. known are the fields that have been
// mapped before: those of them that are wanted and gone are frozen, where
// otherwise a field that does not exist is a mistake of the configuration.
// Errors are *mappingError where a person must change something, else those of
// the call.
func mapObject(ctx context.Context, sf describer, cfg config.Object, schema string, numeric bool, known []string) (*mapping, error) {
	if why := noTable(cfg.Name); why != "" {
		return nil, mappingErrorf("%s cannot be synced: %s", cfg.Name, why)
	}
	d, err := sf.Describe(ctx, cfg.Name)
	if err != nil {
		if se := (*salesforce.Error)(nil); errors.As(err, &se) && se.Status == http.StatusNotFound {
			return nil, mappingErrorf("Salesforce has no object %s that this user may see: correct HC_OBJECTS, or grant Read on the object", cfg.Name)
		}
		return nil, err
	}
	if d.Field("SystemModstamp") == nil || !d.Queryable {
		return nil, mappingErrorf("%s cannot be synced: it is not queryable or has no SystemModstamp", d.Name)
	}
	cfg, binary := withoutBinary(cfg, d)
	fields, frozen, err := chooseFields(ctx, sf, cfg, d, known)
	if err != nil {
		return nil, err
	}
	m := &mapping{cfg: cfg, custom: d.Custom, frozen: frozen, binary: binary, lookups: map[string][]string{}, merges: d.Field("MasterRecordId") != nil, authors: d.Field("CreatedById") != nil, logged: d.Replicateable}
	m.cfg.Name = d.Name
	spec := pgsink.Spec{Schema: schema, Object: d.Name, ReadWrite: cfg.Access == accessReadWrite, Numeric: numeric}
	if cfg.ExternalID != "" {
		f := d.Field(cfg.ExternalID)
		if f == nil || f.Type == "id" || (!f.ExternalID && !f.IDLookup) {
			return nil, mappingErrorf("%s is not an external id field of %s: correct HC_OBJECT_%s_EXTERNAL_ID, or mark the field as External ID and Unique", cfg.ExternalID, d.Name, strings.ToUpper(d.Name))
		}
		spec.ExternalID = f.Name
	}
	for _, f := range fields {
		m.fields = append(m.fields, f.name)
	}
	indexed := m.indexed()
	for _, f := range fields {
		spec.Fields = append(spec.Fields, pgsink.Field{
			Name: f.name, Type: f.Type, Length: f.Length, Precision: f.Precision, Scale: f.Scale,
			Long: longArea(f.Field), Indexed: indexed[f.name], Unique: f.name == spec.ExternalID, Fixed: !f.Updateable || f.Type == encrypted,
		})
		m.topic = append(m.topic, pushtopic.Field{Name: f.name, Type: f.Type, Length: f.Length, Compound: f.CompoundFieldName})
		m.change.add(f)
		m.delete = m.delete || f.name == "IsDeleted"
		if f.relationship != "" || f.Calculated {
			m.moving = append(m.moving, f.name)
		} else if len(f.ReferenceTo) > 0 {
			m.lookups[f.name] = f.ReferenceTo
		}
	}
	for _, name := range cfg.Indexes {
		if containsField(m.fields, name) || containsField(frozen, name) {
			continue
		}
		if len(cfg.Fields) > 0 && !containsField(cfg.Fields, name) { // variables that say so are refused at the start
			return nil, mappingErrorf("the mapping file has an index on %s of %s, which is not among HC_OBJECT_%s_FIELDS: correct the indexes in the file that HC_MAPPING_FILE names, or add the field", name, d.Name, strings.ToUpper(d.Name))
		}
		return nil, mappingErrorf("%s has no field %s that is mapped: correct HC_OBJECT_%s_INDEXES, or grant Read on the field", d.Name, name, strings.ToUpper(d.Name))
	}
	m.spec = spec
	if m.table, err = pgsink.NewTable(spec); err != nil {
		return nil, mappingErrorf("%s: %v", d.Name, err)
	}
	m.outbox = outboxTable(m.table, spec, fields)
	m.addFrozen()
	m.outbox.Events = cfg.Mode != config.ModePolling
	return m, nil
}

// longArea reports a long or rich text area. Those are longer than a text area, of
// which Salesforce may say that it is plain, too.
func longArea(f salesforce.Field) bool {
	return f.Type == "textarea" && f.Length > 255 && (f.HTMLFormatted || f.ExtraTypeInfo == "plaintextarea" || f.ExtraTypeInfo == "richtextarea")
}

// field is a field that was chosen: the org's own, or a parent's.
type field struct {
	salesforce.Field
	name         string // as mapped: Name, or Account__r.External_Id__c
	relationship string // Account__r for a parent's field
	parentObject string // Account for a parent's field; "" where the lookup is to several objects
	parentField  string // External_Id__c for a parent's field
}

// chooseFields returns the fields to map, those that syncing needs first, and
// the names of those that are wanted and known but gone.
func chooseFields(ctx context.Context, sf describer, cfg config.Object, d *salesforce.Describe, known []string) (fields []field, frozen []string, err error) {
	add := func(f field) {
		if !slices.ContainsFunc(fields, func(g field) bool { return g.name == f.name }) {
			fields = append(fields, f)
		}
	}
	for _, name := range []string{"Id", "SystemModstamp", "IsDeleted"} {
		if f := d.Field(name); f != nil {
			add(field{Field: *f, name: f.Name})
		}
	}
	names := cfg.Fields
	if len(names) == 0 {
		for _, f := range d.Fields {
			if !slices.Contains(unmappable, f.Type) {
				add(field{Field: f, name: f.Name})
			}
		}
		// Parents' fields are wanted only where they are named.
		names = slices.DeleteFunc(slices.Clone(known), func(name string) bool { return strings.Contains(name, ".") })
	} else if cfg.ExternalID != "" {
		names = append(slices.Clone(names), cfg.ExternalID)
	}
	for _, name := range names {
		f, err := chooseField(ctx, sf, cfg, d, name)
		var me *mappingError
		was := indexField(known, name)
		switch {
		case err == nil:
			add(f)
		case errors.As(err, &me) && was >= 0:
			frozen = append(frozen, known[was])
		default:
			return nil, nil, err
		}
	}
	slices.Sort(frozen)
	return fields, slices.Compact(frozen), nil
}

// withoutBinary takes the fields out of cfg that hold files, and returns their names. A
// Heroku Connect export may name them, although they did not sync there either.
func withoutBinary(cfg config.Object, d *salesforce.Describe) (config.Object, []string) {
	var binary []string
	cfg.Fields = slices.DeleteFunc(slices.Clone(cfg.Fields), func(name string) bool {
		f := d.Field(name)
		if f == nil || f.Type != "base64" {
			return false
		}
		binary = append(binary, f.Name)
		return true
	})
	if len(binary) > 0 && len(cfg.Fields) == 0 {
		cfg.Fields = []string{"Id"} // they were all that was named, and an empty list would mean all there are
	}
	slices.Sort(binary)
	return cfg, slices.Compact(binary)
}

// chooseField resolves one name.
func chooseField(ctx context.Context, sf describer, cfg config.Object, d *salesforce.Describe, name string) (field, error) {
	if rel, parentField, dotted := strings.Cut(name, "."); dotted {
		return parent(ctx, sf, cfg, d, rel, parentField)
	}
	f := d.Field(name)
	if f == nil {
		if rel, parentField, ok := joined(d, name); ok {
			return parent(ctx, sf, cfg, d, rel, parentField)
		}
		return field{}, mappingErrorf("%s has no field %s that this user may see: correct HC_OBJECT_%s_FIELDS, or grant Read on the field", d.Name, name, strings.ToUpper(d.Name))
	}
	if slices.Contains(unmappable, f.Type) {
		return field{}, mappingErrorf("%s.%s has type %s, which no column can hold: take it out of HC_OBJECT_%s_FIELDS and name its parts instead", d.Name, f.Name, f.Type, strings.ToUpper(d.Name))
	}
	return field{Field: *f, name: f.Name}, nil
}

// joined takes a name apart in which a Heroku Connect export has joined a
// relationship and a parent's field: Account__Code__c is Account.Code__c.
func joined(d *salesforce.Describe, name string) (rel, parentField string, ok bool) {
	for _, f := range d.Fields {
		r := f.RelationshipName
		if r != "" && len(r) > len(rel) && len(name) > len(r)+2 && strings.EqualFold(name[:len(r)+2], r+"__") {
			rel, parentField, ok = r, name[len(r)+2:], true
		}
	}
	return rel, parentField, ok
}

// indexed are the mapped fields that the configuration wants indexed.
func (m *mapping) indexed() map[string]bool {
	set := map[string]bool{}
	for _, name := range m.cfg.Indexes {
		if i := indexField(m.fields, name); i >= 0 {
			set[m.fields[i]] = true
		}
	}
	return set
}

// containsField is containsFold for names of fields, joined or not.
func containsField(list []string, name string) bool { return indexField(list, name) >= 0 }

// indexField finds the field that is meant by name, which is perhaps not its name as
// mapped: Account__r does for Account, unless there are both.
func indexField(list []string, name string) int {
	join := func(name string) string { return strings.ToLower(strings.Replace(name, ".", "__", 1)) }
	standard := func(name string) string { return strings.Replace(join(name), "__r__", "__", 1) }
	if i := slices.IndexFunc(list, func(x string) bool { return join(x) == join(name) }); i >= 0 {
		return i
	}
	return slices.IndexFunc(list, func(x string) bool { return standard(x) == standard(name) })
}

// customBase takes the __r of a custom relationship's name away, if it has one.
func customBase(rel string) (base string, custom bool) {
	if n := len(rel) - len("__r"); n > 0 && strings.EqualFold(rel[n:], "__r") {
		return rel[:n], true
	}
	return rel, false
}

func containsFold(list []string, s string) bool {
	return slices.ContainsFunc(list, func(x string) bool { return strings.EqualFold(x, s) })
}

// parent resolves a parent's field such as Account__r.External_Id__c. Of a standard lookup
// the relationship is called Account; Account__r does as well.
func parent(ctx context.Context, sf describer, cfg config.Object, d *salesforce.Describe, rel, name string) (field, error) {
	variable := "HC_OBJECT_" + strings.ToUpper(cfg.Name) + "_FIELDS"
	named := func(rel string) bool {
		return slices.ContainsFunc(d.Fields, func(f salesforce.Field) bool { return strings.EqualFold(f.RelationshipName, rel) })
	}
	if standard, _ := customBase(rel); !named(rel) && named(standard) {
		rel = standard
	}
	for _, f := range d.Fields {
		if !strings.EqualFold(f.RelationshipName, rel) || len(f.ReferenceTo) == 0 {
			continue
		}
		p, err := sf.Describe(ctx, f.ReferenceTo[0])
		if err != nil {
			return field{}, err
		}
		pf := p.Field(name)
		if pf == nil || (!pf.ExternalID && !pf.IDLookup) {
			return field{}, mappingErrorf("%s.%s is not an external id of %s: correct %s", rel, name, p.Name, variable)
		}
		out := field{Field: *pf, name: f.RelationshipName + "." + pf.Name, relationship: f.RelationshipName, parentField: pf.Name}
		out.Createable, out.Updateable = f.Createable, f.Updateable // it is the lookup that is written
		if len(f.ReferenceTo) == 1 {
			out.parentObject = p.Name
		}
		return out, nil
	}
	return field{}, mappingErrorf("%s has no relationship %s: correct %s", d.Name, rel, variable)
}

// encrypted is the type of fields for which Salesforce shows a mask, unless the user has
// View Encrypted Data.
const encrypted = "encryptedstring"

// outboxTable says how the columns of a table are written.
func outboxTable(t *pgsink.Table, spec pgsink.Spec, fields []field) outbox.Table {
	out := outbox.Table{Object: spec.Object, Name: t.Name, ReadWrite: spec.ReadWrite, ExternalID: spec.ExternalID}
	for _, c := range t.Columns {
		for _, f := range fields {
			if f.name != c.Field {
				continue
			}
			out.Columns = append(out.Columns, outbox.Column{
				Name: c.Name, Field: f.name, Type: f.Type,
				Createable:   f.Createable && f.Type != encrypted, // its mask must never be written back
				Updateable:   f.Updateable && f.Type != encrypted,
				Relationship: f.relationship, RelationObject: f.parentObject, RelationField: f.parentField,
				References: f.ReferenceTo, Cased: f.CaseSensitive,
			})
		}
	}
	return out
}

// addFrozen has changes of frozen fields captured, and kept until they can be sent.
func (m *mapping) addFrozen() {
	for _, name := range m.frozen {
		c := outbox.Column{Name: pgsink.ColumnName(name), Field: name, Frozen: true}
		if !slices.ContainsFunc(m.outbox.Columns, func(d outbox.Column) bool { return d.Name == c.Name }) {
			m.outbox.Columns = append(m.outbox.Columns, c)
		}
	}
}

// remember notes what is mapped and frozen, and has changes sent that waited for fields
// which can be seen again: a load that fills their columns leaves those rows alone.
func (m *mapping) remember(ctx context.Context, tx pgx.Tx, schema string, added bool) error {
	if _, err := tx.Exec(ctx, rememberSQL, schema, m.cfg.Name, m.entries(), m.frozen, added); err != nil {
		return fmt.Errorf("remember fields: %w", err)
	}
	return outbox.Thaw(ctx, tx, schema, m.table.Name, m.frozen)
}

// entries are the mapped fields with their types. A field whose type changes is
// another one: what its column holds must be read again.
func (m *mapping) entries() []string {
	list := make([]string, 0, len(m.spec.Fields))
	for _, f := range m.spec.Fields {
		list = append(list, f.Name+" "+f.Type)
	}
	slices.Sort(list)
	return list
}

// equal reports whether two mappings mean the same. The order in which the org
// lists fields means nothing.
func (m *mapping) equal(other *mapping) bool {
	text := func(m *mapping) string {
		fields, columns := slices.Clone(m.spec.Fields), slices.Clone(m.outbox.Columns)
		slices.SortFunc(fields, func(x, y pgsink.Field) int { return strings.Compare(x.Name, y.Name) })
		slices.SortFunc(columns, func(x, y outbox.Column) int { return strings.Compare(x.Name, y.Name) })
		return fmt.Sprint(m.cfg.Name, m.custom, m.spec.ExternalID, m.frozen, m.binary, fields, columns, m.lookups, slices.Sorted(slices.Values(m.moving)), m.merges, m.authors, m.logged)
	}
	return text(m) == text(other)
}

// pollObject is the mapping as package poll sees it.
func (m *mapping) pollObject(streamed func() bool) poll.Object {
	lookups := slices.Sorted(maps.Keys(m.lookups))
	parents := make([]poll.Parent, 0, len(lookups))
	for _, field := range lookups {
		parents = append(parents, poll.Parent{Column: pgsink.ColumnName(field), Objects: m.lookups[field]})
	}
	return poll.Object{
		Name: m.cfg.Name, Table: m.table, Fields: m.fields, Moving: m.moving, Lookups: lookups, Deletes: m.delete, Replicates: m.logged, Merges: m.merges, Parents: parents,
		Interval: m.cfg.PollInterval, Streamed: streamed, Patched: m.cfg.Mode == config.ModeCDC,
	}
}

const accessReadWrite = config.AccessReadWrite
