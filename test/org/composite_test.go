package org_test

import (
	"strings"
	"testing"

	"hcbridge/test/org/sobject"
)

func TestComposite(t *testing.T) {
	t.Parallel()
	const base = "/services/data/v66.0"
	sub := func(method, path, ref, body string) string {
		if body != "" {
			body = `,"body":` + body
		}
		return text(`{"method":"%s","url":"%s%s","referenceId":"%s"%s}`, method, base, path, ref, body)
	}
	request := func(allOrNone bool, subs ...string) string {
		return text(`{"allOrNone":%t,"compositeRequest":[%s]}`, allOrNone, strings.Join(subs, ","))
	}
	type result struct {
		Body           any
		HTTPHeaders    map[string]string
		HTTPStatusCode int
		ReferenceID    string
	}
	run := func(t *testing.T, r *rig, body string) []result {
		t.Helper()
		a := r.data("POST", "/composite/", body)
		if a.status != 200 {
			t.Fatalf("got %d %s", a.status, a.body)
		}
		var out struct{ CompositeResponse []result }
		a.decode(t, &out)
		return out.CompositeResponse
	}
	linked := []string{
		sub("POST", "/sobjects/Account", "refAcc", `{"Name":"Parent"}`),
		sub("GET", "/sobjects/Account/@{refAcc.id}?fields=Id,Name", "read", ""),
		sub("POST", "/sobjects/Contact", "refCon", `{"LastName":"Child of @{read.Name}","AccountId":"@{refAcc.id}"}`),
		sub("GET", "/query?q=SELECT+Name+FROM+Contact+WHERE+Id='@{refCon.id}'", "found", ""),
		sub("PATCH", "/sobjects/Account/@{read.Id}", "patch", `{"Phone":"@{found.records[0].Name}"}`),
	}

	for _, allOrNone := range []bool{false, true} {
		t.Run(text("References/allOrNone=%t", allOrNone), func(t *testing.T) {
			t.Parallel()
			r := start(t)
			got := run(t, r, request(allOrNone, linked...))
			for i, want := range []int{201, 200, 201, 200, 204} {
				if got[i].HTTPStatusCode != want {
					t.Fatalf("subrequest %d answered %+v, want %d", i, got[i], want)
				}
			}
			account := r.s.Records("Account")
			if len(account) != 1 || account[0].Get(r.s.Object("Account"), "Phone") != "Child of Parent" {
				t.Errorf("got accounts %+v", account)
			}
			if want := base + "/sobjects/Account/" + account[0].ID; got[0].HTTPHeaders["Location"] != want || got[0].ReferenceID != "refAcc" {
				t.Errorf("got %+v, want Location %s", got[0], want)
			}
			if used, _ := r.s.Usage(); used != 1 {
				t.Errorf("it cost %d calls, want 1", used)
			}
		})
	}

	failing := append(append([]string(nil), linked[:3]...), sub("POST", "/sobjects/Account", "bad", `{"Phone":"1"}`))

	t.Run("AllOrNone", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		kept := r.insert("Account", map[string]any{"Name": "kept"})
		watched := 0
		r.s.Org().Watch(func(sobject.Tx) { watched++ })
		a := r.data("POST", "/composite", request(true, append([]string{sub("DELETE", "/sobjects/Account/"+kept, "del", "")}, failing...)...))
		halted := `{"body":[{"message":"The transaction was rolled back since another operation in the same transaction failed.","errorCode":"PROCESSING_HALTED"}],"httpHeaders":{},"httpStatusCode":400,"referenceId":"%s"}`
		a.want(t, 200, text(`{"compositeResponse":[`+halted+","+halted+","+halted+","+halted, "del", "refAcc", "read", "refCon")+
			`,{"body":[{"message":"Required fields are missing: [Name]","errorCode":"REQUIRED_FIELD_MISSING","fields":["Name"]}],"httpHeaders":{},"httpStatusCode":400,"referenceId":"bad"}]}`)
		if n := len(r.s.Records("Account")) + len(r.s.Records("Contact")); n != 1 || watched != 0 {
			t.Errorf("%d records and %d transactions after the rollback, want 1 and 0", n, watched)
		}
	})

	t.Run("AllOrNoneSeesWhatIsThere", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		kept := r.insert("Invoice__c", map[string]any{"External_Id__c": "x"})
		got := run(t, r, request(true,
			sub("POST", "/sobjects/Invoice__c", "other", `{"External_Id__c":"y"}`),
			sub("POST", "/sobjects/Invoice__c", "same", `{"External_Id__c":"x"}`)))
		if want := "duplicates value on record with id: " + kept[:15]; !strings.Contains(text("%v", got[1].Body), want) {
			t.Errorf("got %+v, want %q", got[1], want)
		}
		if n := len(r.s.Records("Invoice__c")); n != 1 {
			t.Errorf("%d invoices after the rollback, want 1", n)
		}
	})

	t.Run("WithoutAllOrNone", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		got := run(t, r, request(false, append(failing, sub("GET", "/sobjects/Account/@{bad.id}", "lost", ""))...))
		if got[3].HTTPStatusCode != 400 || len(r.s.Records("Account")) != 1 {
			t.Errorf("got %+v and %d accounts", got[3], len(r.s.Records("Account")))
		}
		if want := "Invalid reference specified. No value for id found in bad"; !strings.Contains(text("%v", got[4].Body), want) {
			t.Errorf("got %+v, want %q", got[4], want)
		}
	})

	t.Run("Bounds", func(t *testing.T) {
		t.Parallel()
		r := start(t)
		var many, heavy []string
		for i := range 26 {
			many = append(many, sub("GET", "/limits", text("r%d", i), ""))
		}
		for i := range 6 {
			heavy = append(heavy, sub("GET", "/query?q=SELECT+Id+FROM+Account", text("r%d", i), ""))
		}
		for name, body := range map[string]string{
			"26 subrequests": request(false, many...), "6 queries": request(false, heavy...),
			"a bad reference id": request(false, sub("GET", "/limits", "a-b", "")),
		} {
			if a := r.data("POST", "/composite", body); a.status != 400 {
				t.Errorf("%s answered %d %s", name, a.status, a.body)
			}
		}
	})
}

