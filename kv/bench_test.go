package kv_test

import (
	"encoding/binary"
	"testing"

	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
)

// The benchmarks run over Pebble: 10,000 keys of 16 bytes, values of 128.
const benchKeys = 10_000

func benchKey(i int) []byte {
	key := make([]byte, keySize)
	binary.BigEndian.PutUint64(key, uint64(i)*0x9e3779b97f4a7c15)
	return key
}

func benchStore(b *testing.B) *pebbleRows {
	p := openPebble(b)
	for i := range benchKeys {
		op := kv.Put{Key: benchKey(i), Value: make([]byte, 128)}.Encode()
		p.do(func() { kv.Machine{}.Execute(p, machine.Call{Op: op}) })
	}
	p.rows, p.bytes = 0, 0
	return p
}

func BenchmarkPut(b *testing.B) {
	p, i := benchStore(b), 0
	b.ReportAllocs()
	for b.Loop() {
		op := kv.Put{Key: benchKey(i % benchKeys), Value: make([]byte, 128)}.Encode()
		p.do(func() { kv.Machine{}.Execute(p, machine.Call{Op: op}) })
		i++
	}
	b.ReportMetric(float64(p.rows)/float64(i), "rows/op")
	b.ReportMetric(float64(p.bytes)/float64(i), "rowbytes/op")
}

func BenchmarkGet(b *testing.B) {
	p, i := benchStore(b), 0
	b.ReportAllocs()
	for b.Loop() {
		op := kv.Range{Interval: kv.Interval{Key: benchKey(i % benchKeys)}}.Encode()
		p.do(func() { kv.Machine{}.Execute(p, machine.Call{Op: op}) })
		i++
	}
}

func BenchmarkRange100(b *testing.B) {
	p, i := benchStore(b), 0
	lo, hi := make([]byte, keySize), make([]byte, keySize)
	b.ReportAllocs()
	for b.Loop() {
		binary.BigEndian.PutUint64(lo, uint64(i)*0x9e3779b97f4a7c15>>1)
		binary.BigEndian.PutUint64(hi, uint64(i)*0x9e3779b97f4a7c15>>1+1<<63/benchKeys*200)
		op := kv.Range{Interval: kv.Interval{Key: lo, End: hi}, Limit: 100}.Encode()
		p.do(func() { kv.Machine{}.Execute(p, machine.Call{Op: op}) })
		i++
	}
}

func BenchmarkCountAll(b *testing.B) {
	p := benchStore(b)
	op := kv.Range{Interval: everything, CountOnly: true}.Encode()
	b.ReportAllocs()
	for b.Loop() {
		p.do(func() { kv.Machine{}.Execute(p, machine.Call{Op: op}) })
	}
}
