package merkle

import "github.com/tagma-db/tagma/wire"

// Stand says where in a tree a node stands, so that a source finds it without
// an index of digests.
type Stand struct {
	Level uint8  // TopLevel: the root, whatever its level
	Lo    []byte // keys of the node are from here on
}

// TopLevel is above all levels.
const TopLevel = maxLevel + 1

// Stands tells where the nodes stand that Wanted names, in its order.
func (t *Transfer) Stands() []Stand {
	out := make([]Stand, len(t.Wanted()))
	for i, p := range t.asked {
		out[i] = Stand{Level: p.level, Lo: p.lo}
		if p.root {
			out[i].Level = TopLevel
		}
	}
	return out
}

// Encoding is the encoding of the node that stands at s, which may come from
// anyone, or nil if there is none. Root must have been called. The error is a
// *LostError.
func (t *Tree) Encoding(s Stand) ([]byte, error) {
	n, p := t.root.node, place{root: true}
	if n == nil {
		return nil, nil
	}
	for n.level > 0 && n.level > s.Level {
		i, _ := n.between(s.Lo, nil)
		var err error
		if n, p, err = t.child(n, p, i); err != nil {
			return nil, err
		}
	}
	var w wire.Writer
	n.encode(&w)
	return w.B, nil
}

// Nodes calls yield with the digest of every node. It loads no leaf. The error
// is a *LostError.
func (t *Tree) Nodes(yield func(wire.Digest)) error {
	if t.Root() == emptyRoot {
		return nil
	}
	yield(t.Root())
	return t.nodesBelow(t.root.node, place{root: true}, yield)
}

func (t *Tree) nodesBelow(n *node, p place, yield func(wire.Digest)) error {
	for i := range n.kids {
		yield(n.kids[i].sum())
		if n.level == 1 {
			continue
		}
		k, q, err := t.child(n, p, i)
		if err == nil {
			err = t.nodesBelow(k, q, yield)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
