package pushtopic_test

import (
	"fmt"

	"hcbridge/bayeux"
	"hcbridge/pushtopic"
)

func ExamplePlan() {
	spec, err := pushtopic.Plan("Account", false, []pushtopic.Field{
		{Name: "Name", Type: "string", Length: 255},
		{Name: "BillingAddress", Type: "address"},
		{Name: "BillingCity", Type: "string", Length: 40, Compound: "BillingAddress"},
		{Name: "Description", Type: "textarea", Length: 32000},
	}, "64.0")
	fmt.Println(spec.Query, spec.Left, err)
	// Output: SELECT Id,SystemModstamp,Name,BillingCity FROM Account [BillingAddress Description] <nil>
}

func ExampleDecode() {
	e, err := pushtopic.Decode(bayeux.Message{
		Channel: "/topic/hc_Account",
		Data: []byte(`{"event":{"createdDate":"2018-10-18T14:53:48.101Z","replayId":7,"type":"deleted"},` +
			`"sobject":{"Id":"a001t000002SlMpAAK"}}`),
	})
	fmt.Println(e.Topic, e.Type, e.ReplayID, e.SFID, err)
	// Output: hc_Account deleted 7 a001t000002SlMpAAK <nil>
}
