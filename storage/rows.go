package storage

import "github.com/tagma-db/tagma/machine"

// Store holds the rows of one host durably. It guarantees:
//
//  1. Reads see all writes, those since the last Commit included.
//  2. Commit makes the writes since the last one a single step, which names
//     the position applied with it. After any crash the rows are those of
//     some Commit, and Applied tells which.
//  3. That Commit is not before the one whose position Flush last returned.
//
// A Store is used by one goroutine at a time; only Flush and Peek may run beside it.
// Slices it returns are valid until the next write. Empty keys are allowed.
type Store interface {
	machine.Rows
	// Commit ends a step. applied is not below that of the step before. No
	// disk is waited for.
	Commit(applied uint64)
	// Applied is the position of the last step, 0 for a new store.
	Applied() uint64
	// Flush makes every step committed before the call durable and returns
	// the position of the last of these. An error is Err's.
	Flush() (applied uint64, err error)
	// Err is the first error of the disk: it is final. Reads then find
	// nothing, writes do nothing, and what was read since the last Commit
	// may be wrong: the replica stops.
	Err() error
	// Snapshot is the state of the last Commit, unchanged by later ones.
	Snapshot() machine.Snapshot
	// Peek is Get as of the last Commit, and may run beside everything else.
	// The value is the caller's and must not be changed.
	Peek(key []byte) (value []byte, ok bool)
	// Close ends the use of the store; it does not flush. Snapshots must be
	// closed before. The error is Err's or that of closing.
	Close() error
}
