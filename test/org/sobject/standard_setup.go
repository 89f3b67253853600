package sobject

func user() *Object {
	o := object(setup("User", "User", "Users", "005", true), []*Field{
		with(required(str("Username", "Username", 80)), func(f *Field) { f.Unique, f.IDLookup = true, true }),
	}, personName(), []*Field{
		str("CompanyName", "Company Name", 80),
		str("Title", "Title", 80),
		with(required(text("Email", "Email", "email", 128)), func(f *Field) { f.IDLookup = true }),
		required(str("Alias", "Alias", 8)),
		checkbox("IsActive", "Active", true),
		defaulted(required(restricted(picklist("TimeZoneSidKey", "Time Zone", "UTC", "GMT", "Europe/Berlin", "America/Los_Angeles", "America/New_York"))), "UTC"),
		defaulted(required(restricted(picklist("LocaleSidKey", "Locale", "en_US", "de_DE", "fr_FR"))), "en_US"),
		defaulted(required(restricted(picklist("LanguageLocaleKey", "Language", "en_US", "de", "fr"))), "en_US"),
		defaulted(picklist("UserType", "User Type", "Standard"), "Standard"),
	})
	return o
}

func group() *Object {
	return object(setup("Group", "Group", "Groups", "00G", true), []*Field{
		nameField(required(str("Name", "Name", 40))),
		str("DeveloperName", "Developer Name", 80),
		defaulted(required(restricted(picklist("Type", "Type", "Regular", "Queue"))), "Regular"),
		text("Email", "Email", "email", 255),
	})
}

func recordType() *Object {
	return object(setup("RecordType", "Record Type", "Record Types", "012", true), []*Field{
		nameField(required(str("Name", "Name", 80))),
		required(str("DeveloperName", "Record Type Name", 80)),
		required(str("SobjectType", "SObject Type Name", 40)),
		str("Description", "Description", 255),
		checkbox("IsActive", "Active", true),
	})
}

func organization() *Object {
	return object(setup("Organization", "Organization", "Organizations", "00D", false), []*Field{
		nameField(required(str("Name", "Name", 80))),
		str("Division", "Division", 80),
		str("InstanceName", "Instance Name", 5),
		str("OrganizationType", "Edition", 40),
		checkbox("IsSandbox", "Is Sandbox", false),
		readOnly(newField("TrialExpirationDate", "Trial Expiration Date", "datetime")),
		readOnly(str("NamespacePrefix", "Namespace Prefix", 15)),
		defaulted(required(picklist("LanguageLocaleKey", "Language", "en_US", "de", "fr")), "en_US"),
		defaulted(required(picklist("TimeZoneSidKey", "Time Zone", "UTC", "Europe/Berlin", "America/Los_Angeles")), "UTC"),
	})
}

// pushTopic is as the Streaming API Developer Guide, "PushTopic", lists it.
func pushTopic() *Object {
	o := data("PushTopic", "Push Topic", "Push Topics", "0IF")
	o.Triggerable, o.Layoutable = false, false
	return object(o, []*Field{
		with(nameField(required(str("Name", "Topic Name", 25))), func(f *Field) { f.Unique, f.IDLookup = true, true }),
		required(str("Query", "SOQL Query", 1300)),
		required(number("ApiVersion", "API Version", "double", 18, 1)),
		checkbox("IsActive", "Is Active", true),
		defaulted(required(restricted(picklist("NotifyForFields", "Notify For Fields", "Referenced", "All", "Select", "Where"))), "Referenced"),
		readOnly(defaulted(required(restricted(picklist("NotifyForOperations", "Notify For Operations", "All", "Create", "Update", "Extended"))), "All")),
		str("Description", "Description", 400),
		checkbox("NotifyForOperationCreate", "Create", true),
		checkbox("NotifyForOperationUpdate", "Update", true),
		checkbox("NotifyForOperationDelete", "Delete", true),
		checkbox("NotifyForOperationUndelete", "Undelete", true),
	})
}

// streamingChannel is as the Object Reference, "StreamingChannel", lists it.
func streamingChannel() *Object {
	o := data("StreamingChannel", "Streaming Channel", "Streaming Channels", "0M6")
	o.Triggerable, o.Layoutable = false, false
	return object(o, []*Field{
		with(nameField(required(str("Name", "Streaming Channel Name", 80))), func(f *Field) { f.Unique, f.IDLookup = true, true }),
		str("Description", "Description", 255),
		readOnly(checkbox("IsDynamic", "Is Dynamic", false)),
	})
}
