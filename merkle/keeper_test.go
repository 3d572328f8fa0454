package merkle

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// keeper keeps trees in a store as doc.go demands, and crashes: of what it
// writes and deletes any part may be done.
type keeper struct {
	r         *rand.Rand
	store     memory
	tree      *Tree
	roots     []wire.Digest          // that are kept, the last that of tree
	lists     []map[wire.Digest]bool // lists[i]: stale since roots[i]
	due       map[wire.Digest]bool   // stale, and no root that is kept needs them
	begun     map[wire.Digest]bool   // about to be written, and not yet needed
	comebacks int
}

func newKeeper(t *testing.T, r *rand.Rand) *keeper {
	t.Helper()
	k := &keeper{r: r, store: memory{}, roots: []wire.Digest{emptyRoot}, lists: []map[wire.Digest]bool{{}}, due: map[wire.Digest]bool{}}
	k.reopen(t)
	return k
}

// reopen is what follows a start.
func (k *keeper) reopen(t *testing.T) {
	t.Helper()
	for digest := range k.begun {
		delete(k.store, digest)
	}
	k.begun = nil
	var err error
	if k.tree, err = Open(k.roots[len(k.roots)-1], k.store); err != nil {
		t.Fatal(err)
	}
}

// keep makes next the newest tree kept, unless it crashes.
func (k *keeper) keep(t *testing.T, next *Tree) (crashed bool) {
	t.Helper()
	fresh, stale := memory{}, map[wire.Digest]bool{}
	err := Delta(k.tree, next, func(digest wire.Digest, raw []byte) { fresh[digest] = slices.Clone(raw) },
		func(digest wire.Digest) { stale[digest] = true })
	if err != nil {
		t.Fatal(err)
	}
	k.begun = map[wire.Digest]bool{}
	for digest := range fresh {
		if _, held := k.store[digest]; !held {
			k.begun[digest] = true
		}
	}
	for digest, raw := range fresh {
		if k.r.IntN(1+6*len(fresh)) == 0 {
			return true
		}
		k.store[digest] = raw
	}
	// From here on to the root is one record.
	k.begun = nil
	for digest := range fresh {
		for _, list := range append(k.lists, k.due) {
			if list[digest] {
				k.comebacks++
				delete(list, digest)
			}
		}
	}
	k.lists[len(k.lists)-1] = stale
	k.roots, k.lists = append(k.roots, next.Root()), append(k.lists, map[wire.Digest]bool{})
	k.tree = next
	for kept := 1 + k.r.IntN(5); len(k.roots) > kept; k.roots, k.lists = k.roots[1:], k.lists[1:] {
		maps.Copy(k.due, k.lists[0])
	}
	for digest := range k.due {
		if k.r.IntN(100) == 0 {
			return false // the rest another time
		}
		delete(k.store, digest)
		delete(k.due, digest)
	}
	return false
}

// fetch makes the tree of a source the newest kept, after it tried another one.
func (k *keeper) fetch(t *testing.T, want, other *Tree) {
	t.Helper()
	saved := map[wire.Digest]bool{}
	take := func(source *Tree, most int) *Transfer {
		nodes, tr := nodesOf(t, source), NewTransfer(source.Root(), k.tree, k.store, 1+k.r.IntN(9))
		for wanted := tr.Wanted(); len(wanted) > 0 && most > 0; wanted = tr.Wanted() {
			digest, err := tr.Take(nodes[wanted[0]])
			if err != nil || digest != wanted[0] {
				t.Fatal(err)
			}
			k.store[digest], saved[digest] = nodes[digest], true
			most--
			if k.r.IntN(20) == 0 {
				tr = NewTransfer(source.Root(), k.tree, k.store, 3)
			}
		}
		return tr
	}
	take(other, k.r.IntN(20))
	next, err := take(want, everything).Tree()
	if err != nil {
		t.Fatal(err)
	}
	err = Delta(k.tree, next, func(digest wire.Digest, _ []byte) { delete(saved, digest) }, func(wire.Digest) {})
	if err != nil {
		t.Fatal(err)
	}
	for digest := range saved {
		delete(k.store, digest)
	}
	for k.keep(t, next) {
		k.reopen(t)
	}
}

// check: every root that is kept is whole, and the store holds nothing else but
// what is listed.
func (k *keeper) check(t *testing.T) {
	t.Helper()
	live := map[wire.Digest]bool{}
	for i, root := range k.roots {
		tree, err := Open(root, k.store)
		if err != nil {
			t.Fatal(err)
		}
		for digest := range nodesOf(t, tree) {
			live[digest] = true
			if k.due[digest] {
				t.Fatal("a node that is due to be deleted is live")
			}
			for j := range i {
				if k.lists[j][digest] {
					t.Fatal("a node is live in a tree, and listed as stale before it")
				}
			}
		}
	}
	for digest := range k.store {
		if !live[digest] && !k.due[digest] {
			t.Fatal("a node is stored that no root needs and no list names")
		}
	}
}

