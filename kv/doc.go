// Package kv is the store's machine: one keyspace with etcd's semantics. Keys
// have versions, every writing operation makes one revision, reads may name a
// revision, transactions compare and then act, and compaction forgets history.
//
// It is not a server and not a database: it knows no client, session, clock
// or disk. The host calls Machine.Execute with the rows of the keyspace and
// the bytes of one operation; clients and gateways use Op, DecodeOp, Result
// and DecodeResult. Leases, watches, access rules and nested transactions
// have their operation codes and row tags reserved (op.go, rows.go).
//
// The one rule: what Execute returns and writes follows from the rows and the
// operation alone. Operations are hostile input: a malformed one yields a
// Code, never a panic, and an operation that fails writes nothing.
//
// What always holds of the rows of a keyspace:
//
//   - revisions begin at 1 for the empty store; an operation that changes
//     something adds exactly one; its changes are numbered 0, 1, 2, …;
//   - every change since the compacted revision has one row under its key
//     (newest first) and one under its revision, so that one seek finds a
//     value as of any revision, and one scan all changes of a revision;
//   - below the compacted revision only what is readable at that revision is
//     kept, once the sweep (compact.go) has come by.
//
// Departures from etcd, each deliberate: a negative revision to read at means
// the present one also inside a transaction; a delete "from key on" (end of
// one zero byte) conflicts with a put of the same transaction, where etcd
// overlooks it; ties in a sort are in key order, where etcd leaves them open;
// an answer is cut at MaxPayload, and previous pairs beyond it are refused.
//
// Sources: etcd's server/etcdserver/txn and server/storage/mvcc (v3.7) for
// the semantics; docs/adr/0005-row-layout.md for the rows.
package kv
