package merkle

import (
	"bytes"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// leavesOf are the rows of each leaf of a tree that is in memory.
func leavesOf(n *node) (out [][]Row) {
	if n == nil {
		return nil
	}
	if n.level == 0 {
		return [][]Row{n.rows}
	}
	for _, k := range n.kids {
		out = append(out, leavesOf(k.node)...)
	}
	return out
}

// adversary chooses the next changes with the whole tree before its eyes.
type adversary struct {
	name   string
	choose func(step int, tree *Tree, key func(n int) []byte) []Change
}

func setting(keys ...[]byte) (out []Change) {
	for _, key := range keys {
		out = append(out, Change{Row: Row{Key: key}})
	}
	slices.SortFunc(out, func(a, b Change) int { return bytes.Compare(a.Key, b.Key) })
	return slices.CompactFunc(out, func(a, b Change) bool { return bytes.Equal(a.Key, b.Key) })
}

func deleting(rows []Row) (out []Change) {
	for _, row := range rows {
		out = append(out, Change{Row: row, Delete: true})
	}
	return out
}

// grow sets a few rows more, in disorder, while there are few.
func grow(step int, tree *Tree, key func(n int) []byte) []Change {
	if tree.Len() > 500 {
		return nil
	}
	var keys [][]byte
	for i := range 25 {
		keys = append(keys, key((step*25+i)*7919%100_003))
	}
	return setting(keys...)
}

var adversaries = []adversary{
	{"upwards, one by one", func(step int, _ *Tree, key func(int) []byte) []Change { return setting(key(step)) }},
	{"downwards, one by one", func(step int, _ *Tree, key func(int) []byte) []Change { return setting(key(90_000 - step)) }},
	{"into the fullest leaf", func(step int, tree *Tree, key func(int) []byte) []Change {
		var fullest []Row
		for _, rows := range leavesOf(tree.root.node) {
			if len(rows) > len(fullest) {
				fullest = rows
			}
		}
		if len(fullest) == 0 {
			return setting(key(0))
		}
		return setting(append(slices.Clone(fullest[len(fullest)/2].Key), byte(step)))
	}},
	{"every leaf down to its least", func(step int, tree *Tree, key func(int) []byte) []Change {
		if changes := grow(step, tree, key); step%40 < 20 && changes != nil {
			return changes
		}
		var out []Change
		for _, rows := range leavesOf(tree.root.node) {
			n := &node{rows: rows[:len(rows)-1]}
			if len(rows) > 1 && !thin(n.entries(), n.weight()) {
				out = append(out, deleting(rows[len(rows)-1:])...)
			}
		}
		return out
	}},
	{"one leaf of two, and back", func(step int, tree *Tree, key func(int) []byte) []Change {
		if changes := grow(step, tree, key); step%2 == 0 && changes != nil {
			return changes
		}
		var out []Change
		for i, rows := range leavesOf(tree.root.node) {
			if i%2 == 1 {
				out = append(out, deleting(rows)...)
			}
		}
		return out
	}},
	{"all rows but one of sixteen", func(step int, tree *Tree, key func(int) []byte) []Change {
		if changes := grow(step, tree, key); step%30 < 25 && changes != nil {
			return changes
		}
		var all []Row
		for _, rows := range leavesOf(tree.root.node) {
			all = append(all, rows...)
		}
		var out []Change
		for i, row := range all {
			if i%16 > 0 {
				out = append(out, deleting([]Row{row})...)
			}
		}
		return out
	}},
	{"long between short", func(step int, _ *Tree, key func(int) []byte) []Change {
		short := number(uint64(step * 7919 % 997))
		return setting(key(step), short, append(short, make([]byte, 8<<10-8)...), append(slices.Clone(short), 1))
	}},
}

// TestAdversary: nobody who chooses keys and deletions makes a tree deep or its
// nodes wide, or proofs of others' rows long beyond what M3 and M4 allow.
func TestAdversary(t *testing.T) {
	prefix := func(size int) func(n int) []byte {
		return func(n int) []byte { return append(make([]byte, size-8), number(uint64(n))...) }
	}
	groups := func(n int) []byte { // separators are as long as keys
		return slices.Concat(number(uint64(n/5)), make([]byte, 8<<10-16), number(uint64(n%5)))
	}
	for name, key := range map[string]func(int) []byte{"short": prefix(8), "980 bytes": prefix(979), "8 KiB": prefix(8<<10 - 1), "groups of 8 KiB": groups} {
		for _, a := range adversaries {
			t.Run(name+", "+a.name, func(t *testing.T) {
				tree, longest := New(), 980
				for step := range 200 {
					changes := a.choose(step, tree, key)
					for _, c := range changes {
						longest = max(longest, len(c.Key))
					}
					tree = mustApply(t, tree, changes)
					if step%10 == 0 || step > 190 {
						checkShape(t, tree, longest)
					}
				}
				if tree.Len() == 0 {
					t.Fatal("nothing is left to tell")
				}
			})
		}
	}
}

// TestLook: a transfer that begins again over much that was saved does not stall
// its caller.
func TestLook(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 20_000, 1))
	nodes := nodesOf(t, tree)
	store := &counting{Store: nodes}
	tr := NewTransfer(tree.Root(), New(), store, 4)
	if store.loads > 0 {
		t.Fatal("NewTransfer reads the store")
	}
	calls := 0
	for before := 0; !tr.Look(10); before = store.loads {
		if calls++; store.loads-before > 10 || store.loads == before {
			t.Fatalf("one call loads %d nodes", store.loads-before)
		}
	}
	if calls < len(nodes)/10-1 || store.loads != len(nodes) || len(tr.Wanted()) > 0 {
		t.Fatalf("%d calls and %d loads for %d nodes", calls, store.loads, len(nodes))
	}
	if _, err := tr.Tree(); err != nil {
		t.Fatal(err)
	}
}

