package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/tagma-db/tagma/wire"
)

// Whatever this package hashes begins with a header whose kind says what it
// is, so no digest of one kind is one of another:
//
//	row     header | key 4+n | value 32 | length 8
//	child   header | separator 4+n, of the first none | digest 32 | rows 8
//	pair    header | left 32 | right 32
//	node    header with level and count | digest of the binary tree over its entries
//
// The binary tree is that of RFC 6962: cut at the largest power of two that
// leaves something to the right. The count fixes its form.

// sums are digests of the entries of one node.
type sums [maxEntries]wire.Digest

// hasher hashes, in room that it uses again, and counts the bytes.
type hasher struct {
	room  wire.Writer
	sums  sums
	bytes int
}

func newHasher() *hasher { return &hasher{room: wire.Writer{B: make([]byte, 0, 256)}} }

func (h *hasher) row(row *Row) wire.Digest {
	return h.keyed(kindRow, row.Key, &row.Value, row.Length)
}

func (h *hasher) child(sep []byte, digest *wire.Digest, rows uint64) wire.Digest {
	return h.keyed(kindChild, sep, digest, rows)
}

func (h *hasher) keyed(kind uint8, key []byte, digest *wire.Digest, number uint64) wire.Digest {
	b := append(h.room.B[:0], magic[0], magic[1], magic[2], magic[3], kind, 0, 0, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(len(key)))
	b = append(b, key...)
	b = append(b, digest[:]...)
	h.room.B = binary.BigEndian.AppendUint64(b, number)
	h.bytes += len(h.room.B)
	return sha256.Sum256(h.room.B)
}

// node is the digest of a node whose entries have the given one.
func (h *hasher) node(level uint8, count int, entries wire.Digest) wire.Digest {
	h.room.B = h.room.B[:0]
	header(&h.room, kindOf(level), level, count)
	h.room.Raw(entries[:])
	h.bytes += len(h.room.B)
	return sha256.Sum256(h.room.B)
}

// whole is the digest of n, whose children's digests are set (M5).
func (h *hasher) whole(n *node) wire.Digest {
	for i := range n.entries() {
		h.sums[i] = h.entry(n, i)
	}
	return h.node(n.level, n.entries(), h.fold(h.sums[:n.entries()]))
}

// entry is the digest of entry i of n.
func (h *hasher) entry(n *node, i int) wire.Digest {
	if n.level == 0 {
		return h.row(&n.rows[i])
	}
	k := &n.kids[i]
	digest := k.sum()
	return h.child(k.sep, &digest, k.rows)
}

// fold is the root of the binary tree over list, which is not empty. It writes
// to list. To join neighbours level by level, an odd one being left as it is,
// makes the tree of RFC 6962.
func (h *hasher) fold(list []wire.Digest) wire.Digest {
	for n := len(list); n > 1; n = (n + 1) / 2 {
		for i := range n / 2 {
			list[i] = pair(&list[2*i], &list[2*i+1])
		}
		if n%2 == 1 {
			list[n/2] = list[n-1]
		}
		h.bytes += n / 2 * pairSize
	}
	return list[0]
}

const pairSize = headerSize + 2*len(wire.Digest{})

var pairHeader = func() (b [pairSize]byte) {
	var w wire.Writer
	header(&w, kindPair, 0, 0)
	copy(b[:], w.B)
	return b
}()

func pair(left, right *wire.Digest) wire.Digest {
	b := pairHeader
	copy(b[headerSize:], left[:])
	copy(b[headerSize+len(left):], right[:])
	return sha256.Sum256(b[:])
}

// leftOf is the largest power of two below n, which is at least 2.
func leftOf(n int) int { return 1 << (bits.Len(uint(n-1)) - 1) }

// beside counts the digests that stand for the entries outside from and up to
// to in a binary tree over n: those of the largest subtrees without one inside.
func beside(n, from, to int) int {
	switch {
	case from <= 0 && to >= n:
		return 0
	case from >= n || to <= 0:
		return 1
	}
	k := leftOf(n)
	return beside(k, from, to) + beside(n-k, from-k, to-k)
}
