package pushtopic

import (
	"strings"
	"testing"
)

// FuzzTopic reads a topic as anybody may have edited it, and what Salesforce says
// of a query that it refuses.
func FuzzTopic(f *testing.F) {
	f.Add("hc_Account", description("Account", "b1"), "SELECT Id,Name FROM Account", "No such column 'StateCode' on entity 'Lead'. If you are")
	f.Add("hc_Account", description("Account", "b1")+at+"7", " select Id from  Account WHERE Name = 'x'", "No such column 'x' OR 1=1'")
	f.Add("HC_ACCOUNT", at+"-99999999999999999999", "", "No such column ''")
	f.Fuzz(func(t *testing.T, name, text, query, message string) {
		topic := Topic{Name: name, Description: text, Query: query}
		if object, _, ok := claim(topic); ok && !strings.Contains(text, object) {
			t.Errorf("%q is of object %q", text, object)
		}
		if n := topic.epoch(); n < 0 {
			t.Errorf("%q is of epoch %d", text, n)
		}
		topic.describedAs(text)
		if topic.tellsAll("Account") {
			t.Error("a topic that is not active tells of everything")
		}
		if field := RefusedColumn(message); field != "" && !plain(field) {
			t.Errorf("%q blames %q", message, field)
		}
	})
}
