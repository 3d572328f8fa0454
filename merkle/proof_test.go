package merkle

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

func mustProve(t testing.TB, tree *Tree, lo, hi []byte, limit int) []byte {
	t.Helper()
	proof, err := tree.Prove(lo, hi, limit)
	if err != nil {
		t.Fatal(err)
	}
	return proof
}

// checkProof proves an interval and compares what is verified with the model.
func checkProof(t *testing.T, tree *Tree, m model, lo, hi []byte, limit int) []byte {
	t.Helper()
	proof := mustProve(t, tree, lo, hi, limit)
	rows, complete, err := Verify(tree.Root(), lo, hi, proof)
	if err != nil {
		t.Fatalf("[%x, %x) up to %d: %v", lo, hi, limit, err)
	}
	want := m.between(lo, hi)
	if complete && len(rows) < len(want) || !complete && (limit <= 0 || len(rows) < limit || len(rows) >= limit+maxEntries) {
		t.Fatalf("%d of %d rows, limit %d, complete %v", len(rows), len(want), limit, complete)
	}
	sameRows(t, rows, want[:len(rows)])
	return proof
}

// point is the interval of one key.
func point(key []byte) (lo, hi []byte) { return key, append(slices.Clone(key), 0) }

func TestProofs(t *testing.T) {
	for _, f := range families {
		r := newRand(4)
		var m model
		tree := New()
		checkProof(t, tree, m, nil, nil, 0)
		for step := range f.steps / 2 {
			changes := f.changes(r, m, step, 1)
			tree, m = mustApply(t, tree, changes), m.apply(changes)
		}
		rows := slices.Clone(m)
		r.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
		for _, row := range rows[:min(len(rows), 150)] {
			lo, hi := point(row.Key)
			checkProof(t, tree, m, lo, hi, r.IntN(2))
			for _, key := range [][]byte{hi, row.Key[:len(row.Key)/2], append(slices.Clone(row.Key), 9)} {
				lo, hi := point(key) // often absent, right beside a row
				checkProof(t, tree, m, lo, hi, 0)
			}
		}
		for range 50 {
			lo, hi := f.key(r, r.IntN(f.steps), 0), f.key(r, r.IntN(f.steps), 0)
			checkProof(t, tree, m, lo, hi, r.IntN(200))
			checkProof(t, tree, m, lo, nil, 1+r.IntN(100))
		}
		for _, bounds := range [][2][]byte{{nil, nil}, {nil, m[0].Key}, {nil, {}}, {m[len(m)-1].Key, nil}, {bytes.Repeat([]byte{255}, 99), nil}} {
			checkProof(t, tree, m, bounds[0], bounds[1], 0)
		}
	}
}

// TestEveryRow proves all rows of one tree, and what stands between them.
func TestEveryRow(t *testing.T) {
	var changes []Change
	for i := range 2000 {
		changes = append(changes, Change{Row: Row{Key: number(uint64(2 * i)), Length: uint64(i)}})
	}
	tree, m := mustApply(t, New(), changes), model(nil).apply(changes)
	for i := range uint64(4002) {
		lo, hi := point(number(i))
		checkProof(t, tree, m, lo, hi, 0)
	}
}

// TestProofBytes: every other byte string is refused, and so is every other
// root; and a proof of one interval is a proof of another only if it says the
// truth about that one.
func TestProofBytes(t *testing.T) {
	tree := mustApply(t, New(), numbered(1, 130, 1))
	m := model(nil).apply(numbered(1, 130, 1))
	other := mustApply(t, tree, numbered(128, 129, 2))
	full := mustProve(t, tree, nil, nil, 0)
	for _, bounds := range [][2][]byte{point2(number(64)), point2(number(64)[:7]), {number(20), number(60)}, {nil, nil}} {
		lo, hi := bounds[0], bounds[1]
		for limit := range 3 {
			proof := checkProof(t, tree, m, lo, hi, 30*limit)
			refused := func(what string, root wire.Digest, proof []byte) {
				t.Helper()
				if _, _, err := Verify(root, lo, hi, proof); !errors.Is(err, wire.ErrMalformed) {
					t.Fatalf("%s is accepted: %v", what, err)
				}
			}
			for i := range proof {
				damaged := slices.Clone(proof)
				for _, flip := range []byte{1, 1 << (i % 8), 0xff} {
					damaged[i] = proof[i] ^ flip
					refused("a changed byte", tree.Root(), damaged)
				}
			}
			for i := range proof {
				rows, complete, err := Verify(tree.Root(), lo, hi, proof[:i])
				if err == nil && (complete || len(rows) == 0 || !bytes.Equal(proof[:i], mustProve(t, tree, lo, hi, len(rows)))) {
					t.Fatalf("cut at %d: %d rows, complete %v", i, len(rows), complete)
				}
			}
			refused("a trailing byte", tree.Root(), append(slices.Clone(proof), 0))
			refused("another root", other.Root(), proof)
			refused("the empty root", emptyRoot, proof)
		}
	}
	if _, _, err := Verify(tree.Root(), number(9), number(3), full); err == nil {
		t.Fatal("an empty interval takes a proof that has something")
	}
	if rows, complete, err := Verify(tree.Root(), number(9), number(3), nil); err != nil || !complete || len(rows) > 0 {
		t.Fatal("an empty interval takes no empty proof")
	}
}

