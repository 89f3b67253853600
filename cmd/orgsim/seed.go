package main

import (
	"fmt"
	"iter"

	"hcbridge/test/org"
)

var (
	companies = []string{"Acme", "Burlington Textiles", "Dickenson", "Edge Communications", "Express Logistics", "GenePoint", "Grand Hotels", "Pyramid Construction", "United Oil & Gas", "University of Arizona"}
	firsts    = []string{"Ada", "Bruno", "Chidi", "Dolores", "Emeka", "Farah", "Greta", "Hiro", "Ines", "Jürgen", "Kofi", "Lucía"}
	lasts     = []string{"Abe", "Berg", "Castro", "Dubois", "Eze", "Fischer", "García", "Haddad", "Ito", "Jensen", "Kaya"}
	cities    = []string{"Nugegoda", "Burlington", "Lawrence", "Austin", "Portland", "Mountain View", "Chicago", "Paris", "New York", "Tucson"}
	trades    = []string{"Energy", "Education", "Hospitality", "Construction", "Biotechnology"}
)

// seed creates n accounts, and n contacts that belong to them.
func seed(s *org.Server, n int) error {
	accounts, err := s.InsertMany("Account", times(n, func(i int) map[string]any {
		return map[string]any{
			"Name":          fmt.Sprintf("%s %d", companies[i%len(companies)], i+1),
			"Industry":      trades[i%len(trades)],
			"BillingCity":   cities[i%len(cities)],
			"Phone":         fmt.Sprintf("+1 555 %07d", i),
			"AnnualRevenue": 10_000 * (i + 1),
		}
	}))
	if err != nil {
		return err
	}
	_, err = s.InsertMany("Contact", times(n, func(i int) map[string]any {
		first, last := firsts[i%len(firsts)], lasts[i%len(lasts)]
		return map[string]any{
			"FirstName": first,
			"LastName":  last,
			"Email":     fmt.Sprintf("contact%d@example.com", i+1),
			"AccountId": accounts[i],
		}
	}))
	return err
}

func times(n int, fields func(i int) map[string]any) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for i := range n {
			if !yield(fields(i)) {
				return
			}
		}
	}
}
