package bridge

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"hcbridge/config"
	"hcbridge/test/org"
	"hcbridge/test/org/sobject"
	"hcbridge/test/pgtest"
)

// Each failure on Salesforce's side has its line, and the line its remedy.
func TestCheckSalesforce(t *testing.T) {
	t.Parallel()
	lineOf(t, pgtest.URL(t), []spoilt{
		// Logging in.
		{"ClientID", func(c *checked) { c.env["HC_SALESFORCE_CLIENT_ID"] = "wrong" }, nil, []string{"✗ Salesforce: HC_SALESFORCE_CLIENT_ID", "→ correct HC_SALESFORCE_CLIENT_ID: it is the Consumer Key"}},
		{"ClientSecret", func(c *checked) { c.env["HC_SALESFORCE_CLIENT_SECRET"] = "wrong" }, nil, []string{"✗ Salesforce: HC_SALESFORCE_CLIENT_ID, HC_SALESFORCE_CLIENT_SECRET", "→ correct HC_SALESFORCE_CLIENT_SECRET"}},
		{"User", func(c *checked) { c.env["HC_SALESFORCE_USERNAME"] = "nobody@hc.example" }, nil, []string{"✗ Salesforce: HC_SALESFORCE_USERNAME", "→ correct user and password; the password is followed by the security token"}},
		{"Password", func(c *checked) { c.env["HC_SALESFORCE_PASSWORD"] = "wrong" }, nil, []string{"✗ Salesforce: HC_SALESFORCE_USERNAME, HC_SALESFORCE_PASSWORD", "→ correct user and password"}},
		{"JWTKey", func(c *checked) {
			delete(c.env, "HC_SALESFORCE_PASSWORD")
			c.env["HC_SALESFORCE_AUTH"], c.env["HC_SALESFORCE_JWT_KEY"] = "jwt", newKey(c.t)
		}, nil, []string{"✗ Salesforce: HC_SALESFORCE_JWT_KEY", "→ HC_SALESFORCE_JWT_KEY must belong to the certificate that was uploaded"}},
		{"NotApproved", nil, func(c *checked) {
			c.answers(tokenPath, 400, oauthError("invalid_grant", "user hasn't approved this consumer"))
		}, []string{"✗ Salesforce", "→ in the External Client App's policies choose"}},
		{"NoRunAsUser", nil, func(c *checked) {
			c.answers(tokenPath, 400, oauthError("invalid_grant", "no client credentials user enabled"))
		}, []string{"✗ Salesforce", "→ choose a Run As user"}},
		{"Audience", nil, func(c *checked) { c.answers(tokenPath, 400, oauthError("invalid_grant", "Audience validation failed")) }, []string{"✗ Salesforce", "→ set HC_SALESFORCE_LOGIN_URL to https://login.salesforce.com, for a sandbox"}},
		{"AddressRefused", nil, func(c *checked) { c.answers(tokenPath, 400, oauthError("invalid_grant", "ip restricted")) }, []string{"✗ Salesforce", "→ allow this machine's address"}},
		{"UserInactive", nil, func(c *checked) { c.answers(tokenPath, 400, oauthError("invalid_grant", "inactive user")) }, []string{"✗ Salesforce", "→ activate the user"}},
		{"RefreshTokenExpired", nil, func(c *checked) {
			c.answers(tokenPath, 400, oauthError("invalid_grant", "expired access/refresh token"))
		}, []string{"✗ Salesforce", "→ authorise the app again"}},
		{"RefreshTokenRotates", func(c *checked) {
			c.opt.RotateRefreshTokens, c.env["HC_SALESFORCE_AUTH"], c.env["HC_SALESFORCE_REFRESH_TOKEN"] = true, "refresh_token", org.DefaultRefreshToken
		}, nil, []string{"✗ Salesforce: the app rotates refresh tokens: this login used up the one in HC_SALESFORCE_REFRESH_TOKEN", "→ switch Refresh Token Rotation off", "authorise the app again"}},
		{"FlowRefused", nil, func(c *checked) {
			c.answers(tokenPath, 400, oauthError("unsupported_grant_type", "grant type not supported"))
		}, []string{"✗ Salesforce", "→ enable the flow password"}},
		{"HostUnknown", func(c *checked) { c.env["HC_SALESFORCE_LOGIN_URL"] = "https://no-such-org.invalid" }, nil, []string{"✗ Salesforce: no login", "→ see that HC_SALESFORCE_LOGIN_URL is the org's My Domain"}},
		{"HostOfAnother", nil, func(c *checked) { c.sf.Fault(org.Fault{Path: tokenPath, Verb: org.HTML, Status: http.StatusNotFound}) }, []string{"✗ Salesforce", "→ "}},

		// What the user and the org may.
		{"NoAPIForUser", nil, func(c *checked) {
			c.answers("/limits", 403, apiError("API_CURRENTLY_DISABLED", "API is disabled for this User"))
		}, []string{"✗ Salesforce: the user may not use the API", "→ grant the user API Enabled"}},
		{"NoAPIForOrg", nil, func(c *checked) {
			c.answers("/limits", 403, apiError("API_DISABLED_FOR_ORG", "The REST API is not enabled for this Organization."))
		}, []string{"✗ Salesforce: the user, or the whole org, may not use the API", "→ grant the user API Enabled", "an org needs Enterprise"}},
		{"NoViewSetup", nil, func(c *checked) {
			c.answers("/limits", 403, apiError("INSUFFICIENT_ACCESS", "insufficient access rights"))
		}, []string{"✓ Salesforce: 9", "of 100000 API calls left", "✓ Salesforce: other limits cannot be read without View Setup and Configuration"}},
		{"CallsUsedUp", nil, func(c *checked) { c.sf.UseCalls(95_000) }, []string{"! Salesforce: only 4", "of 100000 API calls are left today", "→ wait, or buy API calls"}},
		{"BudgetTooLarge", nil, func(c *checked) { c.sf.UseCalls(50_000) }, []string{"! Salesforce: HC_API_DAILY_BUDGET allows 80000 API calls a day, but others have left only 4", "→ set it to less"}},
		{"ExportOfAnother", func(c *checked) {
			path := filepath.Join(c.t.TempDir(), "mapping.json")
			if err := os.WriteFile(path, []byte(`{"version": 1, "connection": {"organization_id": "00DAnother00001EAA"}, "mappings": []}`), 0o600); err != nil {
				c.t.Fatal(err)
			}
			c.env["HC_MAPPING_FILE"] = path
		}, nil, []string{"! HC_MAPPING_FILE: the file was exported of org 00DAnother00001EAA, and the user logs in to org 00D", ": its mappings are used all the same → nothing, if it is meant for both", "✓ Account"}},
		{"BudgetUsedUp", func(c *checked) { c.env["HC_API_DAILY_BUDGET"] = "20%" }, func(c *checked) { c.sf.UseCalls(20_000) }, []string{"! Salesforce: HC_API_DAILY_BUDGET is used up: it allows 20000 API calls a day, and the whole org has used 2000", "→ set it to more"}},
		{"BudgetWithoutPercent", func(c *checked) {
			c.env["HC_API_DAILY_BUDGET"], c.env["HC_OBJECTS"] = "8", "Account,Contact"
		}, nil, []string{"! Salesforce: HC_API_DAILY_BUDGET allows 8 API calls a day, and each mapped object needs five, 10 in all", "→ set it to more calls, or to a share of the org's with its percent sign, as 80%"}},
		{"EventsUsedUp", nil, func(c *checked) {
			c.answers(`/limits/?$`, 200, `{"DailyApiRequests":{"Max":100,"Remaining":99},"DailyDurableStreamingApiEvents":{"Max":10000,"Remaining":12},"DurableStreamingApiConcurrentClients":{"Max":20,"Remaining":0}}`)
		}, []string{"! Streaming: only 12 of 10000 streaming events are left today", "→ map busy objects with _MODE=polling", "! Streaming: all 20 streaming clients of the org are in use", "→ end one"}},
		{"VersionRetired", func(c *checked) { c.env["HC_SALESFORCE_API_VERSION"] = "99.0" }, nil, []string{"✗ Salesforce: the org does not know API version 99.0", "→ set HC_SALESFORCE_API_VERSION to 67.0"}},
		{"VersionOld", func(c *checked) { c.env["HC_SALESFORCE_API_VERSION"] = "60.0" }, nil, []string{"! Salesforce: API version 60.0 is 7 releases behind the org, which knows 67.0", "→ set HC_SALESFORCE_API_VERSION to a newer version"}},
		{"VersionNotSoOld", func(c *checked) { c.env["HC_SALESFORCE_API_VERSION"] = "61.0" }, nil, []string{"✓ Salesforce: API version 61.0"}},
		{"ClockAhead", func(c *checked) { c.opt.Now = func() time.Time { return time.Now().Add(-time.Hour) } }, nil, []string{"! Salesforce: this machine's clock is 1h0m", "s ahead of Salesforce's", "→ set the clock"}},
		{"ClockBehind", func(c *checked) { c.opt.Now = func() time.Time { return time.Now().Add(10 * time.Minute) } }, nil, []string{"! Salesforce: this machine's clock is ", " behind Salesforce's", "→ set the clock"}},
		{"ExcessRights", nil, func(c *checked) {
			c.answers("UserPermissionAccess", 200, `{"totalSize":1,"done":true,"records":[{"PermissionsModifyAllData":true,"PermissionsManageUsers":true}]}`)
		}, []string{"! Salesforce: the user has Modify All Data and Manage Users, as a System Administrator has", "→ use a user with the profile “Minimum Access - API Only Integrations”"}},

		// Streaming.
		{"NoPushTopicRight", nil, func(c *checked) { c.sf.DenyPushTopics(true) }, []string{"! Streaming: no permission for PushTopics", "→ grant the user Read and Create on PushTopic"}},
		{"PushTopicNotCreateable", nil, func(c *checked) {
			ob := *c.sf.Object("PushTopic").With()
			c.sf.Define(&sobject.Object{Name: ob.Name, Label: ob.Label, LabelPlural: ob.LabelPlural, KeyPrefix: ob.KeyPrefix, Fields: ob.Fields})
		}, []string{"! Streaming: no permission for PushTopics", "→ grant the user Read and Create on PushTopic"}},
		{"NoStreamingChannelRight", nil, func(c *checked) { c.sf.DenyStreamingChannels(true) }, []string{"! Streaming: no permission for StreamingChannel", "→ grant the user Read and Create on StreamingChannel"}},
		{"NoRoomForTopics", nil, func(c *checked) {
			for i := range 39 {
				c.insert("PushTopic", map[string]any{"Name": fmt.Sprint("theirs", i), "Query": "SELECT Id FROM Account", "ApiVersion": 64, "NotifyForFields": "All"})
			}
		}, []string{"! Streaming: 39 of 40 PushTopics are in use and 2 more are wanted: Contact will be polled", "→ delete topics that nobody needs"}},
		{"NoStreaming", nil, func(c *checked) { c.answers("/cometd/", 404, "Not Found") }, []string{"! Streaming: there is no stream", "→ see that the org has the Streaming API"}},
		{"StreamForbidden", nil, func(c *checked) { c.answers("/cometd/", 403, "Forbidden") }, []string{"! Streaming: there is no stream", "→ see that the org has the Streaming API and that the user is API Enabled"}},
		{"NotSelected", func(c *checked) { c.env["HC_OBJECT_ACCOUNT_MODE"] = "cdc" }, nil, []string{"! Account: no change events", "→ select Account in Setup, Change Data Capture"}},
		{"NotSelectedAndSilent", func(c *checked) { c.env["HC_OBJECT_ACCOUNT_MODE"] = "cdc" }, func(c *checked) {
			c.sf.QuietCapture(true)
			c.answers("PlatformEventChannelMember", 200, `{"totalSize":1,"done":true,"records":[{"DeveloperName":"ChangeEvents_LeadChangeEvent","EventChannel":"ChangeEvents","SelectedEntity":"LeadChangeEvent"}]}`)
		}, []string{"! Account: it is not selected for Change Data Capture", "→ select Account in Setup, Change Data Capture"}},
		{"NoViewAllForChangeEvents", func(c *checked) { c.env["HC_OBJECT_ACCOUNT_MODE"] = "cdc" }, func(c *checked) {
			_ = c.sf.Select("Account")
			c.sf.DenyCapture("Account", true)
		}, []string{"! Account: no change events for this user", "→ grant the user View All Records on Account"}},

		// Objects and fields.
		{"ObjectHidden", nil, func(c *checked) { c.sf.DenyObject("Account", true) }, []string{"✗ Account: Salesforce has no object Account that this user may see", "→ correct HC_OBJECTS, or grant Read on the object"}},
		{"ObjectMissing", func(c *checked) { c.env["HC_OBJECTS"] = "Account,Contact,Nonsense__c" }, nil, []string{"✗ Nonsense__c: Salesforce has no object Nonsense__c", "→ correct HC_OBJECTS, or grant Read on the object"}},
		{"FieldHidden", func(c *checked) { c.env["HC_OBJECT_ACCOUNT_FIELDS"] = "Name,Industry" }, func(c *checked) { c.sf.HideField("Account", "Industry") }, []string{"✗ Account: Account has no field Industry that this user may see", "→ correct HC_OBJECT_ACCOUNT_FIELDS, or grant Read on the field"}},
		{"FieldNotWriteable", func(c *checked) {
			c.env["HC_OBJECT_CONTACT_FIELDS"] = "LastName,Title,External_Id__c"
		}, func(c *checked) {
			_ = c.sf.ChangeField("Contact", "Title", func(f *sobject.Field) { f.Createable, f.Updateable = false, false })
		}, []string{"! Contact: the user may not write Title: what the app changes there is not sent, and Salesforce's value comes back into the row", "→ grant the user Edit on the fields"}},
		{"Masked", func(c *checked) {
			c.env = map[string]string{"HC_OBJECTS": "Every__c", "HC_OBJECT_EVERY__C_ACCESS": "read_write", "HC_OBJECT_EVERY__C_FIELDS": "Name,Secret__c", "HC_OBJECT_EVERY__C_MODE": "polling"}
		}, nil, []string{"! Every__c: Salesforce shows a mask for Secret__c, which must not be written back: what the app changes there is not sent", "→ have the app write them by the API of Salesforce"}},
		{"RequiredFieldNotMapped", func(c *checked) {
			c.env["HC_OBJECT_CONTACT_FIELDS"] = "FirstName,External_Id__c"
		}, nil, []string{"! Contact: required in Salesforce and not mapped: LastName", "→ add them to HC_OBJECT_CONTACT_FIELDS"}},
		{"ObjectNotWriteable", nil, func(c *checked) {
			ob := c.sf.Object("Contact").With()
			ob.Deletable = false
			c.sf.Define(ob)
		}, []string{"! Contact: the user may not create, edit and delete these records", "→ grant the user Create, Edit and Delete on the object"}},
		{"NoExternalID", func(c *checked) { delete(c.env, "HC_OBJECT_CONTACT_EXTERNAL_ID") }, nil, []string{"! Contact: no external id", "→ deploy objects/Contact/fields/HC_Key__c.field-meta.xml as it is below", "HC_OBJECT_CONTACT_EXTERNAL_ID=HC_Key__c; or set HC_OBJECT_CONTACT_EXTERNAL_ID=External_Id__c, which is there", "\nobjects/Contact/fields/HC_Key__c.field-meta.xml\n", "<externalId>true</externalId>"}},
		{"FileLeftOut", func(c *checked) {
			c.env["HC_OBJECTS"], c.env["HC_OBJECT_EVERY__C_FIELDS"] = "Account,Contact,Every__c", "Text__c,Blob__c"
		}, nil, []string{"✓ Every__c: 4 fields", "! Every__c: left out, because no column can hold a file: Blob__c", "→ take them out of the mapping"}},
		{"Formulas", func(c *checked) { c.env["HC_OBJECTS"] = "Account,Contact,Every__c" }, nil, []string{"! Every__c: formula fields: Formula__c, Double_Formula__c; when a parent", "daily comparison only", "→ "}},
		{"FileRequired", func(c *checked) {
			c.env["HC_OBJECTS"], c.env["HC_OBJECT_EVERY__C_ACCESS"], c.env["HC_OBJECT_EVERY__C_FIELDS"] = "Account,Contact,Every__c", "read_write", "Text__c,Blob__c"
		}, func(c *checked) {
			_ = c.sf.ChangeField("Every__c", "Blob__c", func(f *sobject.Field) { f.Nillable = false })
		}, []string{"! Every__c: required in Salesforce, and no column can hold a file: Blob__c", "→ have the app make"}},
		{"ExternalIDNotUnique", nil, func(c *checked) {
			_ = c.sf.ChangeField("Contact", "External_Id__c", func(f *sobject.Field) { f.Unique = false })
		}, []string{"! Contact: External_Id__c is not unique", "→ mark the field as Unique"}},
		{"NotAnExternalID", func(c *checked) { c.env["HC_OBJECT_CONTACT_EXTERNAL_ID"] = "LastName" }, nil, []string{"✗ Contact: LastName is not an external id field of Contact", "→ correct HC_OBJECT_CONTACT_EXTERNAL_ID, or mark the field"}},
		{"NotStreamable", func(c *checked) { c.env["HC_OBJECTS"] = "Account,Contact,User" }, nil, []string{"! User: PushTopics do not support this object: it is polled", "→ set HC_OBJECT_USER_MODE=polling to say so"}},
	})
}

// An export of the org itself is told of as little as one that does not say: an id is its
// first 15 characters.
func TestCheckExportOf(t *testing.T) {
	t.Parallel()
	for of, told := range map[string]bool{"": false, "00D…": false, "00D000000000001": false, "00D000000000001EAA": false, "00D000000000002": true, "00d000000000001": true} {
		var got []Finding
		c := checker{cfg: &config.Config{MappingOrgID: of}, report: func(f Finding) { got = append(got, f) }}
		c.exportOf("00D000000000001EAA")
		if (len(got) == 1) != told {
			t.Errorf("of a file of org %q it says %+v", of, got)
		}
	}
}
