package merkle

import (
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
// window are waiting. A source can give a wanted node or nothing: what else it
// sends changes nothing and costs the decoding of at most MaxNode bytes. Only
// silence delays a transfer; so the caller counts time, not answers.
//
// A transfer belongs to one goroutine. It reads local, which must have its root
// by now, and store; until it is done, nothing may be deleted from the store.
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
	return t
}

const everything = int(^uint(0) >> 1)

// Look looks in the store for at most so many nodes; what is there is passed
// over. It reports whether nothing is left to look for until another node is
// taken: after that Wanted returns at once. A transfer that begins again where
// much was saved has much to look for, some ten microseconds a node; who must
// not stall that long calls Look between other work.
func (t *Transfer) Look(most int) (done bool) {
	for ; len(t.asked) < t.window; most-- {
		level := slices.IndexFunc(t.rest[:], func(list []place) bool { return len(list) > 0 })
		if level < 0 {
			return true
		}
		if most <= 0 {
			return false
		}
		last := len(t.rest[level]) - 1
		p := t.rest[level][last]
		t.rest[level] = t.rest[level][:last]
		if n, err := load(t.store, p); err == nil {
			t.expand(p, n)
		} else {
			t.asked = append(t.asked, p)
		}
	}
	return true
}

// Wanted are the digests of the nodes to ask for, the first asked for first.
// They stay until they are taken. None: the transfer is done. It calls Look for
// all there is.
func (t *Transfer) Wanted() []wire.Digest {
	t.Look(everything)
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
	n, err := open(raw)
	if err != nil {
		return wire.Digest{}, ErrUnwanted
	}
	i := slices.IndexFunc(t.asked, func(p place) bool { return p.digest == n.digest })
	if i < 0 {
		return wire.Digest{}, ErrUnwanted
	}
	p := t.asked[i]
	if !p.fits(n) {
		return wire.Digest{}, wire.ErrMalformed
	}
	t.asked = slices.Delete(t.asked, i, i+1)
	t.expand(p, n)
	return n.digest, nil
}

// Tree is the tree fetched, over the store. It panics before the transfer is
// done; the error is a *LostError.
func (t *Transfer) Tree() (*Tree, error) {
	if len(t.Wanted()) > 0 {
		panic("merkle: the transfer is not done")
	}
	return Open(t.root, t.store)
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

// maxHeld bounds what one node is compared with, should the local tree be far
// larger than the one that is fetched.
const maxHeld = 16 * maxEntries

// digestsAt adds the digests of the nodes at a level that may hold keys from lo
// on and below hi, up to maxHeld. Those left out are found in the store. Below
// a node that its store lost there are none: they will be fetched.
func (t *Tree) digestsAt(held map[wire.Digest]bool, n *node, p place, level uint8, lo, hi []byte) {
	if n.level <= level {
		return
	}
	first, end := n.between(lo, hi)
	for i := first; i < end && len(held) < maxHeld; i++ {
		if n.level == level+1 {
			held[n.kids[i].sum()] = true
		} else if k, q, err := t.child(n, p, i); err == nil {
			t.digestsAt(held, k, q, level, lo, hi)
		}
	}
}
