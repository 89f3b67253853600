package sobject

// Asset is a standard object that PushTopics cannot select from and Change Data
// Capture can. It is not part of [Standard]: add it where it is needed.
func Asset() *Object {
	return object(data("Asset", "Asset", "Assets", "02i"), []*Field{
		nameField(required(str("Name", "Asset Name", 255))),
		lookup("AccountId", "Account ID", "Assets", "Account"),
		lookup("ContactId", "Contact ID", "Assets", "Contact"),
		str("SerialNumber", "Serial Number", 80),
		number("Quantity", "Quantity", "double", 12, 2),
		text("Description", "Description", "textarea", 32000),
		owner(),
	})
}
