package merkle

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// source answers with nodes of its own, and often with something else.
type source struct {
	nodes memory
	r     *rand.Rand
	lies  int // of eight answers
}

func (s *source) answer(digest wire.Digest) []byte {
	raw := slices.Clone(s.nodes[digest])
	if s.r.IntN(8) >= s.lies {
		return raw
	}
	switch s.r.IntN(4) {
	case 0:
		raw[s.r.IntN(len(raw))] ^= 1 << s.r.IntN(8)
	case 1:
		raw = raw[:s.r.IntN(len(raw))]
	case 2:
		raw = make([]byte, MaxNode+1)
	default: // a node that was not asked for, or is held by now
		digests := make([]wire.Digest, 0, len(s.nodes))
		for digest := range s.nodes {
			digests = append(digests, digest)
		}
		raw = slices.Clone(s.nodes[digests[s.r.IntN(len(digests))]])
	}
	return raw
}

// step asks for one of the nodes wanted and saves what is taken.
func (s *source) step(t *testing.T, tr *Transfer, store memory, window int) (taken bool) {
	t.Helper()
	wanted := tr.Wanted()
	if len(wanted) > window {
		t.Fatalf("%d nodes wanted at a time", len(wanted))
	}
	for _, digest := range wanted {
		if _, held := store[digest]; held {
			t.Fatal("a node is wanted that is held")
		}
	}
	raw := s.answer(wanted[s.r.IntN(len(wanted))])
	digest, err := tr.Take(raw)
	if err != nil {
		if !errors.Is(err, ErrUnwanted) {
			t.Fatal(err)
		}
		return false
	}
	if !slices.Contains(wanted, digest) {
		t.Fatal("a node is taken that was not wanted")
	}
	store[digest] = raw
	for level, list := range tr.rest {
		if len(list) > maxEntries*window {
			t.Fatalf("%d places wait at level %d", len(list), level)
		}
	}
	return true
}

// TestTransfer moves trees to replicas that have others, from sources that lie,
// with restarts, also on a newer root.
func TestTransfer(t *testing.T) {
	for _, f := range families {
		var trees []*Tree
		var models []model
		tree := New()
		f.history(t, func(changes []Change, m model) {
			tree = mustApply(t, tree, changes)
			trees, models = append(trees, tree), append(models, m)
		})
		r := newRand(6)
		for range 8 {
			from, to, newer := r.IntN(len(trees)), r.IntN(len(trees)), r.IntN(len(trees))
			store := nodesOf(t, trees[from])
			local, err := Open(trees[from].Root(), store)
			if err != nil {
				t.Fatal(err)
			}
			window := 1 + r.IntN(20)
			s := &source{nodesOf(t, trees[to]), r, r.IntN(6)}
			tr := NewTransfer(trees[to].Root(), local, store, window)
			for len(tr.Wanted()) > 0 {
				s.step(t, tr, store, window)
				if r.IntN(30) == 0 {
					tr = NewTransfer(trees[to].Root(), local, store, window)
				}
				if r.IntN(60) == 0 {
					to = newer
					s.nodes = nodesOf(t, trees[to])
					tr = NewTransfer(trees[to].Root(), local, store, window)
				}
			}
			got, err := tr.Tree()
			if err != nil || got.Root() != trees[to].Root() {
				t.Fatal(err)
			}
			checkShape(t, got, f.maxKey)
			sameRows(t, rowsOf(t, got, nil, nil), models[to])
		}
	}
}

// TestTransferCost: what differs travels, once, and nothing else.
func TestTransferCost(t *testing.T) {
	old := mustApply(t, New(), numbered(0, 40_000, 1))
	tree := mustApply(t, old, append(numbered(100, 900, 2), numbered(35_000, 35_001, 2)...))
	fresh := 0
	if err := Delta(old, tree, func(wire.Digest, []byte) { fresh++ }, func(wire.Digest) {}); err != nil {
		t.Fatal(err)
	}
	store := &counting{Store: nodesOf(t, old)}
	local, err := Open(old.Root(), store)
	if err != nil {
		t.Fatal(err)
	}
	s := &source{nodes: nodesOf(t, tree), r: newRand(8)}
	taken := 0
	for tr := NewTransfer(tree.Root(), local, store, 16); len(tr.Wanted()) > 0; taken++ {
		if !s.step(t, tr, store.Store.(memory), 16) {
			t.Fatal("the truth is refused")
		}
	}
	if taken != fresh || store.loads > 3*fresh {
		t.Fatalf("%d nodes travelled and %d were loaded, %d are new", taken, store.loads, fresh)
	}
}

func TestTransferEnds(t *testing.T) {
	tree := mustApply(t, New(), numbered(0, 500, 1))
	for _, root := range []wire.Digest{emptyRoot, tree.Root()} {
		tr := NewTransfer(root, tree, nodesOf(t, tree), 0)
		got, err := tr.Tree()
		if len(tr.Wanted()) > 0 || err != nil || got.Root() != root {
			t.Fatal("there is something to fetch of what is held")
		}
	}
	// The root of something that is no tree: a leaf has fewer rows than is said.
	leaf := smallLeaf()
	bad := &Tree{root: ref{rows: 9, node: &node{level: 1, kids: []ref{{rows: 5, node: leaf}, {sep: []byte{255, 1}, rows: 4, digest: wire.Digest{1}}}}}}
	tr := NewTransfer(bad.Root(), New(), memory{}, 1)
	tr.Wanted()
	if _, err := tr.Take(encoded(bad.root.node)); err != nil || tr.Wanted()[0] != leaf.digest {
		t.Fatal(err)
	}
	if _, err := tr.Take(encoded(leaf)); !errors.Is(err, wire.ErrMalformed) || len(tr.Wanted()) != 1 {
		t.Fatalf("a root of no tree: %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Fatal("a transfer that is not done yields a tree")
		}
	}()
	_, _ = tr.Tree()
}
