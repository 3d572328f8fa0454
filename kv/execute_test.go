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
		read, version, ok := kv.Machine{}.Read(store, machine.Call{Op: raw})
		if store.writes != writes {
			t.Fatalf("seed %d, operation %d: %+v is read and writes", seed, i, op)
		}
		got := kv.Machine{}.Execute(store, machine.Call{Op: raw})
		checkRead(t, store.writes != writes, got, read, version, ok)
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

// checkRead compares what Read and Execute say of one operation in one state:
// the same but for the revision, and Read refuses whatever wrote.
func checkRead(t *testing.T, wrote bool, executed, read []byte, version uint64, ok bool) {
	t.Helper()
	if !ok {
		return
	}
	r, err := kv.DecodeResult(read)
	if wrote || err != nil || r.Revision != 0 {
		t.Fatalf("an operation that wrote %v is read as %+v, %v", wrote, r, err)
	}
	if r.Revision = int64(version); !bytes.Equal(r.Encode(), executed) {
		t.Fatalf("read as %x at %d, executed as %x", read, version, executed)
	}
}

// TestReadOnly: whether an operation can be read follows from its form alone.
func TestReadOnly(t *testing.T) {
	key := []byte("k")
	get, put := kv.Range{Interval: kv.Interval{Key: key}}, kv.Put{Key: key}
	for _, c := range []struct {
		op   kv.Op
		read bool
	}{
		{get, true}, {put, false}, {kv.DeleteRange{Interval: get.Interval}, false}, {kv.Compact{Revision: 1}, false},
		{kv.Txn{}, true}, {kv.Txn{Then: []kv.Op{get}, Else: []kv.Op{get, get}}, true},
		{kv.Txn{Then: []kv.Op{get, put}}, false}, {kv.Txn{Else: []kv.Op{put}}, false},
	} {
		_, version, ok := kv.Machine{}.Read(&memRows{}, machine.Call{Op: c.op.Encode()})
		if ok != c.read || kv.ReadOnly(c.op) != c.read || ok && version != 1 {
			t.Errorf("%+v: read %v at %d", c.op, ok, version)
		}
	}
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
