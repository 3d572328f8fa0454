package kv_test

import (
	"bytes"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
)

// measured is how often a fuzz target measures what it allocates: doing so
// stops the world.
const measured = 64

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

// checkOp checks the laws of DecodeOp on one input.
func checkOp(t *testing.T, b []byte) {
	op, err := kv.DecodeOp(b)
	if err == nil {
		if !bytes.Equal(op.Encode(), b) {
			t.Fatalf("%x is accepted but is not the encoding of %+v", b, op)
		}
		if again, err := kv.DecodeOp(op.Encode()); err != nil || !reflect.DeepEqual(op, again) {
			t.Fatalf("%+v does not come back", op)
		}
	} else if _, ok := err.(kv.Code); !ok {
		t.Fatalf("the error is no Code: %v", err)
	}
}

// checkResult checks the laws of DecodeResult on one input.
func checkResult(t *testing.T, b []byte) {
	result, err := kv.DecodeResult(b)
	if err != nil {
		return
	}
	if !bytes.Equal(result.Encode(), b) {
		t.Fatalf("%x is accepted but is not the encoding of %+v", b, result)
	}
	if again, err := kv.DecodeResult(result.Encode()); err != nil || !reflect.DeepEqual(result, again) {
		t.Fatalf("%+v does not come back", result)
	}
}

// addDamaged adds an encoding, and it cut and changed in many places: seeds
// that reach the refusals of a decoder.
func addDamaged(f *testing.F, b []byte) {
	f.Add(b)
	f.Add(append(bytes.Clone(b), 0))
	for i := 0; i < len(b); i += 1 + len(b)/128 {
		f.Add(bytes.Clone(b[:i]))
		for _, flip := range []byte{0x01, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= flip
			f.Add(c)
		}
	}
}

func FuzzDecodeOp(f *testing.F) {
	for _, g := range goldenOps {
		addDamaged(f, g.op.Encode())
	}
	runs := 0
	f.Fuzz(func(t *testing.T, b []byte) {
		checkOp(t, b)
		if runs++; runs%measured != 1 {
			return
		}
		if n := allocated(func() { _, _ = kv.DecodeOp(b) }); n > uint64(8*len(b)+4096) {
			t.Fatalf("%d bytes allocated for %d", n, len(b))
		}
	})
}

func FuzzDecodeResult(f *testing.F) {
	for _, g := range goldenResults {
		addDamaged(f, g.result.Encode())
	}
	runs := 0
	f.Fuzz(func(t *testing.T, b []byte) {
		checkResult(t, b)
		if runs++; runs%measured != 1 {
			return
		}
		if n := allocated(func() { _, _ = kv.DecodeResult(b) }); n > uint64(4*len(b)+4096) {
			t.Fatalf("%d bytes allocated for %d", n, len(b))
		}
	})
}

// FuzzExecute runs hostile bytes on a small store, twice: nothing panics, what
// fails writes nothing, and results decode.
func FuzzExecute(f *testing.F) {
	for _, g := range goldenOps {
		f.Add(g.op.Encode())
	}
	g := &generator{Rand: rand.New(rand.NewPCG(1, 1)), revision: 20, compacted: 3}
	for range 100 {
		f.Add(g.op().Encode())
	}
	base := smallStore(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		store := &memRows{rows: append([]memRow(nil), base.rows...)}
		for range 2 {
			before := store.writes
			result := execute(t, store, b)
			if result.Code != kv.CodeOK && store.writes != before {
				t.Fatalf("%x fails with %v but writes", b, result.Code)
			}
		}
	})
}

func smallStore(tb testing.TB) *memRows {
	store := &memRows{}
	g := &generator{Rand: rand.New(rand.NewPCG(2, 2)), revision: 1, compacted: -1}
	for range 40 {
		kv.Machine{}.Execute(store, machine.Call{Op: g.simple(true).Encode()})
	}
	execute(tb, store, kv.Compact{Revision: 5}.Encode())
	return store
}

// TestMutations checks the laws near valid encodings, where fuzzing of a few
// seconds would hardly come.
func TestMutations(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	store := smallStore(t)
	mutate := func(b []byte) []byte {
		b = bytes.Clone(b)
		for range 1 + rng.IntN(3) {
			switch i := rng.IntN(len(b)); rng.IntN(4) {
			case 0:
				b = b[:max(i, 1)]
			case 1:
				b = append(b, byte(rng.IntN(3)))
			case 2:
				b[i] = byte(rng.IntN(256))
			case 3:
				b[i] ^= 1 << rng.IntN(8)
			}
		}
		return b
	}
	for range 2000 {
		for _, g := range goldenOps {
			b := mutate(g.op.Encode())
			checkOp(t, b)
			execute(t, store, b)
		}
		for _, g := range goldenResults {
			checkResult(t, mutate(g.result.Encode()))
		}
	}
}

// TestAllocation decodes the encodings that make decoding allocate the most
// for their size: transactions of the smallest operations.
func TestAllocation(t *testing.T) {
	small := kv.Interval{Key: []byte("k")}
	var txn kv.Txn
	for range kv.MaxTxnOps {
		txn.Compares = append(txn.Compares, kv.Compare{Interval: small, Target: kv.TargetValue})
		txn.Then = append(txn.Then, kv.DeleteRange{Interval: small})
		txn.Else = append(txn.Else, kv.DeleteRange{Interval: small})
	}
	for _, txn := range []kv.Txn{txn, {Then: txn.Then, Else: txn.Else}, {Then: txn.Then}} {
		b := txn.Encode()
		if n := allocated(func() { _, _ = kv.DecodeOp(b) }); n > uint64(8*len(b)+4096) {
			t.Errorf("%d bytes allocated for %d", n, len(b))
		}
	}
	lies := []byte{4, 0xff, 0xff, 0xff, 0xff} // 65535 compares of which nothing follows
	if n := allocated(func() { _, _ = kv.DecodeOp(lies) }); n > 4096 {
		t.Errorf("%d bytes allocated because a count says so", n)
	}
}
