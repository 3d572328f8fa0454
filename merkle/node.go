package merkle

import (
	"bytes"
	"sort"

	"github.com/tagma-db/tagma/wire"
)

// Row is what the tree holds of one row: its key, and the SHA-256 and length
// of its value.
type Row struct {
	Key    []byte // at most MaxKey bytes
	Value  wire.Digest
	Length uint64
}

// The first bytes of whatever this package hashes or encodes: they keep apart
// its kinds, and its digests from those of frames.
var magic = [4]byte{'T', 'G', 'T', 1}

const (
	kindEmpty = iota // the tree without rows
	kindLeaf
	kindInner
	kindItem // List
	kindPair
	kindList // List
	kindRow
	kindChild

	headerSize = len(magic) + 1 + 1 + 2
)

// node is immutable but for its digest, which is computed when asked for, and
// but for leaves that Shed drops from kids.
//
//	magic 4 | kind 1 | level 1 | count 2 | entries
//	entry of a leaf:       key 4+n | digest 32 | length 8
//	entry of an inner node: separator 4+n, not for the first | digest 32 | rows 8
type node struct {
	level  uint8
	rows   []Row // of a leaf: 1 to maxEntries, ascending
	kids   []ref // of an inner node: 2 to maxEntries, ascending
	digest wire.Digest
	hashed bool // digest is set
	shed   bool // no leaf below is in memory
}

// ref is a child as its parent knows it. In a node the separator of the first
// child is nil, because that of the parent holds for it.
type ref struct {
	sep    []byte
	rows   uint64
	digest wire.Digest // valid if node is nil or hashed
	node   *node       // nil: in the store only
}

func (r ref) sum() wire.Digest {
	if r.node != nil {
		return r.node.digest
	}
	return r.digest
}

func (n *node) entries() int { return len(n.rows) + len(n.kids) }

// total is the number of rows in and below n.
func (n *node) total() uint64 {
	sum := uint64(len(n.rows))
	for i := range n.kids {
		sum += n.kids[i].rows
	}
	return sum
}

// between tells which children may hold keys from lo on and below hi, which is
// above lo or nil, for no bound: kids[first:end], at least one.
func (n *node) between(lo, hi []byte) (first, end int) {
	rest := n.kids[1:]
	first = sort.Search(len(rest), func(i int) bool { return bytes.Compare(rest[i].sep, lo) > 0 })
	end = len(n.kids)
	if hi != nil {
		end = 1 + sort.Search(len(rest), func(i int) bool { return bytes.Compare(rest[i].sep, hi) >= 0 })
	}
	return first, end
}

// rowsBetween are the rows of a leaf from lo on and below hi; nil is no bound.
func (n *node) rowsBetween(lo, hi []byte) []Row {
	from := searchRow(n.rows, lo)
	if hi == nil {
		return n.rows[from:]
	}
	return n.rows[from:max(from, searchRow(n.rows, hi))]
}

func searchRow(rows []Row, key []byte) int {
	return sort.Search(len(rows), func(i int) bool { return bytes.Compare(rows[i].Key, key) >= 0 })
}

// encode appends the encoding of n, whose children's digests are set, to w.
func (n *node) encode(w *wire.Writer) {
	header(w, kindOf(n.level), n.level, n.entries())
	for i := range n.rows {
		row := &n.rows[i]
		w.Bytes(row.Key)
		w.Raw(row.Value[:])
		w.U64(row.Length)
	}
	for i := range n.kids {
		if i > 0 {
			w.Bytes(n.kids[i].sep)
		}
		digest := n.kids[i].sum()
		w.Raw(digest[:])
		w.U64(n.kids[i].rows)
	}
}

func kindOf(level uint8) uint8 {
	if level == 0 {
		return kindLeaf
	}
	return kindInner
}

func header(w *wire.Writer, kind, level uint8, count int) {
	w.Raw(magic[:])
	w.U8(kind)
	w.U8(level)
	w.U16(uint16(count))
}

