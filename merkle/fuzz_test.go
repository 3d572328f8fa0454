package merkle

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// allocated is the memory that f allocates, the least of several runs, because
// others may allocate meanwhile.
func allocated(f func()) uint64 {
	least := ^uint64(0)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f()
		runtime.ReadMemStats(&after)
		least = min(least, after.TotalAlloc-before.TotalAlloc)
	}
	return least
}

// measured is how often a fuzz target measures what it allocates: doing so
// stops the world.
const measured = 64

// damaged calls add with b, and with it cut and changed in many places.
func damaged(b []byte, add func([]byte)) {
	add(b)
	add(append(bytes.Clone(b), 0))
	for i := 0; i < len(b); i += 1 + len(b)/200 {
		add(bytes.Clone(b[:i]))
		for _, flip := range []byte{0x01, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= flip
			add(c)
		}
	}
}

// oddNodes break one rule each.
func oddNodes() [][]byte {
	var out [][]byte
	odd := func(change func(leaf, inner *node)) {
		leaf, inner := smallLeaf(), smallInner()
		change(leaf, inner)
		out = append(out, encoded(leaf), encoded(inner))
	}
	odd(func(leaf, inner *node) { leaf.rows, inner.kids = nil, nil; inner.level = 2 })
	odd(func(leaf, inner *node) { leaf.rows, inner.kids = leaf.rows[:1], inner.kids[:1] })
	odd(func(leaf, inner *node) { leaf.rows[1], inner.kids[1] = leaf.rows[2], inner.kids[2] })
	odd(func(leaf, inner *node) { leaf.rows[2], inner.kids[2] = leaf.rows[0], inner.kids[0] })
	odd(func(leaf, inner *node) {
		leaf.rows[3].Key, inner.kids[2].sep = make([]byte, MaxKey+1), make([]byte, MaxKey+1)
	})
	odd(func(leaf, inner *node) { inner.kids[0].rows = 0; inner.level = maxLevel })
	odd(func(leaf, inner *node) { inner.kids[0].rows = maxRows })
	odd(func(leaf, inner *node) { leaf.rows = nil; inner.level = maxLevel + 1 })
	odd(func(leaf, inner *node) { inner.kids[2].rows = maxRows })
	odd(func(leaf, inner *node) { leaf.level = 1 })
	for _, size := range []int{0, 9 << 10} {
		odd(func(leaf, inner *node) {
			for i := range 49 {
				leaf.rows = append(leaf.rows, Row{Key: append([]byte{255, byte(i + 1)}, make([]byte, size)...)})
				inner.kids = append(inner.kids, ref{rows: 1, sep: leaf.rows[i+4].Key})
			}
			if size > 0 {
				leaf.rows, inner.kids = leaf.rows[:12], inner.kids[:12]
			}
		})
	}
	return append(out, make([]byte, MaxNode+1))
}

