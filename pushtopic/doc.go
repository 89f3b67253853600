// Package pushtopic plans, maintains and reads PushTopics, Salesforce's
// channels of record changes.
//
//	fields ──▶ Plan ──▶ Spec ──▶ Ensure ──▶ PushTopic in the org
//	                                              │ /topic/hc_Account
//	         Event ◀── Decode ◀── bayeux.Message ◀┘
//
// A topic is ours if it has the name that [Name] makes of its object and says
// so in its Description ("hcbridge: Account"). Ours are repaired when somebody
// changed them and removed when no longer wanted; any other topic is never
// touched, whatever its name.
//
// # Delivery
//
// Topics notify of every change of a record that streams can carry
// (NotifyForFields=All, all four operations) and have no WHERE clause, since a
// record that stops matching one gives no event. The query holds Id,
// SystemModstamp and the mapped fields in their order, up to 1,300 characters;
// [Spec.Left] names those that need to be read another way. An event carries
// a recent image of a record, not a difference, and events of one transaction
// may come in reverse order ("Streaming API Developer Guide, Streaming API
// Notifications Sent in Reverse Order Within a Transaction").
//
// # Errors
//
// [ErrUnsupported], [ErrForeign] and [ErrMalformed] tell what to do; errors of
// the [API] pass through wrapped.
//
// # Concurrency
//
// There is no state: all functions are safe for concurrent use as far as the
// [API] is.
package pushtopic
