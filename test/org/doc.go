// Package org is a Salesforce org on a loopback port, for tests of programs
// that talk to one and for trying them out without one.
//
// It is written from public documentation and recorded traffic only, so that
// a client tested against it is tested against the protocol and not against
// the assumptions of its own author. It behaves well unless it is told
// otherwise:
//
//	s := org.New(org.Options{}).Start()
//	defer s.Close()
//	id, err := s.Insert("Account", map[string]any{"Name": "Acme"}) // another user
//	f := s.Fault(org.Fault{Method: "PATCH", Path: "/sobjects/", Verb: org.FailAfterWrite, Times: 1})
//	… run the program against s.URL() …
//	s.Writes(id) // what really happened
//
// A request passes these stations:
//
//	journal ─▶ faults ─┬─▶ /services/oauth2, /id, /services/Soap   login
//	                   ├─▶ /services/data ─▶ session ─▶ daily limit ─┬─▶ records, queries, …
//	                   │                                             └─▶ jobs (package bulk)
//	                   └─▶ /cometd (package cometd)
//
//	records ─▶ sobject.Org ─┬─▶ PushTopics ──────────▶ /cometd
//	                        └─▶ Change Data Capture ─▶ /cometd
//
// Records, transactions and their validation are package sobject, queries
// package soql.
//
// # Delivery
//
// A PushTopic, or an entity that [Server.Select] has selected for Change Data
// Capture, follows the transactions of the org in commit order, whoever makes
// them: a REST request, a bulk job, [Server.Insert]. An event is stored
// before the write that caused it is answered. What a subscriber receives is
// the affair of package cometd.
//
// # Errors
//
// Refusals have the status, code and text that the documents give. Where they
// give none, or two sources disagree, the choice is named in a comment and the
// text is made up: clients should match codes. Methods of [Server] return
// refusals as [*sobject.Error]; misuse of this package panics.
//
// # Time
//
// [Options.Now] decides stamps, events, tokens, locators and replication
// windows, and the Date header. How long a poll, a [Hold] or a [Slow] lasts is
// real time.
//
// # Concurrency
//
// Everything exported is safe for concurrent use. Writes over REST and by an
// [Actor] run one at a time; an all-or-none composite request and a conditional
// write are single steps among them, though not among bulk jobs.
package org
