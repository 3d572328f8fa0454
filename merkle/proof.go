package merkle

import (
	"bytes"

	"github.com/tagma-db/tagma/wire"
)

// A proof shows consecutive rows of a tree, and of everything else digests: of
// each node above or with a row that is shown, the entries that lead there and
// the digests of the largest subtrees of the binary tree over its entries that
// lead nowhere.
//
//	level of the root 1 | node
//	node: entries 1 | first shown 1 | end of those shown 1 | binary tree from the left
//	in it, for an entry that is shown:  row: key 4+n | value 32 | length 8
//	                                    child: separator 4+n, not for the first | rows 8 | node
//	      for a subtree that is not:    digest 32
//
// Where all entries from the first on are shown because a row to the left is,
// the first is not written; to the right likewise.

// Prove makes a proof of the rows lo ≤ key < hi: nil is no bound. The interval
// of one key k is [k, k followed by a zero byte); a proof of absence is a proof
// of an interval without rows. A proof shows the rows of the interval, the row
// before them unless the first is lo itself, and the row behind them unless the
// last is the last key below hi: a million rows with keys of 16 bytes make 700
// bytes for one row, and 50 more for none.
//
// With a limit above zero, in bytes, a proof that would be longer is cut behind
// the last row with which it is not: it is then a proof up to that row. It shows
// one row of the interval, if there is one, though it be longer: then it has at
// most three rows, and two separators and 400 bytes a level. The proof up to a
// row is that of the interval that ends with this row; so who wants fewer rows
// asks for a shorter interval. The error is a *LostError.
func (t *Tree) Prove(lo, hi []byte, limit int) ([]byte, error) {
	t.Root()
	if t.root.node == nil || !below(lo, hi) {
		return nil, nil
	}
	p := prover{tree: t, h: newHasher()}
	if err := p.seek(lo); err != nil {
		return nil, err
	}
	if err := p.walk(lo, hi, limit); err != nil {
		return nil, err
	}
	p.out.U8(t.root.node.level)
	p.node(0, true, true)
	return p.out.B, nil
}

// prover walks the rows to be shown, and then writes.
type prover struct {
	tree        *Tree
	spine       []rung  // from the root to the row walked last; at most maxLevel+1
	nodes       []*node // that show something, parents first; those behind the last row are not used
	size        int     // bytes of the proof up to this row, without what is right of the spine
	first, last path    // to the first and the last row to be shown
	h           *hasher
	out         wire.Writer
}

// rung is a node and which of its entries is on the way down.
type rung struct {
	stand
	at int
}

// path tells for each node from the root down which of its entries is on the way.
type path [maxLevel + 1]uint8

func (p *prover) path() (out path) {
	for i := range p.spine {
		out[i] = uint8(p.spine[i].at)
	}
	return out
}

func (p *prover) row() *Row {
	leaf := &p.spine[len(p.spine)-1]
	return &leaf.node.rows[leaf.at]
}

// seek goes to the first row to be shown: that of lo, else the one before it,
// else the first of all.
func (p *prover) seek(lo []byte) error {
	pick := func(n *node) int {
		if n.level == 0 {
			return searchRow(n.rows, lo)
		}
		first, _ := n.between(lo, nil)
		return first
	}
	root := stand{place{digest: p.tree.Root(), root: true}, p.tree.root.node}
	p.spine = []rung{{root, pick(root.node)}}
	if err := p.down(pick); err != nil {
		return err
	}
	leaf := p.spine[len(p.spine)-1]
	if leaf.at == len(leaf.node.rows) || !bytes.Equal(leaf.node.rows[leaf.at].Key, lo) {
		if _, err := p.move(-1); err != nil {
			return err
		}
	}
	p.first, p.size = p.path(), 1
	for i := range p.spine {
		s := &p.spine[i]
		p.nodes = append(p.nodes, s.node)
		p.size += 2 + s.weight() + 32*beside(s.node.entries(), s.at, s.node.entries())
	}
	return nil
}

// down completes the spine to a leaf; pick chooses the entries.
func (p *prover) down(pick func(*node) int) error {
	for {
		s := &p.spine[len(p.spine)-1]
		if s.node.level == 0 {
			return nil
		}
		k, q, err := p.tree.child(s.node, s.place, s.at)
		if err != nil {
			return err
		}
		p.spine = append(p.spine, rung{stand{q, k}, pick(k)})
	}
}

