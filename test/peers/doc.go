// Package peers runs programs of other people against the simulated org, so
// that what we believe about Salesforce's API is checked by clients that were
// written against Salesforce itself:
//
//	CometD JavaScript client ─┐
//	                          ├─▶ test/org
//	jsforce (on faye) ────────┘
//
// and runs package bayeux against servers of other people, cometd-nodejs-server
// and faye, through every fault that a streaming client meets.
//
// It needs Node.js 18 or newer and npm, and fails without them. The clients are
// installed once, with the exact versions of js/package.json, into the user's
// cache directory and never into the source tree.
package peers
