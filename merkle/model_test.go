package merkle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// model is what a tree should hold: rows in the order of keys.
type model []Row

func (m model) find(key []byte) (int, bool) {
	return slices.BinarySearchFunc(m, key, func(r Row, k []byte) int { return bytes.Compare(r.Key, k) })
}

// apply returns a new model.
func (m model) apply(changes []Change) model {
	out := slices.Clone(m)
	for _, c := range changes {
		i, ok := out.find(c.Key)
		switch {
		case c.Delete && ok:
			out = slices.Delete(out, i, i+1)
		case c.Delete:
		case ok:
			out[i] = c.Row
		default:
			out = slices.Insert(out, i, c.Row)
		}
	}
	return out
}

func (m model) between(lo, hi []byte) model {
	i, _ := m.find(lo)
	if hi == nil {
		return m[i:]
	}
	j, _ := m.find(hi)
	return m[i:max(i, j)]
}

func sameRow(a, b Row) bool {
	return bytes.Equal(a.Key, b.Key) && a.Value == b.Value && a.Length == b.Length
}

// diff is what Diff should yield.
func (m model) diff(to model) []Change {
	var out []Change
	for len(m)+len(to) > 0 {
		switch {
		case len(to) == 0 || len(m) > 0 && bytes.Compare(m[0].Key, to[0].Key) < 0:
			out = append(out, Change{Row: m[0], Delete: true})
			m = m[1:]
		case len(m) == 0 || bytes.Compare(m[0].Key, to[0].Key) > 0:
			out = append(out, Change{Row: to[0]})
			to = to[1:]
		default:
			if !sameRow(m[0], to[0]) {
				out = append(out, Change{Row: to[0]})
			}
			m, to = m[1:], to[1:]
		}
	}
	return out
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 7)) }

func randomRow(r *rand.Rand, key []byte) Row {
	row := Row{Key: key, Length: r.Uint64N(3)}
	row.Value[0] = byte(r.IntN(3)) // often what was there already
	return row
}

