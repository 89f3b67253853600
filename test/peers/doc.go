// Package peers runs programs of other people against the simulated org, so
// that what we believe about Salesforce's API is checked by clients that were
// written against Salesforce itself:
//
//	CometD JavaScript client ─┐
//	faye                     ─┤
//	jsforce (on faye)        ─┼─▶ test/org
//	Salesforce CLI           ─┘
//
// and runs package bayeux against servers of other people, cometd-nodejs-server
// and faye, through every fault that a streaming client meets, and beside the
// clients of other people to compare the cost.
//
// It needs Node.js 20 or newer and npm, and fails without them. The programs are
// installed once into the user's cache directory, never into the source tree:
// the clients with the exact versions of js/package.json, the CLI with all the
// versions that its authors released it with; it takes 240 MB and a minute.
package peers
