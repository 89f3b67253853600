package sobject

// Standard returns a fresh schema: the standard objects that a bridge meets
// most, the setup objects they refer to, and three custom objects. Invoice__c
// has an external id and a lookup, Line__c is its detail, and Every__c has a
// field of every type.
func Standard() []*Object {
	return []*Object{
		account(), contact(), lead(), opportunity(), supportCase(), task(),
		invoice(), line(), every(),
		user(), group(), recordType(), organization(), pushTopic(), streamingChannel(),
	}
}

func account() *Object {
	return object(data("Account", "Account", "Accounts", "001"), []*Field{
		readOnly(lookup("MasterRecordId", "Master Record ID", "", "Account")),
		with(nameField(required(str("Name", "Account Name", 255))), func(f *Field) {}),
		picklist("Type", "Account Type", "Prospect", "Customer - Direct", "Customer - Channel", "Channel Partner / Reseller", "Installation Partner", "Technology Partner", "Other"),
		with(lookup("ParentId", "Parent Account ID", "ChildAccounts", "Account"), func(f *Field) {}),
	}, address("Billing", "Billing "), address("Shipping", "Shipping "), []*Field{
		text("Phone", "Account Phone", "phone", 40),
		text("Fax", "Account Fax", "phone", 40),
		str("AccountNumber", "Account Number", 40),
		text("Website", "Website", "url", 255),
		str("Sic", "SIC Code", 20),
		picklist("Industry", "Industry", "Agriculture", "Apparel", "Banking", "Biotechnology", "Chemicals", "Communications", "Construction", "Consulting", "Education", "Electronics", "Energy", "Engineering", "Entertainment", "Finance", "Government", "Healthcare", "Insurance", "Manufacturing", "Media", "Retail", "Technology", "Transportation", "Utilities", "Other"),
		number("AnnualRevenue", "Annual Revenue", "currency", 18, 0),
		integer("NumberOfEmployees", "Employees", 8),
		picklist("Ownership", "Ownership", "Public", "Private", "Subsidiary", "Other"),
		text("Description", "Account Description", "textarea", 32000),
		picklist("Rating", "Account Rating", "Hot", "Warm", "Cold"),
		str("Site", "Account Site", 80),
		owner(),
		picklist("AccountSource", "Account Source", "Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"),
		readOnly(newField("LastActivityDate", "Last Activity", "date")),
		externalID("External_Id__c", "External Id", 64),
	})
}

func contact() *Object {
	return object(data("Contact", "Contact", "Contacts", "003"), []*Field{
		readOnly(lookup("MasterRecordId", "Master Record ID", "", "Contact")),
		with(lookup("AccountId", "Account ID", "Contacts", "Account"), func(f *Field) { f.CascadeDelete = true }),
	}, personName(), []*Field{}, address("Other", "Other "), address("Mailing", "Mailing "), []*Field{
		text("Phone", "Business Phone", "phone", 40),
		text("Fax", "Business Fax", "phone", 40),
		text("MobilePhone", "Mobile Phone", "phone", 40),
		text("HomePhone", "Home Phone", "phone", 40),
		lookup("ReportsToId", "Reports To ID", "", "Contact"),
		with(text("Email", "Email", "email", 80), func(f *Field) { f.IDLookup = true }),
		str("Title", "Title", 128),
		str("Department", "Department", 80),
		picklist("LeadSource", "Lead Source", "Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"),
		newField("Birthdate", "Birthdate", "date"),
		text("Description", "Contact Description", "textarea", 32000),
		owner(),
		checkbox("HasOptedOutOfEmail", "Email Opt Out", false),
		checkbox("DoNotCall", "Do Not Call", false),
		externalID("External_Id__c", "External Id", 64),
	})
}

func lead() *Object {
	return object(data("Lead", "Lead", "Leads", "00Q"), personName(), []*Field{
		str("Title", "Title", 128),
		required(str("Company", "Company", 255)),
	}, address("", ""), []*Field{
		text("Phone", "Phone", "phone", 40),
		text("MobilePhone", "Mobile Phone", "phone", 40),
		with(text("Email", "Email", "email", 80), func(f *Field) { f.IDLookup = true }),
		text("Website", "Website", "url", 255),
		text("Description", "Description", "textarea", 32000),
		picklist("LeadSource", "Lead Source", "Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"),
		defaulted(required(picklist("Status", "Status", "Open - Not Contacted", "Working - Contacted", "Closed - Converted", "Closed - Not Converted")), "Open - Not Contacted"),
		picklist("Industry", "Industry", "Agriculture", "Banking", "Energy", "Technology", "Other"),
		picklist("Rating", "Rating", "Hot", "Warm", "Cold"),
		number("AnnualRevenue", "Annual Revenue", "currency", 18, 0),
		integer("NumberOfEmployees", "Employees", 8),
		owner(),
		readOnly(checkbox("IsConverted", "Converted", false)),
		readOnly(lookup("ConvertedAccountId", "Converted Account ID", "", "Account")),
		checkbox("IsUnreadByOwner", "Unread By Owner", true),
		externalID("External_Id__c", "External Id", 64),
	})
}

