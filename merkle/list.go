package merkle

import (
	"crypto/sha256"

	"github.com/tagma-db/tagma/wire"
)

// MaxList bounds the items of a List, and MaxName the bytes of a name.
const (
	MaxList = 1 << 20
	MaxName = 1 << 10
)

// Item is a named digest.
type Item struct {
	Name   []byte // at most MaxName bytes
	Digest wire.Digest
}

// List is an ordered list under one digest, to join the roots of partitions: a
// Merkle tree as in RFC 6962, cut at the largest power of two that leaves
// something to the right. The root commits to the number of items too. A list
// beyond the bounds is the caller's bug and panics.
type List []Item

// Root is the digest of the list. It hashes every item.
func (l List) Root() wire.Digest {
	l.check()
	return listRoot(len(l), l.hash(nil, -1))
}

// Prove makes a proof that item i is in the list: i, the number of items, and
// the digests beside the path, from the item up.
func (l List) Prove(i int) []byte {
	l.check()
	path := &wire.Writer{}
	path.U32(uint32(i))
	path.U32(uint32(len(l)))
	_ = l[i]
	l.hash(path, i)
	return path.B
}

// VerifyItem checks a proof that an item is in the list with a trusted root,
// and returns its place in it. Exactly one proof verifies. The error is
// wire.ErrMalformed.
func VerifyItem(root wire.Digest, item Item, proof []byte) (i int, err error) {
	r := wire.NewReader(proof)
	at, n := int(r.U32()), int(r.U32())
	if at >= n || n > MaxList || len(item.Name) > MaxName {
		return 0, wire.ErrMalformed
	}
	digest := climb(&r, item.hash(), at, n)
	if err := r.Done(); err != nil {
		return 0, err
	}
	if listRoot(n, digest) != root {
		return 0, wire.ErrMalformed
	}
	return at, nil
}

// climb is the digest of the n items of which item at has the given one.
func climb(r *wire.Reader, digest wire.Digest, at, n int) wire.Digest {
	if n == 1 {
		return digest
	}
	k := leftOf(n)
	if at < k {
		digest = climb(r, digest, at, k)
		right := r.Digest()
		return pair(&digest, &right)
	}
	digest = climb(r, digest, at-k, n-k)
	left := r.Digest()
	return pair(&left, &digest)
}

func (l List) check() {
	bad := len(l) > MaxList
	for _, item := range l {
		bad = bad || len(item.Name) > MaxName
	}
	if bad {
		panic("merkle: a list beyond its bounds")
	}
}

// hash is the digest of the items; the digests beside the path to item i, if it
// is one of them, are added to path.
func (l List) hash(path *wire.Writer, i int) wire.Digest {
	switch len(l) {
	case 0:
		return wire.Digest{}
	case 1:
		return l[0].hash()
	}
	k := leftOf(len(l))
	left, right := l[:k].hash(path, i), l[k:].hash(path, i-k)
	if i >= 0 && i < k {
		path.Raw(right[:])
	} else if i >= k && i < len(l) {
		path.Raw(left[:])
	}
	return pair(&left, &right)
}

func (item Item) hash() wire.Digest {
	var w wire.Writer
	header(&w, kindItem, 0, 0)
	w.Bytes(item.Name)
	w.Raw(item.Digest[:])
	return sha256.Sum256(w.B)
}

func listRoot(n int, digest wire.Digest) wire.Digest {
	var w wire.Writer
	header(&w, kindList, 0, 0)
	w.U32(uint32(n))
	w.Raw(digest[:])
	return sha256.Sum256(w.B)
}
