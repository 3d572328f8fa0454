// Package client is the Go client of a Tagma cluster: sockets and goroutines
// around the pure pbft.Client, the typed operations of package kv, and the
// genesis file that names a cluster's members.
//
// It is not a protocol: what replies count, when to send again, and what an
// outcome is are decided by pbft.Client, so that the simulator runs the same
// decisions. Applications and the command tagma call it.
//
// The one rule: one goroutine owns the protocol core. Calls hand it their
// operations and wait; whatever has been handed in by the time it looks goes
// out in one signed request, so that many callers share one signature.
//
// What always holds:
//
//   - nothing is believed that f+1 replicas do not say alike, and of a read that
//     was not ordered nothing that q do not;
//   - an operation ends in one of three ways: a result, an Error of outcome
//     not done, or an Error of outcome unknown; an operation that was never
//     sent is never called unknown;
//   - while fewer than f+1 replicas are connected nothing is sent;
//   - after Close no goroutine of this package is left.
//
// Sources: docs/protocol.md sections 3, 10 and 11.
package client
