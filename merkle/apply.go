package merkle

import (
	"bytes"
	"slices"
	"sort"
)

// Change sets the row of a key, or deletes it: then only the key counts.
type Change struct {
	Row
	Delete bool
}

// Apply is the tree after the changes, whose keys must ascend strictly and be
// at most MaxKey long; anything else is the caller's bug and panics. Deleting
// what is absent changes nothing. The tree keeps no slice of changes. Time and
// memory grow with the changes and the logarithm of the tree. The error is a
// *LostError; t is then as it was.
func (t *Tree) Apply(changes []Change) (*Tree, error) {
	for i, c := range changes {
		if len(c.Key) > MaxKey || i > 0 && bytes.Compare(changes[i-1].Key, c.Key) >= 0 {
			panic("merkle: changes with a key that is too long or out of order")
		}
	}
	next := &Tree{store: t.store, root: t.root}
	if len(changes) == 0 {
		return next, nil
	}
	tops, changed, err := t.apply(t.root, 0, changes)
	if err != nil {
		return nil, err
	}
	if changed {
		next.root, err = t.crown(tops)
	}
	if err != nil {
		return nil, err
	}
	return next, nil
}

// crown puts one root above nodes of one level, or takes off what has become
// superfluous.
func (t *Tree) crown(tops []ref) (ref, error) {
	for len(tops) > 1 {
		tops = inners(tops[0].node.level+1, tops)
	}
	if len(tops) == 0 {
		return ref{}, nil
	}
	top := tops[0]
	for len(top.node.kids) == 1 {
		kid := top.node.kids[0]
		n, err := t.get(kid, top.node.level-1)
		if err != nil {
			return ref{}, err
		}
		kid.node = n
		top = kid
	}
	return top, nil
}

// get is the node of r, which is at the given level.
func (t *Tree) get(r ref, level uint8) (*node, error) {
	if r.node != nil {
		return r.node, nil
	}
	return load(t.store, place{digest: r.digest, level: level, rows: r.rows, lo: r.sep})
}

// apply is the list of nodes that take the place of r: none that is full, one
// that may be thin, or several that are not. They are r alone, and changed is
// false, if the changes alter nothing.
func (t *Tree) apply(r ref, level uint8, changes []Change) (out []ref, changed bool, err error) {
	if r.rows == 0 { // the empty tree
		rows, changed := edit(nil, changes)
		return leaves(nil, rows), changed, nil
	}
	n, err := t.get(r, level)
	if err != nil {
		return nil, false, err
	}
	if n.level == 0 {
		rows, changed := edit(n.rows, changes)
		if !changed {
			return []ref{r}, false, nil
		}
		return leaves(r.sep, rows), true, nil
	}
	kids, changed, err := t.applyKids(n, r.sep, changes)
	if err != nil || !changed {
		return []ref{r}, false, err
	}
	if err := t.fatten(&kids, n.level-1); err != nil {
		return nil, false, err
	}
	return inners(n.level, kids.refs), true, nil
}

// brood are the children of a node in the making, in the order of keys.
type brood struct {
	refs []ref
	thin []bool // as long: those that may be thin
}

func (b *brood) add(maybeThin bool, refs ...ref) {
	b.refs = append(b.refs, refs...)
	for range refs {
		b.thin = append(b.thin, maybeThin)
	}
}

// adopt adds all children of n, whose separator is sep. An only child may be
// thin until here, where it gets neighbours.
func (b *brood) adopt(n *node, sep []byte) {
	first := len(b.refs)
	b.add(len(n.kids) == 1, n.kids...)
	b.refs[first].sep = sep
}

// applyKids gives each child of n its part of the changes.
func (t *Tree) applyKids(n *node, sep []byte, changes []Change) (kids brood, changed bool, err error) {
	kids.refs, kids.thin = make([]ref, 0, len(n.kids)+1), make([]bool, 0, len(n.kids)+1)
	for i, k := range n.kids {
		if i == 0 {
			k.sep = sep
		}
		mine := len(changes)
		if i+1 < len(n.kids) {
			mine = sort.Search(len(changes), func(j int) bool { return !below(changes[j].Key, n.kids[i+1].sep) })
		}
		if mine == 0 {
			kids.add(false, k)
			continue
		}
		out, ch, err := t.apply(k, n.level-1, changes[:mine])
		if err != nil {
			return brood{}, false, err
		}
		kids.add(ch, out...)
		changed = changed || ch
		changes = changes[mine:]
	}
	if len(kids.refs) > 0 {
		kids.refs[0].sep = sep // the first ones may be gone
	}
	return kids, changed, nil
}

