// Package node is the process: goroutines, sockets, one clock, one log device
// around hosts that know none of these. Whoever has the turn uses the host, the
// rows and the log: the loop, or the link that brings a frame while nobody else
// does. One goroutine waits for slow syncs, one flushes rows, one files evidence.
//
// It decides nothing about the protocol. The one rule: after the first error
// of the disk, or a halt of the core, the process votes no more and ends
// (docs/protocol.md D6).
//
// A node's folder holds FORMAT, key.pem, genesis.json, the log, the rows and the
// evidence.
// Create makes one, Start runs it.
//
// Sources: docs/protocol.md section 4; DESIGN: ARCHITECTURE.md.
package node
