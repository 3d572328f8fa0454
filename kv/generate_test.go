package kv_test

import (
	"bytes"
	"math/rand/v2"

	"github.com/tagma-db/tagma/kv"
)

// generator draws random operations over few keys, so that they meet.
type generator struct {
	*rand.Rand
	revision, compacted int64 // of the store, so that most revisions can be read
}

// key is short and made of the bytes that escapes and bounds could get wrong.
func (g *generator) key() []byte {
	alphabet := []byte{0, 0, 1, 2, 0x61, 0xfe, 0xff, 0xff}
	key := make([]byte, 1+g.IntN(4))
	for i := range key {
		key[i] = alphabet[g.IntN(len(alphabet))]
	}
	return key
}

func (g *generator) interval() kv.Interval {
	key := g.key()
	switch g.IntN(6) {
	case 0:
		return kv.Interval{Key: key, End: []byte{0}}
	case 1:
		return kv.Prefix(key)
	case 2, 3:
		return kv.Interval{Key: key, End: g.key()} // often inverted
	}
	return kv.Interval{Key: key}
}

// value is now and then far from its key.
func (g *generator) value() []byte {
	switch g.IntN(8) {
	case 0:
		return nil
	case 1:
		return bytes.Repeat([]byte{byte(g.IntN(256))}, 510+g.IntN(6))
	}
	return bytes.Repeat([]byte{byte('a' + g.IntN(3))}, 1+g.IntN(3))
}

// bound is a revision for filters and compares.
func (g *generator) bound() int64 {
	if g.IntN(4) > 0 {
		return 0
	}
	return g.revision - int64(g.IntN(40)) + 3
}

func (g *generator) readable() int64 {
	switch g.IntN(10) {
	case 0, 1, 2:
		return max(g.compacted, 1) + g.Int64N(g.revision-max(g.compacted, 1)+1)
	case 3:
		return g.revision + int64(g.IntN(3)) - 1
	case 4:
		return g.compacted - int64(g.IntN(3)) + 1
	}
	return 0
}

func (g *generator) simple(writes bool) kv.Op {
	n := g.IntN(10)
	switch {
	case writes && n < 4:
		return kv.Put{Key: g.key(), Value: g.value(), PrevKV: g.IntN(2) == 0}
	case writes && n < 6:
		return kv.DeleteRange{Interval: g.interval(), PrevKV: g.IntN(2) == 0}
	}
	r := kv.Range{Interval: g.interval(), Revision: g.readable()}
	if g.IntN(2) == 0 {
		r.Limit = int64(g.IntN(8)) - 1
		r.SortBy, r.Descending = kv.Target(g.IntN(5)), g.IntN(2) == 0
		r.KeysOnly, r.CountOnly = g.IntN(4) == 0, g.IntN(8) == 0
		r.MinMod, r.MaxMod, r.MinCreate, r.MaxCreate = g.bound(), g.bound(), g.bound(), g.bound()
	}
	return r
}

func (g *generator) branch() (ops []kv.Op) {
	writes := g.IntN(4) > 0
	for range g.IntN(5) {
		ops = append(ops, g.simple(writes))
	}
	return ops
}

func (g *generator) op() kv.Op {
	switch g.IntN(12) {
	case 0, 1, 2:
		t := kv.Txn{Then: g.branch(), Else: g.branch()}
		for range g.IntN(3) {
			c := kv.Compare{Interval: g.interval(), Target: kv.Target(1 + g.IntN(4)), Relation: kv.Relation(g.IntN(4))}
			if c.Target == kv.TargetValue {
				c.Value = g.value()
			} else if c.Number = int64(g.IntN(3)); c.Target != kv.TargetVersion {
				c.Number = g.bound()
			}
			t.Compares = append(t.Compares, c)
		}
		return t
	case 3:
		if g.IntN(4) == 0 {
			return kv.Compact{Revision: g.revision - int64(g.IntN(30)) + 1}
		}
	}
	return g.simple(true)
}
