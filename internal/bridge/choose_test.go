package bridge

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"hcbridge/config"
	"hcbridge/internal/status"
	"hcbridge/internal/web"
	"hcbridge/test/org"
)

// login is how a bridge reaches the simulated org.
func login(sf *org.Server, settings ...string) []string {
	return append([]string{
		"HC_SALESFORCE_LOGIN_URL=" + sf.URL(), "HC_SALESFORCE_CLIENT_ID=" + org.DefaultClientID, "HC_SALESFORCE_CLIENT_SECRET=" + org.DefaultClientSecret,
		"HC_SALESFORCE_USERNAME=" + org.DefaultUsername, "HC_SALESFORCE_PASSWORD=" + org.DefaultPassword,
	}, settings...)
}

// newTestChooser returns what works out the mapping page of a bridge that has
// logged in to sf.
func newTestChooser(t *testing.T, sf *org.Server, settings ...string) *chooser {
	t.Helper()
	cfg, err := config.LoadOrg(login(sf, settings...))
	if err != nil {
		t.Fatal(err)
	}
	client, err := NewSalesforce(cfg, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	board := status.New()
	board.Connection(func(c *status.Connection) { c.OrgID, c.State = sf.ID(), status.Idle })
	return newChooser(cfg, newOrgMemory(client), board)
}

func testSalesforce(t *testing.T) *org.Server {
	t.Helper()
	sf := org.New(org.Options{}).Start()
	t.Cleanup(sf.Close)
	return sf
}

func TestPlanBeginsWithWhatIsConfigured(t *testing.T) {
	t.Parallel()
	c := newTestChooser(t, testSalesforce(t), "HC_OBJECTS=Contact,Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Phone", "HC_OBJECT_ACCOUNT_POLL_INTERVAL=1m", "HC_OBJECT_CONTACT_MODE=cdc")
	v := c.plan(t.Context(), web.Choice{})
	want := "HC_OBJECTS=Contact,Account\nHC_OBJECT_CONTACT_MODE=cdc\nHC_OBJECT_CONTACT_ACCESS=read_only\n" +
		"HC_OBJECT_ACCOUNT_MODE=streaming\nHC_OBJECT_ACCOUNT_ACCESS=read_only\nHC_OBJECT_ACCOUNT_FIELDS=Name,Phone\nHC_OBJECT_ACCOUNT_POLL_INTERVAL=1m\n"
	if v.Block != want || v.Trouble != "" || len(v.Problems) > 0 || len(v.Dropped) > 0 || len(v.Objects) < 10 {
		t.Errorf("%+v, want the block\n%s", v, want)
	}
	if v.Chosen[0].Change != "" || v.Chosen[1].Change != "" || v.Chosen[0].Fields != 0 || v.Chosen[1].Fields != 2 {
		t.Errorf("chosen are %+v", v.Chosen)
	}
	if !strings.Contains(v.File, `"Email": {}`) || !strings.Contains(v.File, `"object_name": "Contact"`) {
		t.Errorf("the file does not name every field of Contact:\n%s", v.File)
	}
	if again := c.plan(t.Context(), web.Choice{Block: v.Block}); again.Block != v.Block || again.File != v.File {
		t.Error("a block does not make itself")
	}
}

// An interval that was set is kept where it means something: that polls are not
// relaxed, or other than the default.
func TestPlanKeepsIntervals(t *testing.T) {
	t.Parallel()
	sf := testSalesforce(t)
	for _, test := range []struct {
		settings []string
		want     string // interval of Account in the block, if any
	}{
		{nil, ""},
		{[]string{"HC_OBJECT_ACCOUNT_POLL_INTERVAL=10m"}, "10m"},
		{[]string{"HC_OBJECT_ACCOUNT_POLL_INTERVAL=1m"}, "1m"},
		{[]string{"HC_POLL_INTERVAL=2m"}, ""},
		{[]string{"HC_POLL_INTERVAL=2m", "HC_OBJECT_ACCOUNT_POLL_INTERVAL=10m"}, "10m"},
	} {
		c := newTestChooser(t, sf, append(test.settings, "HC_OBJECTS=Account")...)
		v := c.plan(t.Context(), web.Choice{})
		_, got, _ := strings.Cut(v.Block, "POLL_INTERVAL=")
		if strings.TrimSpace(got) != test.want || v.Chosen[0].Change != "" {
			t.Errorf("%q: interval %q, want %q; %+v", test.settings, got, test.want, v.Chosen)
		}
	}
}

func TestPlanOfAnObject(t *testing.T) {
	t.Parallel()
	c := newTestChooser(t, testSalesforce(t), "HC_OBJECTS=Account")
	v := c.plan(t.Context(), web.Choice{Show: "Contact"})
	if v.Object == nil || v.Object.Object != "Contact" || !v.Object.Every || v.Object.Mode != "streaming" || v.Object.Access != "read_only" || v.Object.ExternalID != "External_Id__c" {
		t.Fatalf("%+v, %q", v.Object, v.Problems)
	}
	if len(v.Chosen) != 2 || v.Chosen[1].Change != "new" || !strings.Contains(v.Block, "HC_OBJECTS=Account,Contact\n") {
		t.Errorf("%+v\n%s", v.Chosen, v.Block)
	}
	field := func(name string) web.OrgField {
		return v.Object.Fields[slices.IndexFunc(v.Object.Fields, func(f web.OrgField) bool { return f.Field == name })]
	}
	for _, f := range []struct {
		web.OrgField
		column string
	}{
		{web.OrgField{Field: "LastName", Required: true, Streaming: true, Mapped: true}, "lastname"},
		{web.OrgField{Field: "Email", Streaming: true, Mapped: true}, "email"},
		{web.OrgField{Field: "Id", Streaming: true, Mapped: true, Always: true}, "sfid"},
		{web.OrgField{Field: "OtherAddress", Note: "mapped by its parts"}, ""},
	} {
		got := field(f.Field)
		if got.Required != f.Required || got.Streaming != f.Streaming || got.Mapped != f.Mapped || got.Always != f.Always || got.Note != f.Note || got.Column != f.column {
			t.Errorf("%+v, want %+v", got, f)
		}
	}
	if n := len(v.Object.Columns); n < 20 || v.Object.Columns[n-1].Name != "_hc_err" || v.Object.Columns[n-1].Field != "" {
		t.Errorf("columns are %+v", v.Object.Columns)
	}

	few := c.plan(t.Context(), web.Choice{Block: v.Block, Show: "Contact", Settings: &web.Settings{
		Object: "Contact", Mode: "polling", Access: "read_write", PollInterval: "90s", Fields: []string{"LastName", "Email"}, Parents: " Account.External_Id__c ", Indexes: []string{"Email", "Phone"},
	}})
	for _, line := range []string{
		"HC_OBJECT_CONTACT_MODE=polling", "HC_OBJECT_CONTACT_ACCESS=read_write", "HC_OBJECT_CONTACT_POLL_INTERVAL=1m30s",
		"HC_OBJECT_CONTACT_FIELDS=LastName,Email,Account.External_Id__c", "HC_OBJECT_CONTACT_INDEXES=Email",
	} {
		if !strings.Contains(few.Block, line+"\n") {
			t.Errorf("no %s in\n%s%q", line, few.Block, few.Problems)
		}
	}
	if strings.Contains(few.Block, "CONTACT_EXTERNAL_ID") || few.Object.Parents != "Account.External_Id__c" || len(few.Object.Columns) != 9 {
		t.Errorf("%+v\n%s", few.Object, few.Block)
	}
	none := c.plan(t.Context(), web.Choice{Block: v.Block, Settings: &web.Settings{Object: "Contact", Mode: "streaming", Access: "read_only"}})
	if !strings.Contains(none.Block, "HC_OBJECT_CONTACT_FIELDS=Id\n") {
		t.Errorf("no field at all has become\n%s", none.Block)
	}
	dropped := c.plan(t.Context(), web.Choice{Block: v.Block, Drop: "account"})
	if !strings.HasPrefix(dropped.Block, "HC_OBJECTS=Contact\n") || !slices.Equal(dropped.Dropped, []string{"Account"}) {
		t.Errorf("%q are dropped from\n%s", dropped.Dropped, dropped.Block)
	}
}

func TestPlanSaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	c := newTestChooser(t, testSalesforce(t), "HC_OBJECTS=Account", "HC_OBJECT_ACCOUNT_FIELDS=Name,Gone__c")
	fine := web.Settings{Object: "Account", Mode: "streaming", Access: "read_only", Fields: []string{"Phone"}}
	wrong := func(change func(*web.Settings)) web.Choice {
		s := fine
		change(&s)
		return web.Choice{Settings: &s, Show: "Account"}
	}
	for name, test := range map[string]struct {
		choice      web.Choice
		want, block string
	}{
		"AFieldThatIsGone":    {web.Choice{Show: "Account"}, "no field Gone__c", "_FIELDS=Name,Gone__c\n"},
		"AnObjectThatIsGone":  {web.Choice{Show: "Gone__c"}, "no object Gone__c", "HC_OBJECTS=Account\n"},
		"ABlockThatIsNone":    {web.Choice{Block: "HC_OBJECTS=<b>"}, "not an object's API name", "HC_OBJECTS=Account\n"},
		"AnInterval":          {wrong(func(s *web.Settings) { s.PollInterval = "soon" }), "not a duration", "_FIELDS=Phone\n"},
		"AnIntervalTooShort":  {wrong(func(s *web.Settings) { s.PollInterval = "1ms" }), "not a duration", "_FIELDS=Phone\n"},
		"AMode":               {wrong(func(s *web.Settings) { s.Mode = "x\nHC_SCHEMA=y" }), "", "_FIELDS=Name,Gone__c\n"},
		"AParentThatIsNoName": {wrong(func(s *web.Settings) { s.Parents = "a b" }), "not a field's API name", "_FIELDS=Name,Gone__c\n"},
		"AParentThatIsNot":    {wrong(func(s *web.Settings) { s.Parents = "Nobody__r.Code__c" }), "no relationship Nobody__r", "_FIELDS=Phone,Nobody__r.Code__c\n"},
		"AnExternalID":        {wrong(func(s *web.Settings) { s.ExternalID = "Phone" }), "not an external id field", "_EXTERNAL_ID=Phone\n"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := c.plan(t.Context(), test.choice)
			if !strings.Contains(strings.Join(v.Problems, "\n"), test.want) || len(v.Problems) == 0 || !strings.Contains(v.Block, test.block) || strings.Contains(v.Block, "SCHEMA") {
				t.Errorf("%q, want %q, with\n%s, want %q", v.Problems, test.want, v.Block, test.block)
			}
		})
	}
	v := c.plan(t.Context(), web.Choice{Show: "Account"})
	if i := slices.IndexFunc(v.Object.Fields, func(f web.OrgField) bool { return f.Field == "Gone__c" }); i < 0 || !v.Object.Fields[i].Mapped || v.Object.Columns != nil {
		t.Errorf("a field that is gone is not kept: %+v", v.Object)
	}
}

