package bridge

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"hcbridge/config"
	"hcbridge/internal/salesforce"
	"hcbridge/pushtopic"
)

// loginRemedy says what to do about a login that Salesforce refuses. The codes
// and texts are those of Salesforce Help, "OAuth 2.0 Authorization Errors".
func loginRemedy(cfg *config.Config, err error) string {
	var se *salesforce.Error
	if !errors.As(err, &se) {
		return "correct the credentials"
	}
	text := strings.ToLower(se.Message)
	says := func(part string) bool { return strings.Contains(text, part) }
	switch {
	case se.Code == "invalid_client_id":
		return "correct HC_SALESFORCE_CLIENT_ID: it is the Consumer Key of the External Client App; one that was just made is known after ten minutes"
	case se.Code == "invalid_client":
		return "correct HC_SALESFORCE_CLIENT_SECRET: it is the Consumer Secret of the External Client App"
	case se.Code == "unsupported_grant_type":
		return "enable the flow " + string(cfg.Salesforce.Auth) + " in the External Client App, and see that HC_SALESFORCE_LOGIN_URL is the org's My Domain"
	case says("hasn't approved"):
		return "in the External Client App's policies choose “Admin approved users are pre-authorized”, and add the user's permission set"
	case says("audience"):
		return "set HC_SALESFORCE_LOGIN_URL to https://login.salesforce.com, for a sandbox to https://test.salesforce.com, or to the org's My Domain"
	case says("assertion"):
		return "HC_SALESFORCE_JWT_KEY must belong to the certificate that was uploaded to the External Client App"
	case says("no client credentials user"):
		return "choose a Run As user for the client credentials flow in the External Client App's policies"
	case says("ip restricted"):
		return "allow this machine's address: the user's profile, Login IP Ranges, and the app's policy, IP Relaxation"
	case says("inactive"):
		return "activate the user, or the org"
	case says("expired access/refresh token"):
		return "authorise the app again and set HC_SALESFORCE_REFRESH_TOKEN; a JWT key does not expire"
	case says("rate exceeded"):
		return "wait an hour: something logs in again and again"
	case says("authentication failure"):
		return "correct user and password; the password is followed by the security token, unless this address is trusted. The flow may be switched off for the org: use a JWT key"
	}
	return "correct the credentials, and see that the app allows this flow for the user"
}

// reachRemedy says what to do about a login that got no answer of Salesforce's.
func reachRemedy(err error) string {
	var op *net.OpError
	switch {
	case untrusted(err):
		return "have the certificates of this machine (ca-certificates) know the authority that signed, or name a file with it in SSL_CERT_FILE, as where a proxy opens TLS; and see that the clock is right"
	case errors.As(err, &op) && op.Op == "proxyconnect", refusedByProxy(err):
		return "correct HTTPS_PROXY (http://user:password@host:port), or leave Salesforce's hosts out with NO_PROXY"
	}
	return "see that HC_SALESFORCE_LOGIN_URL is the org's My Domain (Setup, My Domain), login.salesforce.com or test.salesforce.com, and can be reached from here"
}

// untrusted reports whether the certificate of who answered proves nothing.
func untrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification)
}

// refusedByProxy reports whether a proxy would not connect: Go's client has its status
// text alone as the error then.
func refusedByProxy(err error) bool {
	var u *url.Error
	if !errors.As(err, &u) {
		return false
	}
	return slices.ContainsFunc([]int{http.StatusForbidden, http.StatusProxyAuthRequired, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}, func(code int) bool {
		return u.Err.Error() == http.StatusText(code)
	})
}

// usable reports whether the user may use the API at all.
func (c *checker) usable(err error) bool {
	switch salesforce.CodeOf(err) {
	case "API_DISABLED_FOR_ORG":
		c.bad("Salesforce", "the user, or the whole org, may not use the API", "grant the user API Enabled (hcbridge check --salesforce-setup prints a permission set); an org needs Enterprise, Unlimited, Performance or Developer Edition, or the API as an add-on")
	case "API_CURRENTLY_DISABLED", "FUNCTIONALITY_NOT_ENABLED":
		c.bad("Salesforce", "the user may not use the API", "grant the user API Enabled (hcbridge check --salesforce-setup prints a permission set)")
	default:
		return true
	}
	return false
}

