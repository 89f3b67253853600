// Package sobject is the heart of a simulated Salesforce org: the schema, the
// records, and the rules by which a transaction changes them.
//
//	            ops
//	             │
//	             ▼
//	Commit ─▶ decode ─▶ check ─▶ references ─▶ triggers ─▶ unique ─▶ staged
//	          (types,   (length,  (exist, are    ([Org.     (whole     │ next op
//	          trim,     picklist, of the type)   Before])   record)    │
//	          scale)    email)                                         ▼
//	                 any refused and allOrNone? ──yes──▶ rolled back, nothing stored
//	                             │ no
//	                             ▼
//	                 one SystemModstamp for all ─▶ [Store.Apply] ─▶ watchers
//
// The rules are those of the SOAP and REST API Developer Guides and the Object
// Reference ("Field Types", "System Fields"); where those are silent the
// package decides and the comment at the place says what.
//
// # Values
//
// What is stored is what Salesforce would give back: text without surrounding
// white space, ” as null, decimals cut to the scale, datetimes to the second
// of UTC, multi-select picklists in definition order, ids with 18 characters.
// Storing a value that was read changes nothing but the stamp.
//
// # Delivery
//
// An [Org.Watch] function sees every transaction once, in commit order, with the
// records before and after. Records deleted because their parent was are
// marked. A lookup to a deleted record keeps its value.
//
// # Errors
//
// A refused operation has an [*Error] with the code, the message and the HTTP
// status of the REST API. It reports the first rule that fails, as Salesforce
// does.
//
// # Concurrency
//
// Transactions run one after another. Reads need no lock against them: records
// are immutable and scans run on snapshots. Everything exported is safe for
// concurrent use, except that an [Object] must not change once defined.
package sobject