func TestBatch(t *testing.T) {
	t.Parallel()
	r := start(t)
	id := r.insert("Account", map[string]any{"Name": "A"})
	body := func(halt bool) string {
		return text(`{"haltOnError":%t,"batchRequests":[{"method":"PATCH","url":"v66.0/sobjects/Account/%s","richInput":{"Name":"B"}},`+
			`{"method":"GET","url":"v66.0/sobjects/Account/%s?fields=Name"},{"method":"GET","url":"v66.0/nope"},{"method":"GET","url":"v66.0/limits/recordCount?sObjects=Account"}]}`, halt, id, id)
	}
	head := text(`{"hasErrors":true,"results":[{"statusCode":204,"result":null},{"statusCode":200,"result":{"attributes":{"type":"Account","url":"/services/data/v66.0/sobjects/Account/%s"},"Name":"B"}},`+
		`{"statusCode":404,"result":%s},`, id, notFound())
	r.data("POST", "/composite/batch", body(false)).want(t, 200, head+`{"statusCode":200,"result":{"sObjects":[{"count":1,"name":"Account"}]}}]}`)
	if used, _ := r.s.Usage(); used != 4 {
		t.Errorf("four subrequests cost %d calls", used)
	}
	r.data("POST", "/composite/batch", body(true)).want(t, 200,
		head+`{"statusCode":412,"result":[{"message":"Batch processing was halted because a preceding request failed.","errorCode":"BATCH_PROCESSING_HALTED"}]}]}`)
}
