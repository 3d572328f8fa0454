package kv_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
)

// execute runs an operation and decodes its result.
func execute(t testing.TB, rows machine.Rows, op []byte) kv.Result {
	t.Helper()
	raw := kv.Machine{}.Execute(rows, machine.Call{Op: op})
	result, err := kv.DecodeResult(raw)
	if err != nil {
		t.Fatalf("the result of %x does not decode", op)
	}
	return result
}

// TestModel runs random histories on the machine and on the model: all results
// are equal, operations that fail or change nothing write nothing, and the
// same history makes the same rows.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		first, results := history(t, seed)
		again, same := history(t, seed)
		if !bytes.Equal(first, again) || !bytes.Equal(results, same) {
			t.Fatalf("seed %d: one history, two outcomes", seed)
		}
	}
}

func history(t *testing.T, seed uint64) (rows, results []byte) {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 5)), revision: 1, compacted: -1}
	store, m := &memRows{}, newModel()
	for i := range 400 {
		op := g.op()
		raw := op.Encode()
		writes := store.writes
		got := kv.Machine{}.Execute(store, machine.Call{Op: raw})
		results = append(results, got...)
		if _, err := kv.DecodeOp(raw); errors.Is(err, kv.CodeDuplicateKey) {
			if store.writes != writes || kv.Code(got[0]) != kv.CodeDuplicateKey {
				t.Fatalf("seed %d, operation %d: a double change is not refused", seed, i)
			}
			continue
		}
		want := m.execute(op)
		if !bytes.Equal(got, want.Encode()) {
			result, _ := kv.DecodeResult(got)
			t.Fatalf("seed %d, operation %d: %+v\ngot  %+v\nwant %+v", seed, i, op, result, want)
		}
		_, compacted := want.Reply.(kv.CompactReply)
		if want.Revision == g.revision && !compacted && store.writes != writes {
			t.Fatalf("seed %d, operation %d: %+v changes nothing but writes", seed, i, op)
		}
		g.revision, g.compacted = m.revision, m.compacted
	}
	checkHistory(t, m, store)
	return store.dump(), results
}

// checkHistory reads the whole store as of every revision that can be read.
func checkHistory(t *testing.T, m *model, store *memRows) {
	for revision := max(m.compacted, 1); revision <= m.revision; revision++ {
		op := kv.Range{Interval: kv.Interval{Key: []byte{0}, End: []byte{0}}, Revision: revision}
		if got := execute(t, store, op.Encode()); !bytes.Equal(got.Encode(), m.execute(op).Encode()) {
			t.Fatalf("the store as of revision %d differs", revision)
		}
	}
}
