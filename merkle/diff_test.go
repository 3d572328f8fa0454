package merkle

import (
	"slices"
	"testing"
)

func changesBetween(t testing.TB, old, new *Tree) []Change {
	t.Helper()
	var out []Change
	if err := Diff(old, new, func(c Change) bool { out = append(out, c); return true }); err != nil {
		t.Fatal(err)
	}
	return out
}

func sameChange(a, b Change) bool { return a.Delete == b.Delete && sameRow(a.Row, b.Row) }

// TestDiff compares trees of one history with each other, near and far, with
// their models.
func TestDiff(t *testing.T) {
	for _, f := range families {
		var trees []*Tree
		var models []model
		tree := New()
		f.history(t, func(changes []Change, m model) {
			tree = mustApply(t, tree, changes)
			trees, models = append(trees, tree), append(models, m)
		})
		r := newRand(5)
		for i := range trees {
			for _, j := range []int{max(i-1, 0), r.IntN(len(trees))} {
				if !slices.EqualFunc(changesBetween(t, trees[i], trees[j]), models[i].diff(models[j]), sameChange) {
					t.Fatalf("%s: Diff from %d to %d is not the model's", f.name, i, j)
				}
			}
		}
	}
}

// TestDiffCost: what is walked grows with the difference.
func TestDiffCost(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 40_000, 1))
	levels := int(tree.root.node.level) + 1
	for _, n := range []int{1, 10, 100} {
		var changes []Change
		for i := range n {
			changes = append(changes, numbered(i*399, i*399+1, 2)...)
		}
		next := mustApply(t, tree, changes)
		old, new := &counting{Store: nodesOf(t, tree)}, &counting{Store: nodesOf(t, next)}
		a, err := Open(tree.Root(), old)
		if err != nil {
			t.Fatal(err)
		}
		b, err := Open(next.Root(), new)
		if err != nil {
			t.Fatal(err)
		}
		if got := changesBetween(t, a, b); !slices.EqualFunc(got, changes, sameChange) {
			t.Fatalf("%d changes, not %d", len(got), n)
		}
		if old.loads > n*levels || new.loads > n*levels {
			t.Fatalf("%d changes: %d and %d nodes walked", n, old.loads, new.loads)
		}
		stop := 0
		if err := Diff(a, b, func(Change) bool { stop++; return false }); err != nil || stop != 1 {
			t.Fatal("Diff does not stop")
		}
	}
}
