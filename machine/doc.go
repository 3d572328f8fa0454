// Package machine says what a replicated service is: a Machine that executes
// operations over Rows. Interfaces and plain values only; it is what a user
// of the library imports to replicate a service of their own.
//
// The one rule: Execute is deterministic. Its result and its writes follow
// from the rows and the call alone: no clock, no randomness, no map order,
// no floats, no memory kept between calls.
package machine
