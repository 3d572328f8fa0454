package merkle

import (
	"encoding/binary"
	"runtime"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// The benchmarks run on a million rows with keys of 16 bytes.
const benchRows = 1_000_000

func benchKey(i uint64) []byte {
	key := make([]byte, 16)
	binary.BigEndian.PutUint64(key, i*0x9e3779b97f4a7c15)
	return key
}

func benchChanges(from, n uint64, value byte) []Change {
	out := make([]Change, n)
	for i := range out {
		out[i] = Change{Row: Row{Key: benchKey(from + uint64(i)), Value: wire.Digest{value, byte(from), byte(from >> 8)}, Length: 100}}
	}
	slices.SortFunc(out, func(a, b Change) int { return slices.Compare(a.Key, b.Key) })
	return out
}

// benchTree grows to a million rows by batches, so that nodes are as full as
// they get in use.
func benchTree(b *testing.B) *Tree {
	b.Helper()
	tree := New()
	for i := range uint64(20) {
		tree = mustApply(b, tree, benchChanges(i*benchRows/20, benchRows/20, 1))
	}
	tree.Root()
	return tree
}

// BenchmarkApply changes 1,000 of a million rows, at once or by sixteen slots,
// and computes the root; or adds and deletes as many.
func BenchmarkApply(b *testing.B) {
	tree := benchTree(b)
	run := func(name string, batches int, changes func(i uint64) []Change) {
		b.Run(name, func(b *testing.B) {
			next, i, stats := tree, uint64(0), Stats{}
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				batch := changes(i)
				i++
				b.StartTimer()
				for some := range slices.Chunk(batch, (len(batch)+batches-1)/batches) {
					next = mustApply(b, next, some)
				}
				next.Root()
				stats.Nodes += next.Stats().Nodes
				stats.Bytes += next.Stats().Bytes
			}
			b.ReportMetric(float64(stats.Nodes)/float64(i), "nodes/op")
			b.ReportMetric(float64(stats.Bytes)/float64(i), "hashed-B/op")
		})
	}
	run("change", 1, func(i uint64) []Change { return benchChanges(i*1000%benchRows, 1000, byte(2+i)) })
	run("slots", 16, func(i uint64) []Change {
		out := benchChanges(i*1000%benchRows, 1000, byte(2+i))
		for j := range out { // slots are not in the order of keys
			k := j * 61 % len(out)
			out[j], out[k] = out[k], out[j]
		}
		for from := 0; from < len(out); from += 63 {
			slices.SortFunc(out[from:min(from+63, len(out))], func(a, b Change) int { return slices.Compare(a.Key, b.Key) })
		}
		return out
	})
	run("add", 1, func(i uint64) []Change { return benchChanges(benchRows+i*1000, 1000, 1) })
	run("delete", 1, func(i uint64) []Change {
		out := benchChanges(i*1000%benchRows, 1000, 1)
		for i := range out {
			out[i].Delete = true
		}
		return out
	})
	run("one", 1, func(i uint64) []Change { return benchChanges(i%benchRows, 1, byte(2+i)) })
}

// BenchmarkHash hashes one leaf of 32 rows.
func BenchmarkHash(b *testing.B) {
	leaf := &node{}
	for _, c := range benchChanges(0, 32, 1) {
		leaf.rows = append(leaf.rows, c.Row)
	}
	h := newHasher()
	b.ReportAllocs()
	for b.Loop() {
		h.whole(leaf)
	}
	b.ReportMetric(float64(h.bytes)/float64(b.N), "hashed-B/op")
}

func BenchmarkProve(b *testing.B) {
	tree := benchTree(b)
	bytes, i := 0, uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		lo, hi := point(benchKey(i % benchRows))
		bytes += len(mustProve(b, tree, lo, hi, 0))
		i++
	}
	b.ReportMetric(float64(bytes)/float64(i), "proof-B/op")
}

func BenchmarkVerify(b *testing.B) {
	tree := benchTree(b)
	root := tree.Root()
	lo, hi := point(benchKey(4711))
	one := mustProve(b, tree, lo, hi, 0)
	many := mustProve(b, tree, lo, nil, 64_000)
	b.Run("one", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if rows, _, err := Verify(root, lo, hi, one); err != nil || len(rows) != 1 {
				b.Fatal(err)
			}
		}
	})
	b.Run("thousand", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if rows, _, err := Verify(root, lo, nil, many); err != nil || len(rows) < 900 {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(many)), "proof-B/op")
	})
}

// BenchmarkMemory reports what a row takes in memory, and what the inner nodes
// alone take.
func BenchmarkMemory(b *testing.B) {
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := heap()
		tree := benchTree(b)
		whole := heap()
		b.ReportMetric((whole-before)/benchRows, "B/row")
		tree.store = memory{} // to read nothing of it
		tree.Shed()
		b.ReportMetric((heap()-before)/benchRows, "shed-B/row")
		runtime.KeepAlive(tree)
	}
}
