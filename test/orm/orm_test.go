package orm

import (
	"encoding/json"
	"os"
	"testing"

	"hcbridge/test/org/sobject"
	"hcbridge/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// python has the system's packages where a version manager is on the PATH.
var python = []string{"/usr/bin/python3", "python3"}

var programs = []program{
	{
		name: "activerecord", path: "salesforce", tells: true,
		command: scripted("activerecord/app.rb", `require "active_record"; require "pg"`, "-e", "/usr/bin/ruby", "ruby"),
		types: map[string]string{
			"decimal": "BigDecimal", "date": "Date", "datetime": "TimeWithZone", "time": "TimeWithZone",
			"bool": "TrueClass", "int": "Integer", "enum": "TrueClass", "text": "String",
		},
	},
	{
		name: "django", path: `"$user", public`, tells: false, // Django's bulk_create and save ask for the key alone
		command: scripted("django/app.py", "import django, psycopg2", "-c", python...),
		types: map[string]string{
			"decimal": "Decimal", "date": "date", "datetime": "datetime", "time": "time",
			"bool": "bool", "int": "int", "enum": "Pick", "text": "str",
		},
	},
	{
		name: "sqlalchemy", path: "salesforce", tells: true,
		command: scripted("sqlalchemy/app.py", "import sqlalchemy, psycopg2", "-c", python...),
		types: map[string]string{
			"decimal": "Decimal", "date": "date", "datetime": "datetime", "time": "time",
			"bool": "bool", "int": "int", "enum": "Pick", "text": "str",
		},
	},
	{
		// Its driver takes a timestamp without a zone for one in the zone of the process.
		name: "sequelize", path: "salesforce", tells: true, utc: true, command: npm("sequelize"),
		types: map[string]string{
			"decimal": "String", "date": "String", "datetime": "Date", "time": "String",
			"bool": "Boolean", "int": "Number", "enum": "String", "text": "String",
		},
	},
	{
		name: "prisma", path: "salesforce", tells: true,
		command: npm("prisma", []string{"node", "node_modules/prisma/build/index.js", "generate"}),
		types: map[string]string{
			"decimal": "Decimal", "date": "Date", "datetime": "Date", "time": "Date",
			"bool": "Boolean", "int": "Number", "enum": "String", "text": "String",
		},
	},
	{
		name: "gorm", path: "salesforce", tells: true, command: compiled("gorm"),
		types: map[string]string{
			"decimal": "decimal.Decimal", "date": "time.Time", "datetime": "time.Time", "time": "string",
			"bool": "bool", "int": "int", "enum": "main.Pick", "text": "string",
		},
	},
}

// Apps on six mappers do all that an app does with synced tables, at the same time.
func TestApps(t *testing.T) { //nolint:tparallel // the sides are compared after all apps
	t.Parallel()
	r := rig.New(t,
		"HC_OBJECTS=Account,Contact,Every__c", "HC_WRITE_ALGORITHM=merged", "HC_NUMBER_TYPE=numeric",
		"HC_OBJECT_ACCOUNT_ACCESS=read_write", "HC_OBJECT_ACCOUNT_EXTERNAL_ID=External_Id__c", "HC_OBJECT_ACCOUNT_FIELDS=Name,External_Id__c",
		"HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_CONTACT_FIELDS=LastName,Email,Title,Birthdate,CreatedDate,AccountId,Account.External_Id__c,External_Id__c",
		"HC_OBJECT_EVERY__C_ACCESS=read_write", "HC_OBJECT_EVERY__C_EXTERNAL_ID=External_Id__c",
		"HC_OBJECT_EVERY__C_FIELDS=Currency__c,Date__c,Datetime__c,Time__c,Check__c,Int__c,Pick__c,Text__c,External_Id__c")
	r.SF.Trigger(func(d *sobject.Draft) error {
		if d.Object.Name != "Contact" {
			return nil
		}
		if d.Get("LastName") == "Nobody" {
			return sobject.ErrValidation("Who is it?", "LastName")
		}
		if d.Get("Email") == "spam@example.com" {
			return sobject.ErrValidation(`No "spam", please`, "Email")
		}
		return nil
	})
	for _, p := range programs {
		r.Insert("Every__c", map[string]any{
			"External_Id__c": p.name, "Currency__c": json.Number("123456789012.34"), "Date__c": "2026-02-28", "Datetime__c": "2026-03-08T07:30:00Z",
			"Time__c": "13:45:00.000Z", "Check__c": true, "Int__c": 42, "Pick__c": "Green", "Text__c": "žluťoučký 🐎",
		})
	}
	r.Start()
	r.Synced()
	t.Run("apps", func(t *testing.T) {
		for _, p := range programs {
			t.Run(p.name, func(t *testing.T) {
				t.Parallel()
				own := *r
				own.T = t
				s := &story{Rig: &own, app: start(t, r.URL, p), program: p}
				s.tell()
			})
		}
	})
	if !t.Failed() {
		r.Equal("Account", "Contact", "Every__c")
	}
}