// exportOf tells of a mapping file that was exported of another org, which is no fault where
// a sandbox shares that of production. An id is its first 15 characters.
func (c *checker) exportOf(orgID string) {
	const length = 15
	if of := c.cfg.MappingOrgID; len(of) >= length && len(orgID) >= length && of[:length] != orgID[:length] {
		c.warn("HC_MAPPING_FILE", "the file was exported of org "+of+", and the user logs in to org "+orgID+": its mappings are used all the same", "nothing, if it is meant for both; else name the file of this org, or the user of that one")
	}
}

// leastCalls is what an object needs in a day that is of any use: polls, reading back, and
// its share of the comparison and of the description.
const leastCalls = 5

// allowances judges what is left of the org's limits.
func (c *checker) allowances(limits map[string]salesforce.Allowance) {
	const part = "Salesforce"
	if calls := limits["DailyApiRequests"]; calls.Max > 0 {
		budget, used, least := c.cfg.APIDailyBudget.Of(calls.Max), calls.Max-calls.Remaining, leastCalls*len(c.cfg.Objects)
		const remedy = "set it to more calls, or to a share of the org's with its percent sign, as 80%"
		switch {
		case budget < least:
			c.warn(part, fmt.Sprintf("HC_API_DAILY_BUDGET allows %d API calls a day, and each mapped object needs five, %d in all: polls and writes wait for hours", budget, least), remedy)
		case calls.Remaining*10 < calls.Max:
			c.warn(part, fmt.Sprintf("only %d of %d API calls are left today", calls.Remaining, calls.Max), "wait, or buy API calls; polls slow down as they run out")
		case used >= budget:
			c.warn(part, fmt.Sprintf("HC_API_DAILY_BUDGET is used up: it allows %d API calls a day, and the whole org has used %d; polls and writes wait until it has used fewer", budget, used),
				remedy+", or find who uses them (Setup, API Usage)")
		case budget > calls.Remaining:
			c.warn(part, fmt.Sprintf("HC_API_DAILY_BUDGET allows %d API calls a day, but others have left only %d of %d", budget, calls.Remaining, calls.Max),
				"set it to less, so that others are not stopped by the bridge, or find who uses them (Setup, API Usage)")
		default:
			c.good(part, "%d of %d API calls left", calls.Remaining, calls.Max)
		}
	}
	if events := limits["DailyDurableStreamingApiEvents"]; events.Max > 0 && events.Remaining*10 < events.Max {
		c.warn("Streaming", fmt.Sprintf("only %d of %d streaming events are left today: when there are none, objects are polled", events.Remaining, events.Max),
			"map busy objects with _MODE=polling, or buy events")
	}
	if clients := limits["DurableStreamingApiConcurrentClients"]; clients.Max > 0 && clients.Remaining <= 0 {
		c.warn("Streaming", fmt.Sprintf("all %d streaming clients of the org are in use: another one is refused, and objects are polled", clients.Max), "end one, perhaps one that was left running")
	}
}

// mostSkew is how far clocks may be apart. A JWT is valid for three minutes;
// the bridge goes by Salesforce's clock, but what it logs is by ours.
const mostSkew = time.Minute

func (c *checker) clock(server time.Time) {
	skew := time.Until(server).Round(time.Second)
	switch {
	case skew > mostSkew:
		c.warn("Salesforce", fmt.Sprintf("this machine's clock is %s behind Salesforce's: times in logs and in status are wrong", skew), "set the clock, for example with NTP")
	case skew < -mostSkew:
		c.warn("Salesforce", fmt.Sprintf("this machine's clock is %s ahead of Salesforce's: times in logs and in status are wrong", -skew), "set the clock, for example with NTP")
	}
}

// excess warns of a user whose stolen token would be worth more than the
// mapped objects. Where the org does not tell, nothing is said.
func (c *checker) excess(ctx context.Context, sf *salesforce.Client) {
	page, err := sf.Query(ctx, "SELECT PermissionsModifyAllData, PermissionsManageUsers FROM UserPermissionAccess", salesforce.QueryOpts{})
	if err != nil || len(page.Records) == 0 {
		return
	}
	var may struct{ PermissionsModifyAllData, PermissionsManageUsers bool }
	if json.Unmarshal(page.Records[0], &may) != nil {
		return
	}
	var excess []string
	if may.PermissionsModifyAllData {
		excess = append(excess, "Modify All Data")
	}
	if may.PermissionsManageUsers {
		excess = append(excess, "Manage Users")
	}
	if len(excess) > 0 {
		c.warn("Salesforce", "the user has "+strings.Join(excess, " and ")+", as a System Administrator has: whoever gets hold of the credentials has the whole org",
			"use a user with the profile “Minimum Access - API Only Integrations” and the permission set that hcbridge check --salesforce-setup prints")
	}
}