// move goes to the next row, or by -1 to the one before; false if there is none.
func (p *prover) move(by int) (bool, error) {
	k := len(p.spine) - 1
	for ; k >= 0; k-- {
		if at := p.spine[k].at + by; at >= 0 && at < p.spine[k].node.entries() {
			break
		}
	}
	if k < 0 {
		return false, nil
	}
	p.spine[k].at += by
	p.spine = p.spine[:k+1]
	return true, p.down(func(n *node) int {
		if by < 0 {
			return n.entries() - 1
		}
		return 0
	})
}

// next goes to the next row and adds what it weighs.
func (p *prover) next() (bool, error) {
	before := p.path()
	ok, err := p.move(1)
	if !ok || err != nil {
		return false, err
	}
	fresh := false
	for i := range p.spine {
		s := &p.spine[i]
		if fresh {
			p.nodes = append(p.nodes, s.node)
			p.size++
		}
		if fresh || s.at != int(before[i]) {
			p.size += s.weight()
			fresh = true
		}
	}
	return true, nil
}

// walk goes from the first row to the last to be shown.
func (p *prover) walk(lo, hi []byte, limit int) error {
	rows := 0
	for {
		if rows > 0 && limit > 0 && p.size+p.right() > limit {
			return nil
		}
		p.last = p.path()
		key := p.row().Key
		if !below(key, hi) || follows(key, hi) {
			return nil
		}
		if bytes.Compare(key, lo) >= 0 {
			rows++
		}
		if ok, err := p.next(); !ok || err != nil {
			return err
		}
	}
}

// right is what a proof that ends here has to the right of the spine.
func (p *prover) right() int {
	sum := 0
	for i := range p.spine {
		s := &p.spine[i]
		sum += 1 + 32*beside(s.node.entries(), 0, s.at+1)
	}
	return sum
}

// weight is what the entry weighs in a proof, without the node below it.
func (s *rung) weight() int {
	if s.node.level == 0 {
		return entrySize + len(s.node.rows[s.at].Key)
	}
	if s.at == 0 {
		return 8
	}
	return 8 + 4 + len(s.node.kids[s.at].sep)
}

// follows reports that no key is above key and below hi.
func follows(key, hi []byte) bool {
	return len(hi) == len(key)+1 && hi[len(key)] == 0 && bytes.Equal(key, hi[:len(key)])
}

// node writes the next node, which is as deep as said; left and right: the
// first, the last row to be shown is below it.
func (p *prover) node(depth int, left, right bool) {
	s := shown{n: p.nodes[0], depth: depth, left: left, right: right}
	p.nodes = p.nodes[1:]
	count := s.n.entries()
	s.to = count
	p.out.U8(uint8(count))
	if left {
		s.from = int(p.first[depth])
		p.out.U8(uint8(s.from))
	}
	if right {
		s.to = int(p.last[depth]) + 1
		p.out.U8(uint8(s.to))
	}
	for i := range count {
		if i < s.from || i >= s.to {
			s.sums[i] = p.h.entry(s.n, i)
		}
	}
	p.span(&s, 0, count)
}

// shown is a node and which of its entries are to be written.
type shown struct {
	n           *node
	depth       int
	left, right bool
	from, to    int
	sums        sums // of the other entries
}

// span writes the binary tree over the entries from a and up to b.
func (p *prover) span(s *shown, a, b int) {
	switch {
	case b <= s.from || a >= s.to:
		digest := p.h.fold(s.sums[a:b])
		p.out.Raw(digest[:])
	case b-a > 1:
		k := a + leftOf(b-a)
		p.span(s, a, k)
		p.span(s, k, b)
	case s.n.level == 0:
		row := &s.n.rows[a]
		p.out.Bytes(row.Key)
		p.out.Raw(row.Value[:])
		p.out.U64(row.Length)
	default:
		if a > 0 {
			p.out.Bytes(s.n.kids[a].sep)
		}
		p.out.U64(s.n.kids[a].rows)
		p.node(s.depth+1, s.left && a == s.from, s.right && a == s.to-1)
	}
}
