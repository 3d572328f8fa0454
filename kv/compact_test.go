package kv_test

import (
	"bytes"
	"testing"

	"github.com/tagma-db/tagma/kv"
)

// TestCompactIsBounded compacts a long history: no operation removes more than
// its step, and the writes that follow remove the rest.
func TestCompactIsBounded(t *testing.T) {
	const n, keys, step = 5000, 10, 1024
	store := &memRows{}
	for i := range n {
		value := make([]byte, 500+i%30) // near and far
		execute(t, store, kv.Put{Key: numbered(i % keys), Value: value}.Encode())
	}
	run := func(op kv.Op, most int) {
		before := store.writes
		if r := execute(t, store, op.Encode()); r.Code != kv.CodeOK {
			t.Fatal(r.Code)
		}
		if got := store.writes - before; got > most {
			t.Fatalf("%+v writes %d rows", op, got)
		}
	}
	// For each change swept: its change row, the version before, and its far value.
	run(kv.Compact{Revision: n + 1}, 3*step+1)
	writes := 0
	for ; len(store.rows) > 3*keys+2*writes; writes++ {
		if writes > n/2 {
			t.Fatalf("%d rows are left of %d keys", len(store.rows), keys)
		}
		run(kv.Put{Key: []byte("other")}, 2+1+2*3)
	}
	run(kv.DeleteRange{Interval: everything}, 2*(keys+1)+1+2*3*(keys+1))
	run(kv.Compact{Revision: int64(n + writes + 2)}, 3*step+1)
	for range writes {
		run(kv.Put{Key: []byte("other")}, 2+1+2*3)
	}
	op := kv.Range{Interval: kv.Interval{Key: numbered(0), End: numbered(keys)}}
	if r := execute(t, store, op.Encode()).Reply.(kv.RangeReply); r.Count != 0 {
		t.Fatalf("%d keys after their deletion", r.Count)
	}
}

// TestCompactLeavesTheReadable compacts again and again and checks that what
// is left is what the newest revision needs, and its change rows.
func TestCompactLeavesTheReadable(t *testing.T) {
	store := &memRows{}
	far := bytes.Repeat([]byte("v"), 1000)
	for round := range 50 {
		execute(t, store, kv.Put{Key: []byte("far"), Value: far}.Encode())
		execute(t, store, kv.Put{Key: []byte("near"), Value: []byte("v")}.Encode())
		execute(t, store, kv.Put{Key: []byte("gone"), Value: far}.Encode())
		execute(t, store, kv.DeleteRange{Interval: kv.Interval{Key: []byte("gone")}}.Encode())
		r := execute(t, store, kv.Put{Key: []byte("last")}.Encode())
		execute(t, store, kv.Compact{Revision: r.Revision}.Encode())
		// The head; two rows of far, one of near; of last the version and the
		// change of this revision, and the version that it replaced.
		if want := 6 + min(round, 1); len(store.rows) != want {
			t.Fatalf("round %d: %d rows, want %d", round, len(store.rows), want)
		}
	}
}
