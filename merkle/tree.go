package merkle

import (
	"crypto/sha256"

	"github.com/tagma-db/tagma/wire"
)

// Store gives back the encodings of nodes that are not in memory.
type Store interface {
	// Load returns the encoding of a node by its digest, and whether it is
	// there. The bytes must not be changed afterwards. They are not trusted.
	Load(digest wire.Digest) (raw []byte, ok bool)
}

// LostError says that the store lacks a node, or has other bytes in its place.
type LostError struct{ Digest wire.Digest }

func (e *LostError) Error() string {
	return "merkle: the node " + e.Digest.String() + " is missing from the store or damaged"
}

// Tree is an immutable ordered map from keys to the digests and lengths of
// values (M6). Older trees stay valid and share their unchanged nodes.
type Tree struct {
	store Store // nil: all nodes are in memory
	root  ref   // its node is nil only in the empty tree; its separator is nil
	stats Stats
}

// Stats is what it cost to compute the root of one tree: the nodes that were
// new since the last tree whose root was asked for, and the bytes hashed.
type Stats struct{ Nodes, Bytes int }

// emptyRoot is the digest of the tree without rows.
var emptyRoot = func() wire.Digest {
	var w wire.Writer
	header(&w, kindEmpty, 0, 0)
	return sha256.Sum256(w.B)
}()

// New is the empty tree without a store.
func New() *Tree { return &Tree{} }

// Open is the tree with the given root, whose nodes are in store; trees made
// from it use store too. It loads the root; other nodes are loaded when they
// are needed, and kept by the trees that Apply makes. root is trusted, the
// store is not. A nil store is allowed for the empty root. The error is a
// *LostError.
func Open(root wire.Digest, store Store) (*Tree, error) {
	t := &Tree{store: store}
	if root == emptyRoot {
		return t, nil
	}
	n, err := load(store, place{digest: root, root: true})
	if err != nil {
		return nil, err
	}
	t.root = ref{rows: n.total(), digest: root, node: n}
	return t, nil
}

// load fetches the node at p from a store.
func load(store Store, p place) (*node, error) {
	if store != nil {
		if raw, ok := store.Load(p.digest); ok {
			if n, err := p.open(raw); err == nil {
				return n, nil
			}
		}
	}
	return nil, &LostError{p.digest}
}

// child is the node of child i of n, which stands at p, and its place.
func (t *Tree) child(n *node, p place, i int) (*node, place, error) {
	q := p.kid(n, i)
	if k := n.kids[i].node; k != nil {
		return k, q, nil
	}
	k, err := load(t.store, q)
	return k, q, err
}

// Len is the number of rows.
func (t *Tree) Len() uint64 { return t.root.rows }

// Root is the digest that commits to all rows (M5). The first call hashes the
// nodes that are new.
func (t *Tree) Root() wire.Digest {
	n := t.root.node
	if n == nil {
		return emptyRoot
	}
	if !n.hashed {
		h := newHasher()
		t.hash(n, h)
		t.stats.Bytes = h.bytes
	}
	return n.digest
}

// Stats tells what Root cost; zero before it was called, and for a tree whose
// nodes were all known.
func (t *Tree) Stats() Stats { return t.stats }

// hash computes the digests of n and below.
func (t *Tree) hash(n *node, h *hasher) {
	for i := range n.kids {
		k := &n.kids[i]
		if k.node == nil {
			continue
		}
		if !k.node.hashed {
			t.hash(k.node, h)
		}
		k.digest = k.node.digest
	}
	n.digest, n.hashed = h.whole(n), true
	t.stats.Nodes++
}

// Shed drops from memory the leaves that are new since the last tree that was
// shed. The store must hold them by now: see Delta. Without a store, or before
// Root, it does nothing. Inner nodes stay, less than a tenth of the whole when
// keys are short.
func (t *Tree) Shed() {
	if n := t.root.node; t.store != nil && n != nil && n.hashed {
		shed(n)
	}
}

func shed(n *node) {
	if n.shed {
		return
	}
	for i := range n.kids {
		k := &n.kids[i]
		if n.level == 1 {
			k.node = nil
		} else if k.node != nil {
			shed(k.node)
		}
	}
	n.shed = true
}

// Get returns the row of key, and whether there is one. The error is a
// *LostError.
func (t *Tree) Get(key []byte) (Row, bool, error) {
	n, p := t.root.node, place{root: true}
	if n == nil {
		return Row{}, false, nil
	}
	for n.level > 0 {
		i, _ := n.between(key, nil)
		var err error
		if n, p, err = t.child(n, p, i); err != nil {
			return Row{}, false, err
		}
	}
	i := searchRow(n.rows, key)
	if i == len(n.rows) || string(n.rows[i].Key) != string(key) {
		return Row{}, false, nil
	}
	return n.rows[i], true, nil
}

// Ascend calls yield for the rows lo ≤ key < hi in ascending order until it
// returns false. A nil hi is no bound. Keys must not be changed. The error is
// a *LostError, after all rows before the lost node.
func (t *Tree) Ascend(lo, hi []byte, yield func(Row) bool) error {
	return t.visit(lo, hi, func(n *node) bool {
		for _, row := range n.rowsBetween(lo, hi) {
			if !yield(row) {
				return false
			}
		}
		return true
	})
}

// visit calls yield for each node that may hold keys from lo on and below hi,
// parents before children, in the order of keys, until it returns false.
func (t *Tree) visit(lo, hi []byte, yield func(*node) bool) error {
	if t.root.node == nil || !below(lo, hi) {
		return nil
	}
	_, err := t.visitNode(t.root.node, place{root: true}, lo, hi, yield)
	return err
}

func (t *Tree) visitNode(n *node, p place, lo, hi []byte, yield func(*node) bool) (more bool, err error) {
	if !yield(n) {
		return false, nil
	}
	if n.level == 0 {
		return true, nil
	}
	first, end := n.between(lo, hi)
	for i := first; i < end; i++ {
		k, q, err := t.child(n, p, i)
		if err != nil {
			return false, err
		}
		if more, err := t.visitNode(k, q, lo, hi, yield); !more {
			return false, err
		}
	}
	return true, nil
}