// TestCutProofs cuts a proof of many levels behind each node: only those cut
// behind a leaf that has rows are proofs, and say that they are cut.
func TestCutProofs(t *testing.T) {
	tree := mustApply(t, New(), numbered(1, 3000, 1))
	if tree.root.node.level < 2 {
		t.Fatal("the tree is too flat to tell")
	}
	leaf := tree.root.node.kids[0].node.kids[0].node
	behind := append(slices.Clone(leaf.rows[len(leaf.rows)-1].Key), 0)
	for _, lo := range [][]byte{nil, behind} {
		proof := mustProve(t, tree, lo, nil, 0)
		accepted, leaves := 0, 0
		for r := wire.NewReader(proof); r.Left() > 0; {
			n, err := decode(r.Bytes(MaxNode))
			if err != nil {
				t.Fatal(err)
			}
			cut := proof[:len(proof)-r.Left()]
			rows, complete, err := Verify(tree.Root(), lo, nil, cut)
			if n.level == 0 {
				leaves++
			}
			if err != nil {
				continue
			}
			accepted++
			if n.level > 0 || len(rows) == 0 || complete != (r.Left() == 0) {
				t.Fatalf("cut behind a node of level %d: %d rows, complete %v", n.level, len(rows), complete)
			}
			if complete == (len(cut) < len(proof)) || !complete && !bytes.Equal(cut, mustProve(t, tree, lo, nil, len(rows))) {
				t.Fatal("a second proof of one answer")
			}
		}
		if want := leaves - min(len(lo), 1); accepted != want {
			t.Fatalf("%d cuts accepted, not %d", accepted, want)
		}
	}
}

// TestNarrowProofs: an interval that ends at a separator needs nothing behind it.
func TestNarrowProofs(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 400, 1))
	for i, k := range tree.root.node.kids[1:] {
		visited := 0
		if err := tree.visit(nil, k.sep, func(*node) bool { visited++; return true }); err != nil || visited != 2+i {
			t.Fatalf("up to separator %d: %d nodes", i+1, visited)
		}
	}
}

func point2(key []byte) [2][]byte {
	lo, hi := point(key)
	return [2][]byte{lo, hi}
}

// TestForgedProofs: nodes that are sound alone and hash right, and yet do not
// make a tree, prove nothing.
func TestForgedProofs(t *testing.T) {
	leaf := func(keys ...byte) *node {
		n := &node{}
		for _, k := range keys {
			n.rows = append(n.rows, Row{Key: []byte{k}})
		}
		return n
	}
	left, right := leaf(1, 2, 3, 4), leaf(6, 7, 8, 9)
	root := func(change func(n *node)) *node {
		n := &node{level: 1, kids: []ref{{rows: 4, node: left}, {sep: []byte{5}, rows: 4, node: right}}}
		change(n)
		return n
	}
	forged := map[string]*node{
		"rows":            root(func(n *node) { n.kids[0].rows++ }),
		"level":           root(func(n *node) { n.level++ }),
		"key too high":    root(func(n *node) { n.kids[1].sep = []byte{4} }),
		"key too low":     root(func(n *node) { n.kids[1].sep = []byte{7} }),
		"few rows":        root(func(n *node) { n.kids[0] = ref{rows: 3, node: leaf(1, 2, 3)} }),
		"one node twice":  root(func(n *node) { n.kids[1].node = left }),
		"children swap":   root(func(n *node) { n.kids[0].node, n.kids[1].node = right, left }),
		"separators fall": root(func(n *node) { n.kids = append(n.kids, ref{sep: []byte{5}, rows: 4, node: right}) }),
	}
	above := func(sep byte) *node { // a root over two inner nodes; sep is one of the second
		lower := func(from, second byte) *node {
			n := &node{level: 1}
			for i := range byte(4) {
				keys := leaf(from+10*i, from+10*i+1, from+10*i+2, from+10*i+3)
				n.kids = append(n.kids, ref{sep: []byte{from + 10*i}, rows: 4, node: keys})
			}
			n.kids[0].sep, n.kids[1].sep = nil, []byte{second}
			return n
		}
		return &node{level: 2, kids: []ref{{rows: 16, node: lower(1, 11)}, {sep: []byte{100}, rows: 16, node: lower(100, sep)}, {sep: []byte{200}, rows: 16, node: lower(200, 210)}}}
	}
	forged["separator too low"] = above(100)
	tall := above(110)
	tall.kids[1].node.kids[3] = ref{sep: []byte{200}, rows: 4, node: leaf(200, 201, 202, 203)}
	forged["separator too high"] = tall
	prove := func(n *node) (wire.Digest, []byte) {
		tree := &Tree{root: ref{rows: n.total(), node: n}}
		return tree.Root(), mustProve(t, tree, nil, nil, 0)
	}
	if digest, proof := prove(root(func(*node) {})); !verifies(digest, proof) {
		t.Fatal("what is forged from is bad")
	}
	if digest, proof := prove(above(110)); !verifies(digest, proof) {
		t.Fatal("what is forged from is bad")
	}
	for name, n := range forged {
		if digest, proof := prove(n); verifies(digest, proof) {
			t.Errorf("%s: accepted", name)
		}
	}
}

func verifies(root wire.Digest, proof []byte) bool {
	_, _, err := Verify(root, nil, nil, proof)
	return err == nil
}