// toggles is a history of few rows that go there and back, so that digests do.
func toggles(r *rand.Rand, step int) []Change {
	changes := numbered(0, 700, 1)
	if step > 0 {
		from := 100 * r.IntN(7)
		changes = numbered(from, from+[]int{1, 3, 90}[r.IntN(3)], byte(1+r.IntN(2)))
		for i := range changes {
			changes[i].Delete = r.IntN(3) == 0 && len(changes) > 3 || r.IntN(9) == 0
		}
		if r.IntN(2) == 0 {
			changes = numbered(from, from+100, 1) // as it was
		}
	}
	return changes
}

// TestSameRoot: one ordered history makes one root at every slot, whatever a
// replica keeps and when, through crashes with any part written, after transfers
// from any state to any, and at those who never wrote anything.
func TestSameRoot(t *testing.T) {
	type history func(yield func(changes []Change))
	histories := map[string]history{"toggles": func(yield func([]Change)) {
		r := newRand(11)
		for step := range 600 {
			yield(toggles(r, step))
		}
	}}
	for _, i := range []int{0, 4, 6} {
		histories[families[i].name] = func(yield func([]Change)) {
			families[i].history(t, func(changes []Change, _ model) { yield(changes) })
		}
	}
	for name, history := range histories {
		t.Run(name, func(t *testing.T) {
			r := newRand(12)
			straight, replicas := []*Tree{New()}, []*keeper{newKeeper(t, r), newKeeper(t, r)}
			at := make([]int, len(replicas)) // the slot that each has kept
			var slots [][]Change
			history(func(changes []Change) {
				slots = append(slots, changes)
				straight = append(straight, mustApply(t, straight[len(straight)-1], changes))
				for i, k := range replicas {
					if r.IntN(3) > 0 {
						continue // lags, or makes no checkpoint here
					}
					if r.IntN(5) == 0 {
						k.fetch(t, straight[len(slots)], straight[r.IntN(len(straight))])
					} else {
						tree := k.tree
						for _, c := range slots[at[i]:] {
							tree = mustApply(t, tree, c)
						}
						if k.keep(t, tree) {
							k.reopen(t)
							k.whole(t)
							continue // and does it again later
						}
					}
					at[i] = len(slots)
					if k.roots[len(k.roots)-1] != straight[at[i]].Root() {
						t.Fatal("one history, two roots")
					}
					if r.IntN(3) == 0 {
						k.tree.Shed()
					}
					k.check(t)
				}
			})
			if n := replicas[0].comebacks + replicas[1].comebacks; name == "toggles" && n < 50 {
				t.Fatalf("only %d digests came back", n)
			}
		})
	}
}

// whole: after a crash the roots are whole, whatever else was written.
func (k *keeper) whole(t *testing.T) {
	t.Helper()
	for _, root := range k.roots {
		tree, err := Open(root, k.store)
		if err != nil {
			t.Fatal(err)
		}
		nodesOf(t, tree)
	}
}

// TestBatches: the same rows in other batches may make another root. That is
// why Apply must be called at the same slots everywhere.
func TestBatches(t *testing.T) {
	changes := numbered(0, 500, 1)
	once, twice := mustApply(t, New(), changes), mustApply(t, New(), changes[:300])
	twice = mustApply(t, twice, changes[300:])
	if once.Root() == twice.Root() {
		t.Fatal("the shape does not depend on batches: say so in doc.go")
	}
	if len(changesBetween(t, once, twice)) != 0 {
		t.Fatal("the rows differ")
	}
}

// TestForks makes trees from one another in all directions before and after any
// root is computed: none changes another (M6).
func TestForks(t *testing.T) {
	for _, f := range families {
		r := newRand(13)
		trees, models := []*Tree{New()}, []model{nil}
		for step := range f.steps {
			i := max(0, len(trees)-1-r.IntN(4))
			changes := f.changes(r, models[i], step, []int{1, 5}[2*step/f.steps])
			trees, models = append(trees, mustApply(t, trees[i], changes)), append(models, models[i].apply(changes))
			if r.IntN(3) == 0 {
				trees[r.IntN(len(trees))].Root()
			}
		}
		r.Shuffle(len(trees), func(i, j int) {
			trees[i], trees[j], models[i], models[j] = trees[j], trees[i], models[j], models[i]
		})
		for i, tree := range trees {
			checkShape(t, tree, f.maxKey)
			sameRows(t, rowsOf(t, tree, nil, nil), models[i])
		}
	}
}
