// Package pushtopic plans, maintains and reads PushTopics, Salesforce's
// channels of record changes.
//
//	fields ──▶ Plan ──▶ Spec ──▶ Ensure ──▶ PushTopic in the org
//	                                              │ /topic/hc_Account
//	         Event ◀── Decode ◀── bayeux.Message ◀┘
//
// # Whose a topic is
//
// A topic belongs to the bridge that made it, and says so in its Description:
// "hcbridge: Account of " and the name by which the bridge knows itself. Its
// bridge repairs it when somebody changed it and removes it when it is no longer
// wanted. Nobody else edits or removes it, so that two bridges on one org cannot
// undo each other's work for ever.
//
// The name of a topic is that of its object, for all bridges: the second to come
// uses the topic of the first, which saves one of the few that an org may have.
// It need not carry the fields that the second maps, as an event says at least
// which record changed. If it stops telling of every change the second cannot
// use it ([ErrTaken]) until its bridge has repaired it. A topic that no bridge
// made is never touched nor used, whatever its name ([ErrForeign]).
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
// [ErrUnsupported], [ErrForeign], [ErrTaken] and [ErrMalformed] tell what to do; errors of
// the [API] pass through wrapped.
//
// # Concurrency
//
// There is no state: all functions are safe for concurrent use as far as the
// [API] is.
package pushtopic