// decode reads the encoding of one node, which the node aliases. It checks all
// that can be seen of a node alone (M1 to M3); the error is wire.ErrMalformed.
// It allocates at most 64 bytes a row and 80 a child.
func decode(raw []byte) (*node, error) {
	if len(raw) > MaxNode {
		return nil, wire.ErrMalformed
	}
	r := wire.NewReader(raw)
	n := &node{}
	ours := bytes.Equal(r.Raw(len(magic)), magic[:])
	kind := r.U8()
	n.level = r.U8()
	switch {
	case ours && kind == kindLeaf && n.level == 0:
		n.rows = decodeRows(&r)
	case ours && kind == kindInner && n.level >= 1 && n.level <= maxLevel:
		n.kids = decodeKids(&r)
	default:
		r.Fail()
	}
	if full(n.entries(), len(raw)-headerSize) {
		r.Fail()
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return n, nil
}

func decodeRows(r *wire.Reader) []Row {
	rows := make([]Row, r.Count(maxEntries, entrySize))
	for i := range rows {
		rows[i] = Row{Key: r.Bytes(MaxKey), Value: r.Digest(), Length: r.U64()}
		if i > 0 && bytes.Compare(rows[i-1].Key, rows[i].Key) >= 0 {
			r.Fail()
		}
	}
	if len(rows) == 0 {
		r.Fail()
	}
	return rows
}

func decodeKids(r *wire.Reader) []ref {
	kids := make([]ref, r.Count(maxEntries, entrySize-4))
	sum := uint64(0)
	for i := range kids {
		kid := &kids[i]
		if i > 0 {
			kid.sep = r.Bytes(MaxKey)
			if bytes.Compare(kids[i-1].sep, kid.sep) >= 0 {
				r.Fail()
			}
		}
		kid.digest = r.Digest()
		kid.rows = r.U64()
		if kid.rows == 0 || kid.rows > maxRows-sum {
			r.Fail()
			return nil
		}
		sum += kid.rows
	}
	if len(kids) < 2 {
		r.Fail()
	}
	return kids
}

// place is what a parent says of a node: where it stands and what it holds.
type place struct {
	digest wire.Digest
	root   bool  // level and rows are not known
	level  uint8 // bounds the recursion
	rows   uint64
	lo, hi []byte // its keys are from lo on and below hi; nil: no bound
}

// open decodes what is said to be the node at p. The error is
// wire.ErrMalformed: the digest is another, or a node that cannot stand there.
func (p place) open(raw []byte) (*node, error) {
	n, err := open(raw)
	if err != nil || n.digest != p.digest || !p.fits(n) {
		return nil, wire.ErrMalformed
	}
	return n, nil
}

// open decodes a node and hashes it.
func open(raw []byte) (*node, error) {
	n, err := decode(raw)
	if err != nil {
		return nil, err
	}
	n.digest, n.hashed = newHasher().whole(n), true
	return n, nil
}

// fits checks what the parent says (M1, M2, M4). Within a tree with an honest
// root it never fails.
func (p place) fits(n *node) bool {
	if !p.root && (n.level != p.level || n.total() != p.rows || n.entries() < minEntries) {
		return false
	}
	if n.level > 0 {
		first, last := n.kids[1].sep, n.kids[len(n.kids)-1].sep
		return bytes.Compare(first, p.lo) > 0 && below(last, p.hi)
	}
	first, last := n.rows[0].Key, n.rows[len(n.rows)-1].Key
	return bytes.Compare(first, p.lo) >= 0 && below(last, p.hi)
}

// below reports key < hi; nil is no bound.
func below(key, hi []byte) bool { return hi == nil || bytes.Compare(key, hi) < 0 }

// kid is the place of child i of n, which stands at p.
func (p place) kid(n *node, i int) place {
	k := &n.kids[i]
	q := place{digest: k.sum(), level: n.level - 1, rows: k.rows, lo: p.lo, hi: p.hi}
	if i > 0 {
		q.lo = k.sep
	}
	if i+1 < len(n.kids) {
		q.hi = n.kids[i+1].sep
	}
	return q
}
