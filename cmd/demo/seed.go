package main

import (
	"context"
	"fmt"
	"iter"
	"net"

	"hcbridge/test/org"
)

// seed fills the org with records for the first load.
func seed(sf *org.Server) error {
	accountIDs, err := sf.InsertMany("Account", each(accounts, func(i int) map[string]any {
		return map[string]any{
			"Name": fmt.Sprintf("Account %d", i), "Phone": fmt.Sprintf("+1 555 01%05d", i), "AnnualRevenue": i * 1000,
			"Website": fmt.Sprintf("https://account%d.example", i), "External_Id__c": fmt.Sprintf("account-%d", i),
		}
	}))
	if err != nil {
		return fmt.Errorf("seed accounts: %w", err)
	}
	if _, err = sf.InsertMany("Contact", each(contacts, func(i int) map[string]any {
		return map[string]any{
			"FirstName": "Contact", "LastName": fmt.Sprintf("Number %d", i), "Email": fmt.Sprintf("contact%d@example.com", i),
			"AccountId": accountIDs[i%len(accountIDs)], "External_Id__c": fmt.Sprintf("contact-%d", i),
		}
	})); err != nil {
		return fmt.Errorf("seed contacts: %w", err)
	}
	if _, err = sf.InsertMany("Invoice__c", each(accounts, func(i int) map[string]any {
		return map[string]any{"Account__c": accountIDs[i], "Amount__c": i, "External_Id__c": fmt.Sprintf("invoice-%d", i)}
	})); err != nil {
		return fmt.Errorf("seed invoices: %w", err)
	}
	return nil
}

func each(n int, fn func(i int) map[string]any) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(fn(i)) {
				return
			}
		}
	}
}

// freeAddr finds a loopback port that is free now.
func freeAddr(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}
