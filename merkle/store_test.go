package merkle

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// memory is a Store.
type memory map[wire.Digest][]byte

func (m memory) Load(digest wire.Digest) ([]byte, bool) {
	raw, ok := m[digest]
	return raw, ok
}

// counting is a Store that counts.
type counting struct {
	Store
	loads int
}

func (c *counting) Load(digest wire.Digest) ([]byte, bool) {
	c.loads++
	return c.Store.Load(digest)
}

// nodesOf are the encodings of all nodes of a tree.
func nodesOf(t testing.TB, tree *Tree) memory {
	t.Helper()
	out := memory{}
	err := Delta(New(), tree, func(digest wire.Digest, raw []byte) {
		if _, twice := out[digest]; twice {
			t.Fatal("Delta names a node twice")
		}
		out[digest] = slices.Clone(raw)
	}, func(wire.Digest) { t.Fatal("the empty tree lost a node") })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// twin is a tree kept in a store as a caller would: what is new is written,
// what is stale deleted when the oldest of three roots is given up.
type twin struct {
	store memory
	tree  *Tree
	roots []wire.Digest
	stale []map[wire.Digest]bool // stale[i]: by the step after roots[i]
}

func newTwin(t *testing.T) *twin {
	tree, err := Open(emptyRoot, memory{})
	if err != nil {
		t.Fatal(err)
	}
	return &twin{store: tree.store.(memory), tree: tree, roots: []wire.Digest{emptyRoot}}
}

func (w *twin) apply(t *testing.T, changes []Change, what int) {
	t.Helper()
	old := w.tree
	w.tree = mustApply(t, old, changes)
	stale := map[wire.Digest]bool{}
	err := Delta(old, w.tree, func(digest wire.Digest, raw []byte) {
		w.store[digest] = slices.Clone(raw)
		for _, list := range w.stale {
			delete(list, digest)
		}
	}, func(digest wire.Digest) { stale[digest] = true })
	if err != nil {
		t.Fatal(err)
	}
	w.roots, w.stale = append(w.roots, w.tree.Root()), append(w.stale, stale)
	if len(w.roots) > 3 {
		for digest := range w.stale[0] {
			delete(w.store, digest)
		}
		w.roots, w.stale = w.roots[1:], w.stale[1:]
	}
	switch what {
	case 0:
		w.tree.Shed()
	case 1:
		if w.tree, err = Open(w.tree.Root(), w.store); err != nil {
			t.Fatal(err)
		}
	}
}

// TestDelta: the store of a twin holds exactly the nodes of the roots that are
// kept, also when digests come back.
func TestDelta(t *testing.T) {
	for _, f := range families[:3] {
		w := newTwin(t)
		r := newRand(3)
		var before []Change
		f.history(t, func(changes []Change, m model) {
			if r.IntN(4) == 0 && before != nil { // there and back again
				w.apply(t, before, 2)
				if r.IntN(2) == 0 {
					return
				}
			}
			before = changes
			w.apply(t, changes, r.IntN(3))
			want := map[wire.Digest]bool{}
			for _, root := range w.roots {
				tree, err := Open(root, w.store)
				if err != nil {
					t.Fatal(err)
				}
				for digest := range nodesOf(t, tree) {
					want[digest] = true
				}
			}
			if len(want) != len(w.store) {
				t.Fatalf("%d nodes are stored, %d needed", len(w.store), len(want))
			}
		})
	}
}

func TestShed(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 3000, 1))
	tree.Shed() // no store
	if got := inMemory(tree.root.node); got != 3000 {
		t.Fatalf("%d rows in memory", got)
	}
	store := &counting{Store: nodesOf(t, tree)}
	opened, err := Open(tree.Root(), store)
	if err != nil {
		t.Fatal(err)
	}
	next := mustApply(t, opened, append(numbered(1000, 1100, 2), numbered(2500, 2501, 2)...))
	next.Shed() // before Root
	if got := inMemory(next.root.node); got < 100 {
		t.Fatalf("%d rows in memory", got)
	}
	maps.Copy(store.Store.(memory), nodesOf(t, next))
	next.Shed()
	if got := inMemory(next.root.node); got != 0 {
		t.Fatalf("%d rows in memory", got)
	}
	// What was shed before is not walked again.
	later := mustApply(t, next, numbered(1000, 1001, 3))
	later.Root()
	untouched := &later.root.node.kids[1].node.kids[0]
	untouched.node = &node{}
	later.Shed()
	if untouched.node == nil || inMemory(later.root.node) != 0 {
		t.Fatal("Shed walks the whole tree, or too little of it")
	}
	untouched.node = nil
	store.loads = 0
	if _, ok, err := next.Get(number(1050)); !ok || err != nil || store.loads != 1 {
		t.Fatalf("%v %v after %d loads: inner nodes are gone too", ok, err, store.loads)
	}
}

