package sobject

import (
	"strings"
)

// Describe returns the field as an entry of a describe's fields, with every
// key that a real org sends (REST API Developer Guide, "sObject Describe").
func (f *Field) Describe() map[string]any {
	d := map[string]any{
		"aggregatable":                 !f.LongText() && !f.IsCompound() && f.Type != "base64",
		"aiPredictionField":            false,
		"autoNumber":                   f.AutoNumber,
		"byteLength":                   f.byteLength(),
		"calculated":                   f.Calculated,
		"calculatedFormula":            nil,
		"cascadeDelete":                f.CascadeDelete,
		"caseSensitive":                f.CaseSensitive,
		"compoundFieldName":            orNull(f.Compound),
		"controllerName":               nil,
		"createable":                   f.Createable,
		"custom":                       f.Custom,
		"dataTranslationEnabled":       false,
		"defaultValue":                 nil,
		"defaultValueFormula":          nil,
		"defaultedOnCreate":            f.DefaultedOnCreate,
		"dependentPicklist":            false,
		"deprecatedAndHidden":          false,
		"digits":                       f.Digits,
		"displayLocationInDecimal":     f.Type == "location",
		"encrypted":                    f.Encrypted,
		"externalId":                   f.ExternalID,
		"extraTypeInfo":                nil,
		"filterable":                   f.Filterable(),
		"filteredLookupInfo":           nil,
		"formulaTreatNullNumberAsZero": false,
		"groupable":                    f.groupable(),
		"highScaleNumber":              false,
		"htmlFormatted":                f.HTMLFormatted,
		"idLookup":                     f.IDLookup,
		"inlineHelpText":               nil,
		"label":                        f.Label,
		"length":                       f.Length,
		"mask":                         nil,
		"maskType":                     nil,
		"name":                         f.Name,
		"nameField":                    f.NameField,
		"namePointing":                 len(f.ReferenceTo) > 1,
		"nillable":                     f.Nillable,
		"permissionable":               f.Nillable && f.Createable,
		"picklistValues":               f.picklistValues(),
		"polymorphicForeignKey":        len(f.ReferenceTo) > 1,
		"precision":                    f.Precision,
		"queryByDistance":              f.Type == "location",
		"referenceTargetField":         nil,
		"referenceTo":                  append([]string{}, f.ReferenceTo...),
		"relationshipName":             orNull(f.RelationshipName),
		"relationshipOrder":            nil,
		"restrictedDelete":             false,
		"restrictedPicklist":           f.RestrictedPicklist,
		"scale":                        f.Scale,
		"searchPrefilterable":          f.Type == "reference",
		"soapType":                     f.soapType(),
		"sortable":                     f.Sortable(),
		"type":                         f.Type,
		"unique":                       f.Unique,
		"updateable":                   f.Updateable,
		"writeRequiresMasterRead":      false,
	}
	switch {
	case f.Type == "boolean":
		d["defaultValue"] = f.Default == true
	case f.Default != nil && f.Type != "boolean":
		d["defaultValue"] = f.Default
	}
	switch {
	case f.HTMLFormatted:
		d["extraTypeInfo"] = "richtextarea"
	case f.LongText():
		d["extraTypeInfo"] = "plaintextarea"
	}
	if f.Calculated {
		d["calculatedFormula"] = "..."
	}
	if f.Encrypted {
		d["mask"], d["maskType"] = "*", "all"
	}
	if f.MasterDetail {
		d["relationshipOrder"] = 0
	}
	return d
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// byteLength counts three bytes a character, but one for ids.
func (f *Field) byteLength() int {
	switch f.Type {
	case "id", "reference":
		return f.Length
	}
	return 3 * f.Length
}

func (f *Field) groupable() bool {
	switch f.Type {
	case "double", "currency", "percent", "datetime", "time", "multipicklist", "textarea", "address", "location", "base64", "encryptedstring":
		return false
	}
	return !f.Calculated
}

func (f *Field) picklistValues() []map[string]any {
	out := []map[string]any{}
	for _, v := range f.Picklist {
		out = append(out, map[string]any{
			"active": true, "defaultValue": f.Default == v, "label": v, "validFor": nil, "value": v,
		})
	}
	return out
}

func (f *Field) soapType() string {
	switch f.Type {
	case "id", "reference":
		return "tns:ID"
	case "boolean", "int", "date", "time", "anyType":
		return "xsd:" + f.Type
	case "double", "currency", "percent":
		return "xsd:double"
	case "datetime":
		return "xsd:dateTime"
	case "base64":
		return "xsd:base64Binary"
	case "address", "location":
		return "urn:" + f.Type
	}
	return "xsd:string"
}

// Describe is DescribeAt for version 66.0 with all fields.
func (o *Object) Describe(full bool) map[string]any { return o.DescribeAt("66.0", full, nil) }

// DescribeAt returns the object as an entry of the global describe or, full,
// as its own describe. version ("66.0") shows in the URLs. Fields for which
// visible is false are left out, as field-level security does; nil shows all.
func (o *Object) DescribeAt(version string, full bool, visible func(*Field) bool) map[string]any {
	base := "/services/data/v" + version + "/sobjects/" + o.Name
	urls := map[string]any{"sobject": base, "describe": base + "/describe", "rowTemplate": base + "/{ID}"}
	d := map[string]any{
		"activateable":           false,
		"associateEntityType":    nil,
		"associateParentEntity":  nil,
		"createable":             o.Createable,
		"custom":                 o.Custom,
		"customSetting":          false,
		"dataTranslationEnabled": false,
		"deepCloneable":          false,
		"deletable":              o.Deletable,
		"deprecatedAndHidden":    false,
		"feedEnabled":            false,
		"hasSubtypes":            false,
		"isInterface":            false,
		"isSubtype":              false,
		"keyPrefix":              orNull(o.KeyPrefix),
		"label":                  o.Label,
		"labelPlural":            o.LabelPlural,
		"layoutable":             o.Layoutable,
		"mergeable":              o.Name == "Account" || o.Name == "Contact" || o.Name == "Lead",
		"mruEnabled":             o.Layoutable,
		"name":                   o.Name,
		"queryable":              true,
		"replicateable":          o.Replicateable,
		"retrieveable":           true,
		"searchable":             o.Layoutable,
		"triggerable":            o.Triggerable,
		"undeletable":            o.Undeletable,
		"updateable":             o.Updateable,
		"urls":                   urls,
	}
	if !full {
		return d
	}
	fields := []map[string]any{}
	for _, f := range o.Fields {
		if visible == nil || visible(f) {
			fields = append(fields, f.Describe())
		}
	}
	d["fields"] = fields
	d["actionOverrides"] = []any{}
	d["childRelationships"] = o.childRelationships()
	d["compactLayoutable"] = o.Layoutable
	d["defaultImplementation"] = nil
	d["extendedBy"] = nil
	d["extendsInterfaces"] = nil
	d["implementedBy"] = nil
	d["implementsInterfaces"] = nil
	d["listviewable"] = nil
	d["lookupLayoutable"] = nil
	d["namedLayoutInfos"] = []any{}
	d["networkScopeFieldName"] = nil
	d["recordTypeInfos"] = []map[string]any{{
		"active": true, "available": true, "defaultRecordTypeMapping": true, "developerName": "Master", "master": true,
		"name": "Master", "recordTypeId": "012000000000000AAA",
		"urls": map[string]any{"layout": base + "/describe/layouts/012000000000000AAA"},
	}}
	d["searchLayoutable"] = o.Layoutable
	d["sobjectDescribeOption"] = "FULL"
	d["supportedScopes"] = []map[string]any{
		{"label": "All " + strings.ToLower(o.LabelPlural), "name": "everything"},
		{"label": "My " + strings.ToLower(o.LabelPlural), "name": "mine"},
	}
	urls["uiDetailTemplate"] = "/{ID}"
	urls["uiEditTemplate"] = "/{ID}/e"
	urls["uiNewRecord"] = "/" + o.KeyPrefix + "/e"
	urls["layouts"] = base + "/describe/layouts"
	return d
}

func (o *Object) childRelationships() []map[string]any {
	out := []map[string]any{}
	for _, c := range o.Children {
		out = append(out, map[string]any{
			"cascadeDelete": c.Cascade, "childSObject": c.Object, "deprecatedAndHidden": false, "field": c.Field,
			"junctionIdListNames": []any{}, "junctionReferenceTo": []any{},
			"relationshipName": orNull(c.Relationship), "restrictedDelete": false,
		})
	}
	return out
}
