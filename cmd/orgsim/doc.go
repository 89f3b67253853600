// Command orgsim is a Salesforce org on this machine: the APIs that a bridge
// needs over plain HTTP, with records that can be changed and faults that can
// be injected while it runs.
//
//	orgsim -seed 1000
//
// prints the environment of a bridge that talks to it, and serves until it is
// interrupted. GET /_org/ lists what can be done to the org, with curl lines to
// copy.
//
// Nothing is kept: a restart is a new org. The control API asks for no
// password, so the address should be a loopback one.
package main