// fatten joins thin nodes of one level with their neighbours. Afterwards one
// that is thin is alone.
func (t *Tree) fatten(b *brood, level uint8) error {
	for i := 0; i < len(b.refs) && len(b.refs) > 1; {
		if !b.thin[i] {
			i++
			continue
		}
		n, err := t.get(b.refs[i], level)
		if err != nil {
			return err
		}
		if !thin(n.entries(), n.weight()) {
			i++
			continue
		}
		i = min(i, len(b.refs)-2)
		joined, err := t.join(b.refs[i], b.refs[i+1], level)
		if err != nil {
			return err
		}
		b.refs = slices.Replace(b.refs, i, i+2, joined...)
		b.thin = slices.Replace(b.thin, i, i+2, make([]bool, len(joined))...)
		if len(joined) > 1 {
			i += len(joined)
		} else {
			b.thin[i] = true // still
		}
	}
	return nil
}

// join makes the nodes that hold what two neighbours held.
func (t *Tree) join(left, right ref, level uint8) ([]ref, error) {
	l, err := t.get(left, level)
	if err != nil {
		return nil, err
	}
	r, err := t.get(right, level)
	if err != nil {
		return nil, err
	}
	if level == 0 {
		return leaves(left.sep, slices.Concat(l.rows, r.rows)), nil
	}
	var kids brood
	kids.adopt(l, left.sep)
	kids.adopt(r, right.sep)
	if err := t.fatten(&kids, level-1); err != nil {
		return nil, err
	}
	return inners(level, kids.refs), nil
}

// edit is rows after the changes, and whether they differ.
func edit(rows []Row, changes []Change) (out []Row, changed bool) {
	out = make([]Row, 0, len(rows)+len(changes))
	for _, c := range changes {
		n := searchRow(rows, c.Key)
		out = append(out, rows[:n]...)
		rows = rows[n:]
		row := Row{Value: c.Value, Length: c.Length}
		if len(rows) > 0 && bytes.Equal(rows[0].Key, c.Key) {
			row.Key = rows[0].Key
			changed = changed || c.Delete || c.Value != rows[0].Value || c.Length != rows[0].Length
			rows = rows[1:]
		} else if !c.Delete {
			row.Key = bytes.Clone(c.Key)
			changed = true
		}
		if !c.Delete {
			out = append(out, row)
		}
	}
	return append(out, rows...), changed
}

// weight is what n weighs.
func (n *node) weight() int {
	sum := n.entries() * entrySize
	for i := range n.kids {
		sum += len(n.kids[i].sep)
	}
	for i := range n.rows {
		sum += len(n.rows[i].Key)
	}
	return sum
}

// leaves cuts rows into leaves, the first of which has the separator sep. It
// may keep rows.
func leaves(sep []byte, rows []Row) []ref {
	if len(rows) == 0 {
		return nil
	}
	n := &node{rows: rows}
	if !full(n.entries(), n.weight()) {
		return []ref{{sep: sep, rows: n.total(), node: n}}
	}
	w := weights{sums: make([]int, 1, len(rows)+1)}
	for i := range rows {
		w.add(entrySize + len(rows[i].Key))
	}
	ends := w.cut()
	out, from := make([]ref, len(ends)), 0
	for i, end := range ends {
		if from > 0 {
			sep = separator(rows[from-1].Key, rows[from].Key)
		}
		n := &node{rows: slices.Clone(rows[from:end])}
		out[i] = ref{sep: sep, rows: n.total(), node: n}
		from = end
	}
	return out
}

// inners cuts nodes of one level into parents at the next. It may keep kids.
func inners(level uint8, kids []ref) []ref {
	if len(kids) == 0 {
		return nil
	}
	w := weights{sums: make([]int, 1, len(kids)+1), inner: true}
	for i := range kids {
		w.add(entrySize + len(kids[i].sep))
	}
	ends := w.cut()
	out, from := make([]ref, len(ends)), 0
	for i, end := range ends {
		n := &node{level: level, kids: kids}
		if len(ends) > 1 {
			n.kids = slices.Clone(kids[from:end])
		}
		sep := n.kids[0].sep
		n.kids[0].sep = nil
		out[i] = ref{sep: sep, rows: n.total(), node: n}
		from = end
	}
	return out
}
