// Package merkle is an authenticated, ordered, copy-on-write B+-tree: it turns
// the rows of one partition into one digest, proves rows, their absence and
// ranges against that digest, tells two trees apart at the cost of their
// difference, and hands a tree over node by node.
//
// It is not a store: it holds keys, digests and lengths, never values, and
// reads and writes nothing but through a Store that its caller gives it. The
// host applies the rows changed since the last checkpoint and signs the root;
// clients call Verify; a replica that fell behind uses Transfer.
//
// The one rule: the shape, and so the root, follows from the old tree and the
// list of changes alone. What is in memory, what was dropped, when a digest
// was computed: none of it matters. The constants of shape.go are therefore
// part of the protocol version.
//
// # Shape
//
// A leaf holds rows (key, digest, length); an inner node holds for each child
// its digest, the number of rows below it, and, but for the first child, a
// separator: keys below it are to the left, others to the right. A separator
// is the shortest prefix of the key to its right that is above the key to its
// left when the cut is made. An entry weighs 44 bytes and its key or separator.
//
//   - Full: more than 48 entries, or at least 8 that weigh more than 65,888
//     bytes (eight keys of 8 KiB). A full node is cut in halves, by bytes if
//     these are too many, else by entries; a half has at least 4 entries.
//   - Thin: fewer than 4 entries, or fewer than 16 that weigh less than 16,472
//     bytes. A node that a change left thin is joined with its right
//     neighbour under the same parent (the last one: with its left one), and
//     the result is cut if it is full.
//
// # What always holds
//
//	M1  Keys ascend strictly; child i holds exactly the keys from separator i
//	    up to, and without, separator i+1.
//	M2  All leaves are at level 0 and as deep as each other; there is no empty
//	    node and no inner node with one child.
//	M3  A node has at most 48 entries, and at most 65,896 bytes if it has 8
//	    entries or more. So no node is longer than MaxNode, 459,068 bytes, and
//	    with keys of at most 8 KiB none is longer than 65,896.
//	M4  A node other than the root has at least 4 entries; with keys of at most
//	    8 KiB at least 16 or 16,472 bytes; with keys of at most 980 bytes at
//	    least 16.
//	M5  The digest of a node is the SHA-256 of its level, the number of its
//	    entries and the root of a binary Merkle tree over them (hash.go). A node
//	    has one encoding and one digest, and no two nodes of one tree have the
//	    same.
//	M6  A tree never changes: no call on it or on a later tree alters what any
//	    call on it answers.
//
// By M4, n rows give at most 1 + log4(n/2) levels, with keys of at most 980
// bytes 1 + log16(n/2): six for sixteen million. Nobody can do worse by
// choosing keys, because no hash of a key and no chance decides the shape: only
// counts and lengths do. One who wants nodes of four entries pays for it with
// keys of kilobytes, and one who wants longer nodes with longer keys.
//
// # Proofs
//
// A proof shows consecutive rows, so what it says of absence rests on their
// places alone: separators and counts in it only lead to digests. It is trusted
// as far as its root is. Hashing entry by entry makes a proof of one row of a
// million 770 bytes long, where whole nodes took 6,350; in return 2.5 times as
// many bytes are hashed for a root.
//
// # What the caller does
//
//   - It calls Apply at the same points of the order on every replica: for each
//     slot, not for each checkpoint, if there are checkpoints that one replica
//     makes and another does not. The same changes in other batches make another
//     shape.
//   - It writes what Delta calls fresh before it names the new root. If not all
//     in one atomic batch, it notes beforehand which of them the store lacks,
//     and deletes these after a crash: the next root may be that of another
//     slot, and then no list names them.
//   - It deletes what Delta calls stale when no older root is needed, and never
//     what became fresh in the meantime: a digest comes back when rows do. So
//     whatever Delta calls fresh is taken off all lists of what is to be
//     deleted, in the batch that names the new root.
//   - A transfer passes over what the store holds. So nothing is deleted while
//     one runs, and at its end Delta from the local tree to the new one tells
//     what is fresh, also of that which was there. What a transfer saved and
//     Delta, of a local tree that is whole, does not call fresh, is left over
//     from a root that was given up: it is deleted, for no list names it.
//
// # Concurrency
//
// After Root, a tree may be read by several goroutines, also while a later tree
// is made from it: Len, Root, Stats, Get, Ascend, Prove, Diff, Delta and Apply
// keep nothing and write only to nodes that are new. Before Root, a tree and
// those made from it belong to one goroutine. Shed writes to nodes that are not
// shed yet, those of older trees among them: either every tree is shed before
// another goroutine sees it, or none is. The store is called by whoever reads.
//
// Sources: Bayer and McCreight 1972 and Bayer and Unterauer 1977 (prefix
// B-trees) for the shape; Merkle 1987; RFC 6962 section 2.1 for List.
package merkle
