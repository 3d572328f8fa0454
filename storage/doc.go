// Package storage keeps what a node must not forget: the node log, which all
// groups of the node share, and the rows of each host.
//
// It is no database and knows no protocol: records are bytes, rows are bytes,
// and what a missing record means is for the caller to say. host and node
// call it, and sim runs them on its crashable file system and its rows in
// memory. It owns no goroutine. The one rule: after any crash, what it shows
// was written, in order, and nothing that it called durable is missing; where
// it cannot keep that promise it says ErrCorrupt and shows nothing.
//
// # The log
//
// Invariants:
//
//	L1  Sync returned p ⇒ every record up to p is replayed after any crash.
//	L2  What is replayed is a prefix of what was appended since the last Cut,
//	    behind the records that Cut carried.
//	L3  A bad record at or below a position that a header, or the manifest,
//	    names durable is ErrCorrupt; any other ends the log there.
//	L4  What OpenLog replayed is durable when it returns.
//	L5  A block that was synced is not written again while the log needs it.
//
// A folder holds numbered segments and a manifest, which alone says which of
// them are the log. Every change of shape (start, roll, Cut) writes a new
// segment, syncs it and the folder, and then replaces the manifest: one commit
// point, so that a crash leaves the old log or the new one. The manifest names
// a durable position too, so a missing segment or a bad record in a copy that
// a start made is seen at once.
//
// A record is valid in one place: its header must carry the log's salt (by its
// CRC), the boot number of its segment and the next position. Hence the bytes
// that a recycled file still holds cannot be taken for new ones: of this boot,
// their positions are lower than the segment's first; of an older boot, their
// boot numbers are. The salt is random, so clients cannot forge a header
// inside what they have us log.
//
// A start copies the records beyond the last position named durable to a new
// segment (L4): the kernel may show them though a failed sync lost them. Short
// segments are copied whole, so that restarts alone do not use up the disk.
//
// # Rows
//
// Store says what rows promise; PebbleRows and MemRows keep it alike.
//
// Sources: docs/protocol.md section 4, rules D1 to D6; docs/adr/0004-node-log.md;
// Rebello et al., "Can applications recover from fsync failures?", ATC'20;
// Alagappan et al., "Protocol-aware recovery for consensus-based storage",
// FAST'18 (telling a torn tail from a corrupt log).
package storage