// TestTransferOfLittle: what is local costs nothing, however large, if the tree
// to be fetched is small, and also if that shares the end of it.
func TestTransferOfLittle(t *testing.T) {
	local := mustApply(t, New(), numbered(0, 60_000, 1))
	changes := numbered(0, 59_900, 0)
	for i := range changes {
		changes[i].Delete = true
	}
	small := mustApply(t, local, changes)
	store := &counting{Store: nodesOf(t, local)}
	opened, err := Open(local.Root(), store)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{nodes: nodesOf(t, small), r: newRand(14)}
	taken := 0
	for tr := NewTransfer(small.Root(), opened, store, 4); len(tr.Wanted()) > 0; taken++ {
		s.step(t, tr, store.Store.(memory), 4)
	}
	fresh := 0
	if err := Delta(local, small, func(wire.Digest, []byte) { fresh++ }, func(wire.Digest) {}); err != nil {
		t.Fatal(err)
	}
	if taken != fresh || store.loads > maxHeld/thinEntries+12 {
		t.Fatalf("%d nodes taken, %d are new, %d loads", taken, fresh, store.loads)
	}
}

// TestLiar: whatever a source sends, a transfer asks for the same nodes, keeps
// no more, and ends with as many true answers as there are nodes.
func TestLiar(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 3000, 1))
	nodes := nodesOf(t, tree)
	store, r := memory{}, newRand(15)
	tr := NewTransfer(tree.Root(), New(), store, 5)
	liar := &source{nodes: nodes, r: r, lies: 8}
	for truths := 0; ; truths++ {
		wanted := tr.Wanted()
		if len(wanted) == 0 {
			if truths != len(nodes) {
				t.Fatalf("%d true answers for %d nodes", truths, len(nodes))
			}
			return
		}
		for range 20 {
			lie := liar.answer(wanted[r.IntN(len(wanted))])
			if n, err := open(lie); err == nil && slices.Contains(wanted, n.digest) {
				continue // it happens to be true
			}
			if _, err := tr.Take(lie); err == nil || !slices.Equal(tr.Wanted(), wanted) {
				t.Fatalf("a lie changes what is wanted: %v", err)
			}
		}
		raw := nodes[wanted[len(wanted)-1]]
		if _, err := tr.Take(raw); err != nil {
			t.Fatal(err)
		}
		if _, err := tr.Take(raw); err == nil {
			t.Fatal("a node is taken twice")
		}
		store[wanted[len(wanted)-1]] = raw
	}
}
