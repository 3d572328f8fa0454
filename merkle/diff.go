package merkle

import (
	"bytes"

	"github.com/tagma-db/tagma/wire"
)

// Delta tells which nodes new has and old has not, and the other way round:
// what to write to the store, and what to delete from it once no root that
// holds it is needed. Nodes come level by level from the top, within a level
// in the order of keys; raw is valid only during the call. Only nodes that
// differ are walked, and no leaf of old is loaded.
//
// No node is both fresh and stale in one step, and none that new has is stale.
// But a node may come back: if stale for one step and fresh for a later one, it
// must not be deleted. So who keeps lists of nodes to delete takes off them
// what becomes fresh again: see the package comment. Memory grows with the
// number of nodes that differ. The error is a *LostError.
func Delta(old, new *Tree, fresh func(digest wire.Digest, raw []byte), stale func(digest wire.Digest)) error {
	var w wire.Writer
	return unshared(old, new, func(gone, come []stand) error {
		for _, s := range gone {
			stale(s.digest)
		}
		for _, s := range come {
			n, err := s.get(new.store)
			if err != nil {
				return err
			}
			w.B = w.B[:0]
			n.encode(&w)
			fresh(s.digest, w.B)
		}
		return nil
	})
}

// Diff calls yield with the changes that make the rows of new out of those of
// old, in the order of keys, until it returns false; a deletion carries the
// row that was. Only nodes that differ are walked. The error is a *LostError.
func Diff(old, new *Tree, yield func(Change) bool) error {
	var was, is cursor
	err := unshared(old, new, func(gone, come []stand) error {
		was, is = cursor{store: old.store, rest: gone}, cursor{store: new.store, rest: come}
		return nil
	})
	for err == nil {
		if err = was.fill(); err != nil {
			break
		}
		if err = is.fill(); err != nil || len(was.rows)+len(is.rows) == 0 {
			break
		}
		if c, differs := step(&was, &is); differs && !yield(c) {
			break
		}
	}
	return err
}

// cursor walks the rows of some leaves of one level.
type cursor struct {
	store Store
	rest  []stand
	rows  []Row // of the present leaf; empty after fill: the end
}

func (c *cursor) fill() error {
	for len(c.rows) == 0 && len(c.rest) > 0 {
		n, err := c.rest[0].get(c.store)
		if err != nil {
			return err
		}
		c.rows, c.rest = n.rows, c.rest[1:]
	}
	return nil
}

// step moves on whichever cursor is behind, or both, and tells what differed.
func step(was, is *cursor) (c Change, differs bool) {
	order := 0
	switch {
	case len(was.rows) == 0:
		order = 1
	case len(is.rows) == 0:
		order = -1
	default:
		order = bytes.Compare(was.rows[0].Key, is.rows[0].Key)
	}
	if order <= 0 {
		c, differs = Change{Row: was.rows[0], Delete: true}, true
		was.rows = was.rows[1:]
	}
	if order >= 0 {
		row := is.rows[0]
		differs = order > 0 || row.Value != c.Value || row.Length != c.Length
		c = Change{Row: row}
		is.rows = is.rows[1:]
	}
	return c, differs
}

// stand is a node and where it stands.
type stand struct {
	place
	node *node // nil: to be loaded
}

func (s stand) get(store Store) (*node, error) {
	if s.node != nil {
		return s.node, nil
	}
	return load(store, s.place)
}

// unshared visits the nodes that only one of two trees has, level by level from
// the top; the last visit, if there is any, is that of the leaves. As no tree
// has a node twice (M5), a node of both has either its parent in both too, or
// is seen here under both and dropped.
func unshared(old, new *Tree, visit func(gone, come []stand) error) error {
	var gone, come []stand
	for level := maxLevel; level >= 0; level-- {
		gone, come = old.rootAt(gone, level), new.rootAt(come, level)
		gone, come = without(gone, come), without(come, gone)
		if err := visit(gone, come); err != nil {
			return err
		}
		if level == 0 {
			break
		}
		var err error
		if gone, err = childrenOf(gone, old.store); err != nil {
			return err
		}
		if come, err = childrenOf(come, new.store); err != nil {
			return err
		}
	}
	return nil
}

// rootAt is list, and the root if it is at this level: then list is empty.
func (t *Tree) rootAt(list []stand, level int) []stand {
	digest := t.Root()
	if n := t.root.node; n != nil && int(n.level) == level {
		return append(list, stand{place{digest: digest, root: true}, n})
	}
	return list
}

// without is list less the nodes that are in other too.
func without(list, other []stand) []stand {
	in := make(map[wire.Digest]bool, len(other))
	for _, s := range other {
		in[s.digest] = true
	}
	var out []stand
	for _, s := range list {
		if !in[s.digest] {
			out = append(out, s)
		}
	}
	return out
}

// childrenOf are the children of the nodes of one level.
func childrenOf(list []stand, store Store) ([]stand, error) {
	var out []stand
	for _, s := range list {
		n, err := s.get(store)
		if err != nil {
			return nil, err
		}
		for i := range n.kids {
			out = append(out, stand{s.kid(n, i), n.kids[i].node})
		}
	}
	return out, nil
}