// topicRoom warns where the org has no room for the topics that are still to
// be made. (Streaming API Developer Guide, "PushTopic Streaming Allocations".)
func (c *checker) topicRoom(ctx context.Context, sf *salesforce.Client) {
	all, err := (topics{sf}).Find(ctx, "")
	if err != nil {
		return // told already
	}
	active := 0
	have := map[string]bool{}
	for _, t := range all {
		if t.IsActive {
			active++
			have[t.Name] = true
		}
	}
	var wanted []string
	for _, o := range c.cfg.Objects {
		if o.Mode == config.ModeStreaming && !have[pushtopic.Name(o.Name)] {
			wanted = append(wanted, o.Name)
		}
	}
	most := topicAllocation(ctx, sf)
	if room := max(0, most-active); most > 0 && room < len(wanted) {
		c.warn("Streaming", fmt.Sprintf("%d of %d PushTopics are in use and %d more are wanted: %s will be polled", active, most, len(wanted), some(wanted[room:])),
			"delete topics that nobody needs (SELECT Name FROM PushTopic), or map some objects with _MODE=cdc or _MODE=polling")
	}
}

// topicAllocation is how many active topics the org may have, 0 if that cannot
// be told.
func topicAllocation(ctx context.Context, sf *salesforce.Client) int {
	page, err := sf.Query(ctx, "SELECT OrganizationType FROM Organization", salesforce.QueryOpts{})
	if err != nil || len(page.Records) == 0 {
		return 0
	}
	var org struct{ OrganizationType string }
	if json.Unmarshal(page.Records[0], &org) != nil {
		return 0
	}
	switch org.OrganizationType {
	case "Unlimited Edition", "Performance Edition":
		return 100
	case "Enterprise Edition":
		return 50
	}
	return 40
}

// canaryRight warns where a mute stream would be noticed late.
func (c *checker) canaryRight(ctx context.Context, sf *salesforce.Client) {
	d, err := sf.Describe(ctx, canaryObject)
	if err == nil && d.Createable {
		return
	}
	c.warn("Streaming", "no permission for StreamingChannel: a stream that goes mute while nothing is written is noticed by the next poll only",
		"grant the user Read and Create on StreamingChannel (labelled Streaming Channels)")
}

// setBySalesforce are fields that nobody expects to write.
var setBySalesforce = []string{
	"Id", "IsDeleted", "SystemModstamp", "CreatedDate", "CreatedById", "LastModifiedDate", "LastModifiedById", "LastActivityDate", "LastViewedDate", "LastReferencedDate", "MasterRecordId",
}

// fieldRights warns of fields that will not be sent, and of those without which
// nothing can be inserted.
func (c *checker) fieldRights(m *mapping, d *salesforce.Describe) {
	var fixed, masked, missing, files []string
	for _, f := range d.Fields {
		named := containsFold(m.cfg.Fields, f.Name)
		mapped := slices.Contains(m.fields, f.Name)
		computed := f.Calculated || f.AutoNumber || containsFold(setBySalesforce, f.Name)
		switch {
		case mapped && f.Type == encrypted:
			masked = append(masked, f.Name)
		case mapped && (named || f.Custom) && !computed && !f.Createable && !f.Updateable:
			fixed = append(fixed, f.Name)
		case !mapped && f.Createable && !f.Nillable && !f.DefaultedOnCreate && f.Type != "boolean" && !c.byParent(m, f):
			if f.Type == "base64" {
				files = append(files, f.Name)
			} else {
				missing = append(missing, f.Name)
			}
		}
	}
	if len(fixed) > 0 {
		c.warn(m.cfg.Name, "the user may not write "+strings.Join(fixed, ", ")+": what the app changes there is not sent, and Salesforce's value comes back into the row", "grant the user Edit on the fields, unless Salesforce computes them")
	}
	if len(masked) > 0 {
		c.warn(m.cfg.Name, "Salesforce shows a mask for "+strings.Join(masked, ", ")+", which must not be written back: what the app changes there is not sent", "have the app write them by the API of Salesforce, or take them out of the mapping")
	}
	if len(missing) > 0 {
		c.warn(m.cfg.Name, "required in Salesforce and not mapped: "+strings.Join(missing, ", ")+"; rows that the app inserts will be refused",
			"add them to HC_OBJECT_"+strings.ToUpper(m.cfg.Name)+"_FIELDS")
	}
	if len(files) > 0 {
		c.warn(m.cfg.Name, "required in Salesforce, and no column can hold a file: "+strings.Join(files, ", ")+"; rows that the app inserts will be refused",
			"have the app make such records by the API of Salesforce; the bridge then syncs the rest of them")
	}
}