// checkNodeBytes checks the laws of decode on one input.
func checkNodeBytes(t *testing.T, raw []byte) {
	n, err := decode(raw)
	if err != nil {
		if !errors.Is(err, wire.ErrMalformed) {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(encoded(n), raw) {
		t.Fatalf("%x decodes, but encodes to %x", raw, encoded(n))
	}
	for _, p := range []place{{root: true}, {lo: []byte("k")}, {hi: []byte("k"), rows: 3}, {level: 1, lo: []byte("k"), hi: []byte("kk")}} {
		p.digest = newHasher().whole(n)
		if _, err := p.open(raw); err != nil && p.root {
			t.Fatal("what decodes cannot be a root")
		}
	}
}

func FuzzNode(f *testing.F) {
	damaged(encoded(smallLeaf()), func(b []byte) { f.Add(b) })
	damaged(encoded(smallInner()), func(b []byte) { f.Add(b) })
	for _, b := range oddNodes() {
		f.Add(b)
	}
	runs := 0
	f.Fuzz(func(t *testing.T, raw []byte) {
		checkNodeBytes(t, raw)
		if runs++; runs%measured != 1 {
			return
		}
		if n := allocated(func() { _, _ = decode(raw) }); n > uint64(2*len(raw)+1024) {
			t.Fatalf("%d bytes allocated for %d", n, len(raw))
		}
	})
}

// FuzzProof checks proofs against the root that they lead to, so that changes
// are not refused at once, and against those of two trees: what verifies there
// is what would be proven.
func FuzzProof(f *testing.F) {
	tree := mustApply(f, New(), numbered(0, 200, 1))
	deep := mustApply(f, New(), numbered(0, 4000, 1))
	for _, proof := range [][]byte{
		mustProve(f, tree, number(50), number(51), 0),
		mustProve(f, tree, number(50), number(150), 1000),
		mustProve(f, mustApply(f, New(), numbered(7, 12, 1)), number(50), nil, 0),
		mustProve(f, deep, number(50), number(150), 0),
	} {
		damaged(proof, func(b []byte) { f.Add(number(50), number(150), b) })
	}
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add([]byte(nil), []byte(nil), mustProve(f, tree, nil, nil, 1))
	f.Add(number(7), number(7), mustProve(f, tree, number(7), number(9), 0))
	f.Add(number(7), number(8), mustProve(f, tree, number(6), number(9), 0))
	f.Add(number(7), append(number(7), 1), mustProve(f, tree, number(7), append(number(7), 1), 0))
	f.Add(append(number(7), 0), append(number(7), 1), mustProve(f, tree, append(number(7), 0), append(number(7), 1), 0))
	f.Add(number(9000), []byte(nil), mustProve(f, tree, number(9000), nil, 0))
	f.Add([]byte{2}, []byte{1}, []byte{})
	f.Add([]byte{1}, []byte{2}, []byte{maxLevel + 1, 4, 1, 2})
	runs := 0
	f.Fuzz(func(t *testing.T, lo, hi, proof []byte) {
		v := verifier{r: wire.NewReader(proof), h: newHasher()}
		root := v.node(min(v.r.U8(), maxLevel), true, true, true)
		checkProofBytes(t, root, lo, hi, proof)
		for _, tree := range []*Tree{tree, deep} {
			rows, complete, err := Verify(tree.Root(), lo, hi, proof)
			if err == nil {
				end := hi
				if !complete {
					_, end = point(rows[len(rows)-1].Key)
				}
				sameRows(t, rows, rowsOf(t, tree, lo, end))
				if again := mustProve(t, tree, lo, end, 0); !bytes.Equal(again, proof) {
					t.Fatalf("%x verifies, but is not the proof", proof)
				}
			}
		}
		if runs++; runs%measured != 1 {
			return
		}
		if n := allocated(func() { _, _, _ = Verify(root, lo, hi, proof) }); n > uint64(8*len(proof)+4096) {
			t.Fatalf("%d bytes allocated for %d", n, len(proof))
		}
	})
}

func checkProofBytes(t *testing.T, root wire.Digest, lo, hi, proof []byte) {
	rows, complete, err := Verify(root, lo, hi, proof)
	if err != nil {
		if !errors.Is(err, wire.ErrMalformed) || rows != nil || complete {
			t.Fatal("an error, and yet an answer")
		}
		return
	}
	if !complete && len(rows) == 0 {
		t.Fatal("an answer that says nothing")
	}
	for i, row := range rows {
		if bytes.Compare(row.Key, lo) < 0 || !below(row.Key, hi) || i > 0 && bytes.Compare(rows[i-1].Key, row.Key) >= 0 {
			t.Fatal("rows outside the interval or out of order")
		}
	}
}

// TestPlaces: a node is refused where its separators do not fit, though its
// children might.
func TestPlaces(t *testing.T) {
	n := &node{level: 1, kids: make([]ref, 4)}
	for i, sep := range []string{"", "d", "h", "m"} {
		n.kids[i] = ref{sep: []byte(sep), rows: 4, digest: wire.Digest{byte(i)}}
	}
	raw := encoded(n)
	for bounds, sound := range map[[2]string]bool{
		{"c", "mm"}: true, {"", "n"}: true, {"d", "n"}: false, {"e", "n"}: false, {"c", "m"}: false, {"c", "h"}: false,
	} {
		p := place{digest: newHasher().whole(n), level: 1, rows: 16, lo: []byte(bounds[0]), hi: []byte(bounds[1])}
		if _, err := p.open(raw); sound != (err == nil) {
			t.Errorf("from %q to %q: %v", bounds[0], bounds[1], err)
		}
	}
}

// TestNodeBytes: every change of a node is refused where its digest is known.
func TestNodeBytes(t *testing.T) {
	for _, n := range []*node{smallLeaf(), smallInner()} {
		raw := encoded(n)
		p := place{digest: newHasher().whole(n), root: true}
		for i := range raw {
			for bit := range 8 {
				c := bytes.Clone(raw)
				c[i] ^= 1 << bit
				if _, err := p.open(c); err == nil {
					t.Fatalf("bit %d of byte %d is flipped and the node accepted", bit, i)
				}
			}
			if _, err := decode(raw[:i]); err == nil {
				t.Fatalf("a node cut at %d is accepted", i)
			}
		}
		if _, err := decode(append(raw, 0)); err == nil {
			t.Fatal("a trailing byte is accepted")
		}
	}
	sound := 0
	for _, raw := range oddNodes() {
		if _, err := decode(raw); err == nil {
			sound++
		}
	}
	if sound != 5 { // the untouched halves of pairs, and a leaf of one row
		t.Fatalf("%d odd nodes are accepted", sound)
	}
}
