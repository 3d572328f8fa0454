// Package pbft is the protocol: what the replicas of one group and their
// clients say to each other. Replica and Client are pure state machines:
// inputs in, effects out; no goroutine, clock, lock, randomness, logger or
// disk. Package host drives a Replica, package client a Client; the
// simulator drives both with the same code.
//
// The one rule: a message reaches Step only as a Verified, which only Open
// makes; junk from others becomes an Event, never an error or a panic.
//
// One file per section of docs/protocol.md: message.go and open.go (2),
// normal.go and pending.go (3), record.go and restore.go (4), checkpoint.go
// (5), viewchange.go and newview.go (6), status.go and bodies.go (7),
// client.go (11). Invariants I1–I10 are those of section 12.
//
// Sources:
//
//	[PBFT99]  Castro, Liskov: Practical Byzantine Fault Tolerance, OSDI 1999
//	[TOCS02]  Castro, Liskov: Practical Byzantine Fault Tolerance and
//	          Proactive Recovery, ACM TOCS 20(4), 2002
//
// Departure: all votes but commits are signed, so that certificates convince
// third parties and no Q-set is needed (docs/protocol.md sections 1 and 6).
// Departure: the log is durable; one sync on the critical path (section 4).
package pbft