// byParent reports whether a lookup is written by its parent's external id.
func (c *checker) byParent(m *mapping, f salesforce.Field) bool {
	return f.RelationshipName != "" && slices.ContainsFunc(m.fields, func(name string) bool { return strings.HasPrefix(name, f.RelationshipName+".") })
}

// refusedObject explains why an object cannot be described.
func refusedObject(err error) string {
	var se *salesforce.Error
	if errors.As(err, &se) && se.Status == http.StatusNotFound {
		return "correct HC_OBJECTS, or grant the user Read on the object (hcbridge check --salesforce-setup prints a permission set)"
	}
	return "try again"
}

// mappingRemedy takes what to do out of the text of a mapping error.
func mappingRemedy(err error) (text, remedy string) {
	text = err.Error()
	if i := strings.LastIndex(text, ": "); i >= 0 {
		for _, verb := range []string{"correct ", "take ", "set ", "grant "} {
			if strings.HasPrefix(text[i+2:], verb) {
				return text[:i], text[i+2:]
			}
		}
	}
	return text, "take it out of HC_OBJECTS"
}

// version reports whether the org knows the API version.
func (c *checker) version(ctx context.Context, sf *salesforce.Client) bool {
	versions, err := sf.Versions(ctx)
	if err != nil {
		c.bad("Salesforce", "the API versions cannot be read: "+err.Error(), "see that HC_SALESFORCE_LOGIN_URL can be reached from here")
		return false
	}
	want := c.cfg.Salesforce.APIVersion
	if !slices.ContainsFunc(versions, func(v salesforce.Version) bool { return v.Version == want }) {
		newest := ""
		if len(versions) > 0 {
			newest = versions[len(versions)-1].Version
		}
		c.bad("Salesforce", "the org does not know API version "+want, "set HC_SALESFORCE_API_VERSION to "+newest+" or another version of the org")
		return false
	}
	c.age(want, versions)
	return true
}

// versionsBehind is how many releases an API version may be behind the org's: two years.
const versionsBehind = 6

// age warns of an API version that will be retired, and lacks what came since.
func (c *checker) age(want string, versions []salesforce.Version) {
	number := func(version string) int {
		whole, _, _ := strings.Cut(version, ".")
		n, _ := strconv.Atoi(whole) // 0 for what is no number
		return n
	}
	newest := slices.MaxFunc(versions, func(a, b salesforce.Version) int { return cmp.Compare(number(a.Version), number(b.Version)) }).Version
	if behind := number(newest) - number(want); behind > versionsBehind {
		c.warn("Salesforce", fmt.Sprintf("API version %s is %d releases behind the org, which knows %s", want, behind, newest), "set HC_SALESFORCE_API_VERSION to a newer version, up to "+newest)
		return
	}
	c.good("Salesforce", "API version %s", want)
}

// formulas warns of what no event and no poll tells.
func (c *checker) formulas(m *mapping) {
	computed := slices.DeleteFunc(slices.Clone(m.moving), func(name string) bool { return strings.Contains(name, ".") }) // a parent's field
	if len(computed) > 0 {
		c.warn(m.cfg.Name, "formula fields: "+strings.Join(computed, ", ")+"; when a parent that they read changes, that is noticed by the daily comparison only",
			"nothing, if that is soon enough; else take them out and have the app compute them, or hcbridge reload "+m.cfg.Name+" after such changes")
	}
}
