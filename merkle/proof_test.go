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
// A proof that is cut is that of a shorter interval, and the longest that does
// not pass the limit.
func checkProof(t *testing.T, tree *Tree, m model, lo, hi []byte, limit int) []byte {
	t.Helper()
	proof := mustProve(t, tree, lo, hi, limit)
	rows, complete, err := Verify(tree.Root(), lo, hi, proof)
	if err != nil {
		t.Fatalf("[%x, %x) up to %d: %v", lo, hi, limit, err)
	}
	want := m.between(lo, hi)
	if complete && len(rows) < len(want) || limit > 0 && len(proof) > limit && len(rows) > 1 {
		t.Fatalf("%d of %d rows in %d bytes, limit %d, complete %v", len(rows), len(want), len(proof), limit, complete)
	}
	sameRows(t, rows, want[:len(rows)])
	if complete {
		return proof
	}
	if limit <= 0 || len(rows) == 0 {
		t.Fatalf("%d of %d rows, limit %d, cut", len(rows), len(want), limit)
	}
	_, end := point(rows[len(rows)-1].Key)
	if !bytes.Equal(proof, mustProve(t, tree, lo, end, 0)) {
		t.Fatal("a cut proof is not that of the interval up to its last row")
	}
	end = hi
	if len(rows) < len(want) {
		_, end = point(want[len(rows)].Key)
	}
	if longer := mustProve(t, tree, lo, end, 0); len(longer) <= limit {
		t.Fatalf("cut at %d bytes, limit %d: %d would do", len(proof), limit, len(longer))
	}
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
			checkProof(t, tree, m, lo, hi, r.IntN(2000))
			for _, key := range [][]byte{hi, row.Key[:len(row.Key)/2], append(slices.Clone(row.Key), 9)} {
				lo, hi := point(key) // often absent, right beside a row
				checkProof(t, tree, m, lo, hi, 0)
			}
		}
		for range 50 {
			lo, hi := f.key(r, r.IntN(f.steps), 0), f.key(r, r.IntN(f.steps), 0)
			checkProof(t, tree, m, lo, hi, r.IntN(9000))
			checkProof(t, tree, m, lo, nil, 1+r.IntN(60_000))
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
// root.
func TestProofBytes(t *testing.T) {
	tree := mustApply(t, New(), numbered(1, 2000, 1))
	m := model(nil).apply(numbered(1, 2000, 1))
	other := mustApply(t, tree, numbered(1280, 1281, 2))
	var edge []byte // behind the last row of a leaf
	for _, row := range tree.root.node.kids[0].node.kids[3].node.rows {
		_, edge = point(row.Key)
	}
	for _, bounds := range [][2][]byte{
		point2(number(64)), point2(number(64)[:7]), point2(append(number(64), 7)), point2(edge), point2(number(1)), point2(number(2000)),
		{number(20), number(60)}, {number(0), number(3)}, {number(1990), nil}, {append(number(600), 5), number(640)},
	} {
		lo, hi := bounds[0], bounds[1]
		for _, limit := range []int{0, 900} {
			proof := checkProof(t, tree, m, lo, hi, limit)
			refused := func(what string, root wire.Digest, proof []byte) {
				t.Helper()
				if _, _, err := Verify(root, lo, hi, proof); !errors.Is(err, wire.ErrMalformed) {
					t.Fatalf("%s is accepted: %v", what, err)
				}
			}
			for i := range proof {
				damaged := slices.Clone(proof)
				for _, flip := range []byte{1 << (i % 8), 0xff} {
					damaged[i] = proof[i] ^ flip
					refused("a changed byte", tree.Root(), damaged)
				}
				refused("a cut", tree.Root(), proof[:i])
			}
			refused("a trailing byte", tree.Root(), append(slices.Clone(proof), 0))
			refused("another root", other.Root(), proof)
			refused("the empty root", emptyRoot, proof)
			parts := partsOf(t, proof)
			for i := range parts {
				refused("a part less", tree.Root(), slices.Concat(slices.Delete(slices.Clone(parts), i, i+1)...))
				refused("a part twice", tree.Root(), slices.Concat(slices.Insert(slices.Clone(parts), i, parts[i])...))
				for j := range i {
					if !bytes.Equal(parts[i], parts[j]) {
						swapped := slices.Clone(parts)
						swapped[i], swapped[j] = parts[j], parts[i]
						refused("two parts in each other's place", tree.Root(), slices.Concat(swapped...))
					}
				}
			}
		}
	}
	full := mustProve(t, tree, nil, nil, 0)
	if _, _, err := Verify(tree.Root(), number(9), number(3), full); err == nil {
		t.Fatal("an empty interval takes a proof that has something")
	}
	if rows, complete, err := Verify(tree.Root(), number(9), number(3), nil); err != nil || !complete || len(rows) > 0 {
		t.Fatal("an empty interval takes no empty proof")
	}
}

// partsOf cuts a proof into its parts: the level, the heads of nodes, rows,
// what is said of children, digests.
func partsOf(t *testing.T, proof []byte) [][]byte {
	t.Helper()
	var parts [][]byte
	r := wire.NewReader(proof)
	take := func(n int) []byte {
		parts = append(parts, r.Raw(n))
		return parts[len(parts)-1]
	}
	keyed := func(n int) {
		length := wire.NewReader(proof[len(proof)-r.Left():])
		take(4 + int(length.U32()) + n)
	}
	var node func(level uint8, left, right bool)
	node = func(level uint8, left, right bool) {
		size := 1
		for _, edge := range []bool{left, right} {
			if edge {
				size++
			}
		}
		head := take(size)
		count, from := int(head[0]), 0
		to := count
		if left {
			from = int(head[1])
		}
		if right {
			to = int(head[size-1])
		}
		var span func(a, b int)
		span = func(a, b int) {
			switch {
			case b <= from || a >= to:
				take(32)
			case b-a > 1:
				k := a + leftOf(b-a)
				span(a, k)
				span(k, b)
			case level == 0:
				keyed(40)
			default:
				if a > 0 {
					keyed(0)
				}
				take(8)
				node(level-1, left && a == from, right && a == to-1)
			}
		}
		span(0, count)
	}
	node(take(1)[0], true, true)
	if r.Done() != nil || !bytes.Equal(slices.Concat(parts...), proof) {
		t.Fatal("the parts are not the proof")
	}
	return parts
}

// TestOtherProofs: a proof of one interval is one of another only if it says the
// truth about that one, and is the only one to say it.
func TestOtherProofs(t *testing.T) {
	var changes []Change
	for i := range 90 {
		changes = append(changes, Change{Row: Row{Key: []byte{byte(2 * i)}, Length: uint64(i)}})
	}
	tree, m := mustApply(t, New(), changes), model(nil).apply(changes)
	var bounds [][]byte
	for _, i := range []int{0, 2, 86, 88, 89, 90, 92, 178} { // a leaf begins at 90
		bounds = append(bounds, []byte{byte(i)}, []byte{byte(i), 0}, []byte{byte(i), 1})
	}
	accepted, truths := 0, 0
	for _, lo := range bounds {
		for _, hi := range bounds {
			if !below(lo, hi) {
				continue
			}
			proof := mustProve(t, tree, lo, hi, 0)
			for _, otherLo := range bounds {
				for _, otherHi := range bounds {
					rows, complete, err := Verify(tree.Root(), otherLo, otherHi, proof)
					if err != nil {
						continue
					}
					accepted++
					want := m.between(otherLo, otherHi)
					if complete && len(rows) < len(want) || !complete && len(rows) == 0 {
						t.Fatalf("the proof for [%x, %x) lies about [%x, %x)", lo, hi, otherLo, otherHi)
					}
					sameRows(t, rows, want[:len(rows)])
					end := otherHi
					if !complete {
						_, end = point(rows[len(rows)-1].Key)
					}
					if again := mustProve(t, tree, otherLo, end, 0); !bytes.Equal(again, proof) {
						t.Fatalf("[%x, %x) has two proofs of one answer", otherLo, otherHi)
					}
				}
			}
			truths++
		}
	}
	if accepted < 2*truths {
		t.Fatalf("%d proofs, accepted %d times: nothing is compared", truths, accepted)
	}
}

// TestCutProofs reads a whole tree by proofs of bounded size, each from where
// the one before is cut.
func TestCutProofs(t *testing.T) {
	for _, f := range families {
		r := newRand(9)
		var m model
		tree := New()
		for step := range f.steps / 2 {
			changes := f.changes(r, m, step, 1)
			tree, m = mustApply(t, tree, changes), m.apply(changes)
		}
		for _, limit := range []int{1, 700, 5000, 200_000} {
			var got model
			lo, complete, proofs := []byte(nil), false, 0
			for !complete {
				proof := mustProve(t, tree, lo, nil, limit)
				var rows []Row
				var err error
				rows, complete, err = Verify(tree.Root(), lo, nil, proof)
				if err != nil || len(proof) > limit && len(rows) > 1 {
					t.Fatalf("%s, limit %d: %d rows in %d bytes: %v", f.name, limit, len(rows), len(proof), err)
				}
				got = append(got, rows...)
				if len(rows) > 0 {
					_, lo = point(rows[len(rows)-1].Key)
				}
				if proofs++; proofs > len(m)+1 {
					t.Fatalf("%s, limit %d: proofs without end", f.name, limit)
				}
			}
			sameRows(t, got, m)
			if limit == 1 && proofs < len(m) {
				t.Fatalf("%s: %d proofs of one row for %d rows", f.name, proofs, len(m))
			}
		}
	}
}

// TestProofSizes: one row, and none, of many are proven in a few hundred bytes.
func TestProofSizes(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 100_000, 1))
	worst := 0
	for i := range uint64(2000) {
		lo, hi := point(number(i * 49))
		worst = max(worst, len(mustProve(t, tree, lo, hi, 0)))
		lo, hi = point(hi)
		worst = max(worst, len(mustProve(t, tree, lo, hi, 0)))
	}
	// At most two leaves, three levels above, and six digests beside a path in each.
	if levels := int(tree.root.node.level) + 1; worst > (levels+1)*(6*32+60) {
		t.Fatalf("a proof of %d bytes in %d levels", worst, levels)
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
		"level":          root(func(n *node) { n.level++ }),
		"few rows":       root(func(n *node) { n.kids[0] = ref{rows: 3, node: leaf(1, 2, 3)} }),
		"one node twice": root(func(n *node) { n.kids[1].node = left }),
		"children swap":  root(func(n *node) { n.kids[0].node, n.kids[1].node = right, left }),
		"one child":      root(func(n *node) { n.kids = n.kids[:1] }),
		"rows fall":      root(func(n *node) { n.kids[1].node = leaf(9, 8, 7, 6) }),
		"a row twice":    root(func(n *node) { n.kids[1].node = leaf(4, 7, 8, 9) }),
	}
	prove := func(n *node) (wire.Digest, []byte) {
		tree := &Tree{root: ref{rows: n.total(), node: n}}
		return tree.Root(), mustProve(t, tree, nil, nil, 0)
	}
	if digest, proof := prove(root(func(*node) {})); !verifies(digest, proof) {
		t.Fatal("what is forged from is bad")
	}
	for name, n := range forged {
		if digest, proof := prove(n); verifies(digest, proof) {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestHashedApart: what one digest stands for is not what another does: a row
// is no child, a leaf of two no pair, an inner node no leaf, a level no other.
func TestHashedApart(t *testing.T) {
	h, d := newHasher(), wire.Digest{1}
	seen := map[wire.Digest]string{}
	for name, digest := range map[string]wire.Digest{
		"row":          h.row(&Row{Key: []byte{1}, Value: d, Length: 2}),
		"child":        h.child([]byte{1}, &d, 2),
		"pair":         pair(&d, &d),
		"leaf of 2":    h.node(0, 2, d),
		"leaf of 3":    h.node(0, 3, d),
		"inner of 2":   h.node(1, 2, d),
		"higher of 2":  h.node(2, 2, d),
		"list of 2":    listRoot(2, d),
		"item":         Item{Name: []byte{1}, Digest: d}.hash(),
		"empty":        emptyRoot,
		"the entry is": d,
	} {
		if other, ok := seen[digest]; ok {
			t.Errorf("%s is %s", name, other)
		}
		seen[digest] = name
	}
}

// TestFold: the binary tree is that of RFC 6962, and as many digests stand
// beside a stretch of it as are counted.
func TestFold(t *testing.T) {
	h := newHasher()
	var tree func(list []wire.Digest) wire.Digest
	tree = func(list []wire.Digest) wire.Digest {
		if len(list) == 1 {
			return list[0]
		}
		k := leftOf(len(list))
		left, right := tree(list[:k]), tree(list[k:])
		return pair(&left, &right)
	}
	var outside func(a, b, from, to int) int
	outside = func(a, b, from, to int) int {
		switch {
		case b <= from || a >= to:
			return 1
		case a >= from && b <= to:
			return 0
		}
		k := a + leftOf(b-a)
		return outside(a, k, from, to) + outside(k, b, from, to)
	}
	for n := 1; n <= maxEntries; n++ {
		list := make([]wire.Digest, n)
		for i := range list {
			list[i] = wire.Digest{byte(i + 1)}
		}
		if want := tree(list); h.fold(slices.Clone(list)) != want {
			t.Fatalf("the tree over %d is another", n)
		}
		for from := range n {
			for to := from + 1; to <= n; to++ {
				if beside(n, from, to) != outside(0, n, from, to) || beside(n, from, to) != beside(n, from, n)+beside(n, 0, to) {
					t.Fatalf("beside %d to %d of %d", from, to, n)
				}
			}
		}
	}
}

func verifies(root wire.Digest, proof []byte) bool {
	_, _, err := Verify(root, nil, nil, proof)
	return err == nil
}
