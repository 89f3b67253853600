// Package standby tests that of two bridges on one schema exactly one works: under
// traffic in both directions the one at work is killed, stopped for a while and
// continued, or asked to end, again and again.
//
// What is proven is seen from outside. Each process has its own door to the org,
// which notes whose requests arrive in which order, and its own application_name
// in Postgres, where triggers note whose transactions were committed in which
// order. In both, the work of one ends before that of the other begins.
package standby
