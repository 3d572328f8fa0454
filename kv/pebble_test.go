package kv_test

import (
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2"
)

// pebbleRows is machine.Rows over Pebble as the replica uses it: no WAL, one
// indexed batch for each operation. It counts what is written.
type pebbleRows struct {
	db    *pebble.DB
	batch *pebble.Batch
	rows  int // set or deleted
	bytes int // of their keys and values
}

func openPebble(tb testing.TB) *pebbleRows {
	db, err := pebble.Open(tb.TempDir(), &pebble.Options{
		DisableWAL: true, Cache: pebble.NewCache(64 << 20), Logger: quiet{},
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &pebbleRows{db: db}
}

type quiet struct{}

func (quiet) Infof(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) { panic("pebble") }

// do runs one operation in a batch of its own.
func (p *pebbleRows) do(op func()) {
	p.batch = p.db.NewIndexedBatch()
	op()
	must(p.batch.Commit(pebble.NoSync))
	must(p.batch.Close())
	p.batch = nil
}

func (p *pebbleRows) Get(key []byte) ([]byte, bool) {
	value, closer, err := p.batch.Get(key)
	if err == pebble.ErrNotFound {
		return nil, false
	}
	must(err)
	value = slices.Clone(value)
	must(closer.Close())
	return value, true
}

func (p *pebbleRows) Set(key, value []byte) {
	p.rows++
	p.bytes += len(key) + len(value)
	must(p.batch.Set(key, value, nil))
}

func (p *pebbleRows) Delete(key []byte) {
	p.rows++
	p.bytes += len(key)
	must(p.batch.Delete(key, nil))
}

func (p *pebbleRows) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	it, err := p.batch.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	must(err)
	for ok := it.First(); ok && yield(it.Key(), it.Value()); ok = it.Next() {
	}
	must(it.Close())
}

func (p *pebbleRows) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	it, err := p.batch.NewIter(&pebble.IterOptions{LowerBound: lo, UpperBound: hi})
	must(err)
	for ok := it.Last(); ok && yield(it.Key(), it.Value()); ok = it.Prev() {
	}
	must(it.Close())
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