// Whatever keeps the org from being asked, the page says so and still gives the
// block away.
func TestPlanWithoutTheOrg(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		what func(c *chooser, sf *org.Server)
		want string
	}{
		"NotLoggedIn": {func(c *chooser, _ *org.Server) {
			c.board.Connection(func(s *status.Connection) { s.OrgID, s.State = "", status.Unauthorized })
		}, "not logged in to Salesforce yet (UNAUTHORIZED)"},
		"Standby": {func(c *chooser, _ *org.Server) {
			c.board.Connection(func(s *status.Connection) { s.OrgID, s.State = "", status.Standby })
		}, "stands by"},
		"OrgAway": {func(_ *chooser, sf *org.Server) { sf.Close() }, "could not be asked"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sf := testSalesforce(t)
			c := newTestChooser(t, sf, "HC_OBJECTS=Account")
			test.what(c, sf)
			v := c.plan(t.Context(), web.Choice{Show: "Account"})
			if !strings.Contains(v.Trouble, test.want) || v.Object != nil || !strings.Contains(v.Block, "HC_OBJECTS=Account\n") || v.File != "" || v.FileTrouble == "" {
				t.Errorf("%+v", v)
			}
		})
	}
}

// A person who chooses costs the org few calls.
func TestPlanAsksOnceAMinute(t *testing.T) {
	t.Parallel()
	sf := testSalesforce(t)
	c := newTestChooser(t, sf, "HC_OBJECTS=Account,Contact,Lead,Case,Opportunity,Task")
	calls := func() int {
		used, _ := sf.Usage()
		return used
	}
	for range 5 {
		if v := c.plan(t.Context(), web.Choice{Show: "Contact"}); v.Trouble != "" || v.File == "" {
			t.Fatalf("%+v", v)
		}
	}
	// The list, the one that is looked at, and the others in one.
	if n := calls(); n != 3 {
		t.Errorf("%d calls, want 3", n)
	}
	c.memory.mu.Lock()
	c.memory.objects.at = time.Now().Add(-rememberFor)
	for name, a := range c.memory.fields {
		a.at = a.at.Add(-rememberFor)
		c.memory.fields[name] = a
	}
	c.memory.mu.Unlock()
	c.plan(t.Context(), web.Choice{Show: "Contact"})
	if n := calls(); n != 6 {
		t.Errorf("%d calls a minute later, want 6", n)
	}
}