func opportunity() *Object {
	return object(data("Opportunity", "Opportunity", "Opportunities", "006"), []*Field{
		with(lookup("AccountId", "Account ID", "Opportunities", "Account"), func(f *Field) { f.CascadeDelete = true }),
		nameField(required(str("Name", "Name", 120))),
		text("Description", "Description", "textarea", 32000),
		required(picklist("StageName", "Stage", "Prospecting", "Qualification", "Needs Analysis", "Value Proposition", "Proposal/Price Quote", "Negotiation/Review", "Closed Won", "Closed Lost")),
		number("Amount", "Amount", "currency", 18, 2),
		number("Probability", "Probability (%)", "percent", 3, 0),
		required(newField("CloseDate", "Close Date", "date")),
		picklist("Type", "Opportunity Type", "Existing Customer - Upgrade", "Existing Customer - Replacement", "Existing Customer - Downgrade", "New Customer"),
		str("NextStep", "Next Step", 255),
		picklist("LeadSource", "Lead Source", "Web", "Phone Inquiry", "Partner Referral", "Purchased List", "Other"),
		formula(checkbox("IsClosed", "Closed", false), func(get func(string) any) any {
			return get("StageName") == "Closed Won" || get("StageName") == "Closed Lost"
		}),
		formula(checkbox("IsWon", "Won", false), func(get func(string) any) any { return get("StageName") == "Closed Won" }),
		owner(),
	})
}

func supportCase() *Object {
	return object(data("Case", "Case", "Cases", "500"), []*Field{
		nameField(with(autoNumber("CaseNumber", "Case Number", "{00000000}"), func(f *Field) { f.IDLookup = true })),
		lookup("ContactId", "Contact ID", "Cases", "Contact"),
		lookup("AccountId", "Account ID", "Cases", "Account"),
		str("SuppliedName", "Name", 80),
		text("SuppliedEmail", "Email Address", "email", 80),
		picklist("Type", "Case Type", "Mechanical", "Electrical", "Electronic", "Structural", "Other"),
		defaulted(picklist("Status", "Status", "New", "Working", "Escalated", "Closed"), "New"),
		picklist("Reason", "Case Reason", "Installation", "Equipment Complexity", "Performance", "Breakdown", "Other"),
		defaulted(picklist("Origin", "Case Origin", "Phone", "Email", "Web"), "Web"),
		str("Subject", "Subject", 255),
		defaulted(picklist("Priority", "Priority", "High", "Medium", "Low"), "Medium"),
		text("Description", "Description", "textarea", 32000),
		formula(checkbox("IsClosed", "Closed", false), func(get func(string) any) any { return get("Status") == "Closed" }),
		owner(),
	})
}

func task() *Object {
	return object(data("Task", "Task", "Tasks", "00T"), []*Field{
		with(lookup("WhoId", "Name ID", "Tasks", "Contact", "Lead"), func(f *Field) {}),
		lookup("WhatId", "Related To ID", "Tasks", "Account", "Opportunity", "Case", "Invoice__c"),
		with(text("Subject", "Subject", "combobox", 255), func(f *Field) {
			f.NameField = true
			f.Picklist = []string{"Call", "Email", "Send Letter", "Send Quote", "Other"}
		}),
		newField("ActivityDate", "Due Date Only", "date"),
		defaulted(required(picklist("Status", "Status", "Not Started", "In Progress", "Completed", "Waiting on someone else", "Deferred")), "Not Started"),
		defaulted(required(picklist("Priority", "Priority", "High", "Normal", "Low")), "Normal"),
		text("Description", "Description", "textarea", 32000),
		formula(checkbox("IsClosed", "Closed", false), func(get func(string) any) any { return get("Status") == "Completed" }),
		owner(),
	})
}