func number(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// family is a way to choose keys.
type family struct {
	name   string
	steps  int
	batch  int // largest
	maxKey int
	key    func(r *rand.Rand, step, i int) []byte
}

var families = []family{
	{"random", 60, 300, 16, func(r *rand.Rand, _, _ int) []byte {
		return append(number(r.Uint64N(4000)*0x9e3779b97f4a7c15), "12345678"...)
	}},
	{"tiny", 60, 100, 2, func(r *rand.Rand, _, _ int) []byte { return number(r.Uint64N(3000))[6:][:r.IntN(3)] }},
	{"sequential", 40, 200, 8, func(_ *rand.Rand, step, i int) []byte { return number(uint64(step*150 + i)) }},
	{"reversed", 40, 200, 8, func(_ *rand.Rand, step, i int) []byte { return number(uint64(1e6 - step*150 - i)) }},
	{"one place", 40, 200, 24, func(r *rand.Rand, step, i int) []byte {
		return slices.Concat([]byte("middle"), bytes.Repeat([]byte{0}, step%8), number(r.Uint64N(1e6)))
	}},
	{"common prefix", 30, 100, 308, func(r *rand.Rand, _, _ int) []byte {
		return append(bytes.Repeat([]byte{7}, 300), number(r.Uint64N(2000))...)
	}},
	{"8 KiB", 25, 60, 8 << 10, longKey},
	{"8 KiB upwards", 20, 40, 8 << 10, func(_ *rand.Rand, step, i int) []byte {
		return append(make([]byte, 8<<10-8), number(uint64(step*40+i))...)
	}},
	{"8 KiB downwards", 20, 40, 8 << 10, func(_ *rand.Rand, step, i int) []byte {
		return append(make([]byte, 8<<10-8), number(uint64(1e6-step*40-i))...)
	}},
	{"sizes", 30, 60, 3000, func(r *rand.Rand, _, _ int) []byte {
		return append(number(r.Uint64N(1000)), make([]byte, r.IntN(1+r.IntN(2900)))...)
	}},
	{"64 KiB", 16, 24, MaxKey, func(r *rand.Rand, step, i int) []byte {
		if r.IntN(3) > 0 {
			return number(r.Uint64N(300))
		}
		return append(number(r.Uint64N(300)), make([]byte, MaxKey-8)...)
	}},
}

// longKey makes keys that stand in groups with a common prefix of 8 KiB each,
// no two groups having one: separators are as long as can be.
func longKey(r *rand.Rand, _, _ int) []byte {
	return slices.Concat(number(r.Uint64N(30)), make([]byte, 8<<10-16), number(r.Uint64N(20)))
}

// changes draws a batch; deletions are in so many of eight.
func (f family) changes(r *rand.Rand, m model, step, deletions int) []Change {
	byKey := map[string]Change{}
	for i := range 1 + r.IntN(f.batch) {
		c := Change{Row: randomRow(r, f.key(r, step, i))}
		if r.IntN(8) < deletions {
			c.Delete = true
			if len(m) > 0 && r.IntN(8) > 0 {
				c.Key = m[r.IntN(len(m))].Key
			}
		}
		byKey[string(c.Key)] = c
	}
	var out []Change
	for _, c := range byKey {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return out
}

// history calls each with the trees and models of a random history: growth,
// change, decline, and the deletion of whole stretches down to nothing.
func (f family) history(t *testing.T, each func(changes []Change, m model)) {
	r := newRand(uint64(len(f.name)))
	var m model
	run := func(changes []Change) {
		m = m.apply(changes)
		each(changes, m)
	}
	for step := range f.steps {
		run(f.changes(r, m, step, []int{1, 1, 4, 6}[4*step/f.steps]))
	}
	for len(m) > 0 {
		from := r.IntN(len(m))
		stretch := m[from:min(len(m), from+1+r.IntN(1+len(m)/3+20))]
		var gone []Change
		for _, row := range stretch {
			gone = append(gone, Change{Row: row, Delete: true})
		}
		run(gone)
	}
}

func mustApply(t testing.TB, tree *Tree, changes []Change) *Tree {
	t.Helper()
	next, err := tree.Apply(changes)
	if err != nil {
		t.Fatal(err)
	}
	return next
}

func rowsOf(t testing.TB, tree *Tree, lo, hi []byte) model {
	t.Helper()
	var out model
	if err := tree.Ascend(lo, hi, func(row Row) bool { out = append(out, row); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameRows(t testing.TB, got, want []Row) {
	t.Helper()
	if !slices.EqualFunc(got, want, sameRow) {
		t.Fatalf("%d rows, and not the %d of the model", len(got), len(want))
	}
}

// checkShape checks M1 to M5 of a tree whose keys are at most maxKey long.
func checkShape(t *testing.T, tree *Tree, maxKey int) {
	t.Helper()
	root := tree.root.node
	if root == nil {
		if tree.Len() != 0 || tree.Root() != emptyRoot {
			t.Fatal("the empty tree is not empty")
		}
		return
	}
	if tree.root.sep != nil || tree.Len() != root.total() {
		t.Fatal("the root has a separator, or not all rows")
	}
	if l := root.level; l > 0 && tree.Len() < 2<<(2*l) || maxKey <= 980 && l > 0 && tree.Len() < 2<<(4*l) {
		t.Fatalf("M4: %d rows stand %d levels deep", tree.Len(), l+1)
	}
	tree.Root()
	seen := map[wire.Digest]bool{}
	checkNode(t, tree, root, place{root: true, digest: tree.Root()}, maxKey, seen)
}

func checkNode(t *testing.T, tree *Tree, n *node, p place, maxKey int, seen map[wire.Digest]bool) {
	t.Helper()
	var w wire.Writer
	n.encode(&w)
	back, err := p.open(w.B)
	if err != nil || back.weight() != n.weight() || seen[p.digest] || n.digest != p.digest {
		t.Fatalf("M1, M2, M5: a node of level %d with %d entries cannot stand where it does: %v", n.level, n.entries(), err)
	}
	seen[p.digest] = true
	bound := MaxNode
	if n.entries() >= 2*minEntries || maxKey <= 8<<10 {
		bound = 65_896
	}
	if n.entries() > 48 || len(w.B) > bound {
		t.Fatalf("M3: a node of %d entries and %d bytes", n.entries(), len(w.B))
	}
	thinner := n.entries() < 4 || maxKey <= 8<<10 && n.entries() < 16 && n.weight() < 16_472 || maxKey <= 980 && n.entries() < 16
	if !p.root && thinner {
		t.Fatalf("M4: a node of %d entries that weighs %d", n.entries(), n.weight())
	}
	for i := range n.kids {
		k, q, err := tree.child(n, p, i)
		if err != nil {
			t.Fatal(err)
		}
		checkNode(t, tree, k, q, maxKey, seen)
	}
}

// TestHistories checks trees against models after every step of random
// histories, with a twin whose leaves are dropped or that is opened anew at
// random, and older trees at the end (M6).
func TestHistories(t *testing.T) {
	for _, f := range families {
		t.Run(f.name, func(t *testing.T) {
			type past struct {
				tree *Tree
				root wire.Digest
				m    model
			}
			var pasts []past
			tree, twin, lazy := New(), newTwin(t), New()
			r := newRand(1)
			f.history(t, func(changes []Change, m model) {
				tree = mustApply(t, tree, changes)
				checkShape(t, tree, f.maxKey)
				sameRows(t, rowsOf(t, tree, nil, nil), m)
				twin.apply(t, changes, r.IntN(3))
				lazy = mustApply(t, lazy, changes)
				if tree.Root() != twin.tree.Root() || r.IntN(5) == 0 && tree.Root() != lazy.Root() {
					t.Fatal("one history, two roots")
				}
				if r.IntN(4) == 0 {
					pasts = append(pasts, past{tree, tree.Root(), m})
				}
			})
			if tree.Len() != 0 || tree.Root() != New().Root() {
				t.Fatal("something is left")
			}
			for _, p := range pasts {
				checkShape(t, p.tree, f.maxKey)
				sameRows(t, rowsOf(t, p.tree, nil, nil), p.m)
				if p.tree.Root() != p.root {
					t.Fatal("M6: an old tree changed")
				}
			}
		})
	}
}

// TestReads checks Get and Ascend of keys that are there, beside and beyond.
func TestReads(t *testing.T) {
	r := newRand(2)
	f := families[0]
	var m model
	tree := New()
	for step := range 20 {
		changes := f.changes(r, m, step, 2)
		tree, m = mustApply(t, tree, changes), m.apply(changes)
	}
	for range 2000 {
		key := f.key(r, 0, 0)
		row, ok, err := tree.Get(key)
		i, want := m.find(key)
		if err != nil || ok != want || ok && !sameRow(row, m[i]) {
			t.Fatalf("Get(%x): %v %v %v", key, row, ok, err)
		}
		hi := f.key(r, 0, 0)
		if r.IntN(5) == 0 {
			hi = nil
		}
		var got model
		n := r.IntN(100)
		err = tree.Ascend(key, hi, func(row Row) bool { got = append(got, row); return len(got) <= n })
		all := m.between(key, hi)
		if err != nil {
			t.Fatal(err)
		}
		sameRows(t, got, all[:min(len(all), n+1)])
	}
	if _, ok, err := New().Get(nil); ok || err != nil {
		t.Fatal("the empty tree has a row")
	}
}

func TestNothingChanges(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 5000, 1))
	tree.Root()
	for _, changes := range [][]Change{
		nil,
		numbered(100, 300, 1),
		{{Row: Row{Key: []byte("absent")}, Delete: true}},
	} {
		next := mustApply(t, tree, changes)
		if next.root.node != tree.root.node || next.Stats() != (Stats{}) {
			t.Fatal("changes that alter nothing make new nodes")
		}
	}
	if next := mustApply(t, New(), []Change{{Delete: true}}); next.Len() != 0 {
		t.Fatal("a deletion makes a row")
	}
}

// TestKeysAreCopied: the caller may use its slices again (M6).
func TestKeysAreCopied(t *testing.T) {
	changes := numbered(0, 100, 1)
	tree := mustApply(t, New(), changes)
	for i := range changes {
		copy(changes[i].Key, "garbage!")
	}
	sameRows(t, rowsOf(t, tree, nil, nil), model(nil).apply(numbered(0, 100, 1)))
}

// numbered sets the rows from and up to to.
func numbered(from, to int, value byte) []Change {
	var out []Change
	for i := from; i < to; i++ {
		out = append(out, Change{Row: Row{Key: number(uint64(i)), Value: wire.Digest{value}, Length: 1}})
	}
	return out
}

// TestCost: what one change costs does not grow with the tree but for its depth.
func TestCost(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 50_000, 1))
	tree.Root()
	levels := int(tree.root.node.level) + 1
	next := mustApply(t, tree, numbered(30_000, 30_001, 2))
	next.Root()
	if s := next.Stats(); s.Nodes != levels || s.Bytes > levels*48*60 {
		t.Fatalf("one change of %d levels hashed %+v", levels, s)
	}
	if next.Root(); next.Stats().Nodes != levels {
		t.Fatal("a root is computed twice")
	}
}

func TestWrongChanges(t *testing.T) {
	row := func(key string) Change { return Change{Row: Row{Key: []byte(key)}} }
	for name, changes := range map[string][]Change{
		"disorder": {row("b"), row("a")},
		"twice":    {row("a"), row("a")},
		"too long": {row(string(make([]byte, MaxKey+1)))},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_, _ = New().Apply(changes)
		}()
	}
}

// TestBound meets the bound of a node in bytes.
func TestBound(t *testing.T) {
	var changes []Change
	for i := range 7 {
		changes = append(changes, Change{Row: Row{Key: append([]byte{byte(i)}, make([]byte, MaxKey-1)...)}})
	}
	tree := mustApply(t, New(), changes)
	var w wire.Writer
	tree.root.node.encode(&w)
	if len(w.B) != MaxNode {
		t.Fatalf("seven of the longest keys make %d bytes, not %d", len(w.B), MaxNode)
	}
	if _, err := Open(tree.Root(), memory{tree.Root(): w.B}); err != nil {
		t.Fatal(err)
	}
	if _, err := decode(append(w.B, 0)); !errors.Is(err, wire.ErrMalformed) {
		t.Fatal("a node beyond the bound is decoded")
	}
}
