package merkle

import (
	"crypto/sha256"
	"errors"
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// ErrUnwanted says that bytes are not a node that was asked for.
var ErrUnwanted = errors.New("merkle: not a node that was asked for")

// Transfer fetches the tree of a trusted root, node by node, from sources that
// are not trusted. It asks for no node that the store or the local tree holds,
// and keeps none: the caller saves each in the store. So it can begin again at
// any time, also with another root, and what was saved counts.
//
// Low nodes are asked for first, so that at each level at most 48 times the
// window are waiting.
type Transfer struct {
	root   wire.Digest
	local  *Tree
	store  Store
	window int
	rest   [maxLevel + 1][]place // to look for, by level, the next one last
	asked  []place               // at most window, in the order of asking
}

// NewTransfer begins to fetch the tree with the given root. local is the tree
// that is already there, perhaps empty: what is below a node of it is taken to
// be held. store holds the nodes of local, and those that were saved by this
// or an earlier transfer. At most window nodes, at least one, are asked for at
// a time.
func NewTransfer(root wire.Digest, local *Tree, store Store, window int) *Transfer {
	t := &Transfer{root: root, local: local, store: store, window: max(window, 1)}
	if root != emptyRoot && root != local.Root() {
		t.rest[maxLevel] = []place{{digest: root, root: true}}
	}
	t.advance()
	return t
}

// Wanted are the digests of the nodes to ask for, the first asked for first.
// They stay until they are taken. None: the transfer is done.
func (t *Transfer) Wanted() []wire.Digest {
	out := make([]wire.Digest, len(t.asked))
	for i, p := range t.asked {
		out[i] = p.digest
	}
	return out
}

// Take accepts the encoding of a wanted node and returns its digest. The caller
// saves it under that digest before the transfer ends. The error is ErrUnwanted,
// and nothing has changed; or wire.ErrMalformed, if the node is the one asked
// for and yet none: then the root is no root of a tree, and the transfer cannot
// end.
func (t *Transfer) Take(raw []byte) (wire.Digest, error) {
	digest := wire.Digest{}
	if len(raw) <= MaxNode {
		digest = sha256.Sum256(raw)
	}
	i := slices.IndexFunc(t.asked, func(p place) bool { return p.digest == digest })
	if i < 0 {
		return wire.Digest{}, ErrUnwanted
	}
	n, err := t.asked[i].open(raw)
	if err != nil {
		return wire.Digest{}, err
	}
	p := t.asked[i]
	t.asked = slices.Delete(t.asked, i, i+1)
	t.expand(p, n)
	t.advance()
	return digest, nil
}

// Tree is the tree fetched, over the store. It panics before the transfer is
// done; the error is a *LostError.
func (t *Transfer) Tree() (*Tree, error) {
	if len(t.asked) > 0 {
		panic("merkle: the transfer is not done")
	}
	return Open(t.root, t.store)
}

// advance fills the window. What is in the store is passed over at once.
func (t *Transfer) advance() {
	for len(t.asked) < t.window {
		p, ok := t.next()
		if !ok {
			return
		}
		if n, err := load(t.store, p); err == nil {
			t.expand(p, n)
		} else {
			t.asked = append(t.asked, p)
		}
	}
}

// next takes the next place to look for.
func (t *Transfer) next() (p place, ok bool) {
	for level, list := range t.rest {
		if last := len(list) - 1; last >= 0 {
			t.rest[level] = list[:last]
			return list[last], true
		}
	}
	return place{}, false
}

// expand adds the children of n, the first one last, but for those that are
// nodes of the local tree.
func (t *Transfer) expand(p place, n *node) {
	if n.level == 0 {
		return
	}
	held := map[wire.Digest]bool{}
	if root := t.local.root.node; root != nil {
		t.local.digestsAt(held, root, place{root: true}, n.level-1, p.lo, p.hi)
	}
	for i := len(n.kids) - 1; i >= 0; i-- {
		if q := p.kid(n, i); !held[q.digest] {
			t.rest[q.level] = append(t.rest[q.level], q)
		}
	}
}

// digestsAt adds the digests of the nodes at a level that may hold keys from lo
// on and below hi. Below a node that its store lost there are none: they will
// be fetched.
func (t *Tree) digestsAt(held map[wire.Digest]bool, n *node, p place, level uint8, lo, hi []byte) {
	if n.level <= level {
		return
	}
	first, end := n.between(lo, hi)
	for i := first; i < end; i++ {
		if n.level == level+1 {
			held[n.kids[i].sum()] = true
		} else if k, q, err := t.child(n, p, i); err == nil {
			t.digestsAt(held, k, q, level, lo, hi)
		}
	}
}