func inMemory(n *node) int {
	sum := len(n.rows)
	for _, k := range n.kids {
		if k.node != nil {
			sum += inMemory(k.node)
		}
	}
	return sum
}

// TestConcurrentReads reads a tree while later ones are made, for the race
// detector.
func TestConcurrentReads(t *testing.T) {
	w := newTwin(t)
	w.apply(t, numbered(0, 2000, 1), 2)
	w.tree.Shed()
	old := w.tree
	store := maps.Clone(w.store)
	old.store = store
	var done sync.WaitGroup
	for range 4 {
		done.Go(func() {
			for i := range 200 {
				if _, ok, err := old.Get(number(uint64(i * 10))); !ok || err != nil {
					t.Error(err)
				}
				lo, hi := point(number(uint64(i)))
				if _, err := old.Prove(lo, hi, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	w.tree = &Tree{store: w.store, root: old.root}
	for i := range 20 {
		w.apply(t, numbered(i*100, i*100+30, 2), 0)
	}
	done.Wait()
	if old.Len() != 2000 || len(changesBetween(t, old, w.tree)) != 600 {
		t.Fatal("M6: an old tree changed")
	}
}

// TestLost: without a node, or with a changed one, every call tells the truth or
// fails.
func TestLost(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 2000, 1))
	all := nodesOf(t, tree)
	for digest, raw := range all {
		for _, damaged := range []bool{false, true} {
			store := maps.Clone(all)
			delete(store, digest)
			if damaged {
				store[digest] = slices.Clone(raw)
				store[digest][len(raw)/2] ^= 4
			}
			opened, err := Open(tree.Root(), store)
			if digest == tree.Root() {
				wantLost(t, err, digest)
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			wantLost(t, opened.Ascend(nil, nil, func(Row) bool { return true }), digest)
			_, err = opened.Prove(nil, nil, 0)
			wantLost(t, err, digest)
			wantLost(t, Diff(opened, New(), func(Change) bool { return true }), digest)
			wantLost(t, Diff(New(), opened, func(Change) bool { return true }), digest)
			wantLost(t, Delta(New(), opened, func(wire.Digest, []byte) {}, func(wire.Digest) {}), digest)
			_, err = opened.Apply(numbered(0, 2000, 2))
			wantLost(t, err, digest)
			checkLostRows(t, opened, digest)
		}
	}
	if _, err := Open(wire.Digest{1}, nil); err == nil || err.Error() == "" {
		t.Fatal("a tree without a store")
	}
}

func checkLostRows(t *testing.T, opened *Tree, digest wire.Digest) {
	t.Helper()
	lost := 0
	for i := 0; i < 2000; i += 7 {
		row, ok, err := opened.Get(number(uint64(i)))
		if err != nil {
			wantLost(t, err, digest)
			lost++
		} else if !ok || row.Value != (wire.Digest{1}) {
			t.Fatal("a wrong answer")
		}
	}
	if lost == 0 {
		t.Fatal("nothing is lost with a node")
	}
}

// TestLostNeighbours deletes stretches, so that nodes are joined and roots taken
// off, while one node is lost: the tree is right, or there is none.
func TestLostNeighbours(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 2000, 1))
	all := nodesOf(t, tree)
	stretches := [][2]int{{0, 1990}, {10, 2000}, {40, 1960}, {0, 1000}, {20, 995}, {1000, 1020}, {980, 1030}}
	for i := range 30 {
		stretches = append(stretches, [2]int{61 * i, 61*i + 28})
	}
	lost := 0
	for _, s := range stretches {
		changes := numbered(s[0], s[1], 0)
		for i := range changes {
			changes[i].Delete = true
		}
		want := mustApply(t, tree, changes).Root()
		for digest := range all {
			if digest == tree.Root() {
				continue
			}
			store := maps.Clone(all)
			delete(store, digest)
			opened, err := Open(tree.Root(), store)
			if err != nil {
				t.Fatal(err)
			}
			next, err := opened.Apply(changes)
			if err != nil {
				wantLost(t, err, digest)
				lost++
			} else if next.Root() != want {
				t.Fatal("a wrong tree")
			}
		}
	}
	if lost < 2*len(stretches) {
		t.Fatalf("only %d changes failed", lost)
	}
}

func wantLost(t *testing.T, err error, digest wire.Digest) {
	t.Helper()
	var lost *LostError
	if !errors.As(err, &lost) || lost.Digest != digest {
		t.Fatalf("the error is %v", err)
	}
}
