package sobject

import "strings"

// The constructors below make the usual shape of a field of each type; with
// alters the rest.

func with(f *Field, change func(*Field)) *Field {
	change(f)
	return f
}

func newField(name, label, typ string) *Field {
	return &Field{
		Name: name, Label: label, Type: typ, Nillable: true, Createable: true, Updateable: true,
		Custom: strings.HasSuffix(name, "__c") || strings.HasSuffix(name, "__s"),
	}
}

func text(name, label, typ string, length int) *Field {
	f := newField(name, label, typ)
	f.Length = length
	return f
}

func str(name, label string, length int) *Field { return text(name, label, "string", length) }

func required(f *Field) *Field {
	f.Nillable = false
	return f
}

func number(name, label, typ string, precision, scale int) *Field {
	f := newField(name, label, typ)
	f.Precision, f.Scale = precision, scale
	return f
}

func integer(name, label string, digits int) *Field {
	f := newField(name, label, "int")
	f.Digits = digits
	return f
}

func checkbox(name, label string, def bool) *Field {
	f := newField(name, label, "boolean")
	f.Nillable, f.DefaultedOnCreate, f.Default = false, true, def
	return f
}

func picklist(name, label string, values ...string) *Field {
	f := text(name, label, "picklist", 255)
	f.Picklist = values
	return f
}

func restricted(f *Field) *Field {
	f.RestrictedPicklist = true
	return f
}

// defaulted gives f a value that a create without the field stores.
func defaulted(f *Field, v any) *Field {
	f.Default, f.DefaultedOnCreate = v, true
	return f
}

// lookup is a reference called XId or X__c to the parent objects; children is
// the name of the reverse relationship, "" for none.
func lookup(name, label, children string, parents ...string) *Field {
	f := text(name, label, "reference", 18)
	f.ReferenceTo, f.ChildRelationship = parents, children
	f.RelationshipName = strings.TrimSuffix(name, "Id")
	if f.Custom {
		f.RelationshipName = strings.TrimSuffix(name, "__c") + "__r"
	}
	return f
}

func externalID(name, label string, length int) *Field {
	f := str(name, label, length)
	f.ExternalID, f.IDLookup, f.Unique = true, true, true
	return f
}

func readOnly(f *Field) *Field {
	f.Createable, f.Updateable = false, false
	return f
}

func formula(f *Field, compute func(get func(string) any) any) *Field {
	f.Calculated, f.Formula = true, compute
	return readOnly(f)
}

func nameField(f *Field) *Field {
	f.NameField = true
	return f
}

func autoNumber(name, label, format string) *Field {
	f := required(readOnly(str(name, label, 30)))
	f.AutoNumber, f.AutoNumberFormat, f.DefaultedOnCreate = true, format, true
	return f
}

// address is a compound address and its parts: prefix "Billing" makes
// BillingAddress, BillingStreet, ...
func address(prefix, label string) []*Field {
	compound := prefix + "Address"
	part := func(f *Field) *Field { return with(f, func(f *Field) { f.Compound = compound }) }
	return []*Field{
		readOnly(newField(compound, label+"Address", "address")),
		part(str(prefix+"City", label+"City", 40)),
		part(str(prefix+"Country", label+"Country", 80)),
		part(restricted(picklist(prefix+"GeocodeAccuracy", label+"Geocode Accuracy", "Address", "Street", "Zip", "City", "State", "Unknown"))),
		part(number(prefix+"Latitude", label+"Latitude", "double", 18, 15)),
		part(number(prefix+"Longitude", label+"Longitude", "double", 18, 15)),
		part(str(prefix+"PostalCode", label+"Zip/Postal Code", 20)),
		part(str(prefix+"State", label+"State/Province", 80)),
		part(text(prefix+"Street", label+"Street", "textarea", 255)),
	}
}

// personName is the read-only compound name of a person and its parts.
func personName() []*Field {
	part := func(f *Field) *Field { return with(f, func(f *Field) { f.Compound = "Name" }) }
	return []*Field{
		nameField(readOnly(with(str("Name", "Full Name", 121), func(f *Field) { f.Nillable = false }))),
		part(required(str("LastName", "Last Name", 80))),
		part(str("FirstName", "First Name", 40)),
		part(picklist("Salutation", "Salutation", "Mr.", "Ms.", "Mrs.", "Dr.", "Prof.")),
	}
}

// object assembles an sObject: Id, IsDeleted, the given fields, then the audit
// fields.
func object(o *Object, fields ...[]*Field) *Object {
	o.Custom = strings.HasSuffix(o.Name, "__c")
	if o.LabelPlural == "" {
		o.LabelPlural = o.Label + "s"
	}
	system := func(f *Field) *Field {
		f.Nillable, f.DefaultedOnCreate = false, true
		return readOnly(f)
	}
	id := system(text("Id", o.Label+" ID", "id", 18))
	id.IDLookup = true
	o.Fields = []*Field{id}
	if o.Undeletable {
		o.Fields = append(o.Fields, system(checkbox("IsDeleted", "Deleted", false)))
	}
	for _, fs := range fields {
		o.Fields = append(o.Fields, fs...)
	}
	o.Fields = append(o.Fields,
		system(newField("CreatedDate", "Created Date", "datetime")),
		system(lookup("CreatedById", "Created By ID", "", "User")),
		system(newField("LastModifiedDate", "Last Modified Date", "datetime")),
		system(lookup("LastModifiedById", "Last Modified By ID", "", "User")),
		system(newField("SystemModstamp", "System Modstamp", "datetime")),
	)
	return o
}

// data is an object for records that users create and delete.
func data(name, label, plural, prefix string) *Object {
	return &Object{
		Name: name, Label: label, LabelPlural: plural, KeyPrefix: prefix, Createable: true, Updateable: true,
		Deletable: true, Undeletable: true, Replicateable: true, Triggerable: true, Layoutable: true,
	}
}

// setup is an object of the org's configuration, which has no recycle bin.
func setup(name, label, plural, prefix string, writable bool) *Object {
	return &Object{
		Name: name, Label: label, LabelPlural: plural, KeyPrefix: prefix, Createable: writable, Updateable: writable, Replicateable: true,
	}
}

// owner is the OwnerId of an object that users own.
func owner() *Field {
	f := lookup("OwnerId", "Owner ID", "", "Group", "User")
	f.Nillable, f.DefaultedOnCreate = false, true
	return f
}
