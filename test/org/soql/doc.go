// Package soql answers queries of the Salesforce Object Query Language on a
// store of package sobject.
//
//	text ──▶ Parse ──▶ *Query ──▶ Bind(schema) ──▶ Run ──▶ []Row ──▶ JSON, Cells
//	                                    │
//	                                    └────────▶ Match(record), SelectFields, WhereFields
//
// The subset is what an integration sends: fields and parent paths, COUNT(),
// WHERE with AND, OR, NOT, IN, NOT IN, LIKE and the comparisons, semi-joins,
// ORDER BY, LIMIT, OFFSET, FIELDS(...). Child subqueries, TYPEOF and GROUP BY
// are recognised, so that a PushTopic can be refused for them, but not run.
//
// # Meaning
//
// The rules are those of the SOQL and SOSL Reference. Names and text compare
// without regard to case, except in case-sensitive unique fields; ids compare
// by byte. Logic has two values: a null satisfies != and NOT IN, a null
// checkbox is false, ” is null. Nulls sort first. AND and OR do not mix
// without parentheses.
//
// # Access
//
// Candidates come from the id index or an external-id index if the condition
// names keys, along (SystemModstamp, Id) if it bounds the stamp or the order
// asks for it, else along Id; the whole condition is then evaluated on each.
// A keyset page of a million records reads little more than the page.
//
// # Errors
//
// Every refusal is an [*Error] with the errorCode and the text of the query
// resource, which quotes the query and marks the place.
//
// # Concurrency
//
// Bind and Run write to the Query and must not be called concurrently on the
// same one. A bound Query may Match on many goroutines.
package soql
