package sobject

import "encoding/json"

// customName is the Name of a custom object. It takes the record's id when a
// create leaves it out.
func customName(label string) *Field {
	f := nameField(str("Name", label, 80))
	f.Nillable, f.DefaultedOnCreate = false, true
	f.IDLookup = true
	return f
}

func invoice() *Object {
	return object(data("Invoice__c", "Invoice", "Invoices", "a00"), []*Field{
		customName("Invoice Name"),
		owner(),
		externalID("External_Id__c", "External Id", 36),
		lookup("Account__c", "Account", "Invoices__r", "Account"),
		number("Amount__c", "Amount", "currency", 16, 2),
		picklist("Status__c", "Status", "Draft", "Open", "Paid", "Void"),
		newField("Due__c", "Due", "date"),
		checkbox("Paid__c", "Paid", false),
		text("Notes__c", "Notes", "textarea", 32768),
	})
}

func line() *Object {
	master := lookup("Invoice__c", "Invoice", "Lines__r", "Invoice__c")
	master.Nillable, master.Updateable = false, false
	master.MasterDetail, master.CascadeDelete = true, true
	return object(data("Line__c", "Line", "Lines", "a01"), []*Field{
		nameField(autoNumber("Name", "Line Number", "L-{00000}")),
		master,
		number("Quantity__c", "Quantity", "double", 18, 3),
		number("Price__c", "Price", "currency", 16, 2),
		formula(checkbox("Ordered__c", "Ordered", false), func(get func(string) any) any {
			n, ok := get("Quantity__c").(json.Number)
			return ok && n != "0"
		}),
		formula(str("Label__c", "Label", 255), func(get func(string) any) any {
			n, ok := get("Quantity__c").(json.Number)
			if !ok {
				return nil
			}
			return string(n) + " pieces"
		}),
	})
}

func every() *Object {
	part := func(f *Field) *Field { return with(f, func(f *Field) { f.Compound = "Loc__c" }) }
	return object(data("Every__c", "Every", "Everys", "a02"), []*Field{
		customName("Every Name"),
		owner(),
		externalID("External_Id__c", "External Id", 64),
		with(externalID("Code__c", "Code", 20), func(f *Field) { f.CaseSensitive = true }),
		with(str("Legacy_Key__c", "Legacy Key", 40), func(f *Field) { f.ExternalID, f.IDLookup = true, true }),
		with(number("Number_Key__c", "Number Key", "double", 18, 0), func(f *Field) { f.ExternalID, f.IDLookup, f.Unique = true, true, true }),
		str("Text__c", "Text", 255),
		text("Area__c", "Area", "textarea", 255),
		text("Long__c", "Long", "textarea", 131072),
		with(text("Rich__c", "Rich", "textarea", 32768), func(f *Field) { f.HTMLFormatted = true }),
		restricted(picklist("Pick__c", "Pick", "Red", "Green", "Blue")),
		picklist("Open_Pick__c", "Open Pick", "One", "Two", "Three"),
		restricted(with(text("Multi__c", "Multi", "multipicklist", 4099), func(f *Field) { f.Picklist = []string{"Alpha", "Beta", "Gamma", "Delta"} })),
		with(text("Combo__c", "Combo", "combobox", 255), func(f *Field) { f.Picklist = []string{"Small", "Large"} }),
		checkbox("Check__c", "Check", false),
		integer("Int__c", "Int", 9),
		number("Double__c", "Double", "double", 18, 6),
		number("Currency__c", "Currency", "currency", 18, 2),
		number("Percent__c", "Percent", "percent", 18, 4),
		newField("Date__c", "Date", "date"),
		newField("Datetime__c", "Datetime", "datetime"),
		newField("Time__c", "Time", "time"),
		text("Email__c", "Email", "email", 80),
		text("Phone__c", "Phone", "phone", 40),
		text("Url__c", "Url", "url", 255),
		with(text("Secret__c", "Secret", "encryptedstring", 175), func(f *Field) { f.Encrypted = true }),
		newField("Blob__c", "Blob", "base64"),
		lookup("Ref__c", "Ref", "Everys__r", "Account"),
		readOnly(newField("Loc__c", "Loc", "location")),
		part(number("Loc__Latitude__s", "Loc (Latitude)", "double", 18, 15)),
		part(number("Loc__Longitude__s", "Loc (Longitude)", "double", 18, 15)),
		autoNumber("Auto__c", "Auto", "E-{0000}"),
		formula(str("Formula__c", "Formula", 1300), func(get func(string) any) any {
			s, ok := get("Text__c").(string)
			if !ok {
				return nil
			}
			return "<" + s + ">"
		}),
		formula(number("Double_Formula__c", "Double Formula", "double", 18, 2), func(get func(string) any) any {
			if n, ok := get("Int__c").(json.Number); ok {
				return n
			}
			return nil
		}),
	})
}
