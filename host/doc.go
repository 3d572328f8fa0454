// Package host is one replica made whole: the protocol core of package pbft
// joined with its log, its rows, its machine, its clients' sessions and an
// outbox. The simulator and the node drive the same Host.
//
// It is not a process: it has no goroutine, clock, socket or lock. Whoever
// drives it opens a round with Begin, hands in what arrived, closes it with
// End, syncs the log when NeedsSync says so, and reports that with Synced.
//
// The one rule: persist, then send, then execute. What the core marks as
// waiting leaves only when every record before it is durable [I5] [I6].
//
// Sessions and cached results are rows like any other, under the state root:
// a request executes at most once at every replica, also after restarts [I3].
//
// Sources: docs/protocol.md sections 4, 5 and 11.
package host
