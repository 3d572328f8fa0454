package kv_test

import (
	"bytes"
	"encoding/binary"
	"flag"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tagma-db/tagma/machine"
)

var (
	layoutKeys  = flag.Int("layout-keys", 300, "keys with which the row layouts are compared; ADR 0005 has the figures of 10000 and more")
	layoutValue = flag.Int("layout-value", 128, "bytes of their values")
)

// layout is one way to lay out rows, as small as a comparison allows: keys of
// 16 bytes, one change for each revision, no deletes. Revision 0 is the present.
type layout interface {
	put(rows machine.Rows, revision uint64, key, value []byte)
	get(rows machine.Rows, revision uint64, key []byte) []byte
	scan(rows machine.Rows, lo []byte, n int) [][]byte // values from lo on
	count(rows machine.Rows) int
	events(rows machine.Rows, from uint64, n int) [][]byte // values in revision order
}

const keySize = 16

func u64(b []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(b, v) }

func join(tag byte, key []byte) []byte { return append(append(make([]byte, 0, 64), tag), key...) }

func newest(key []byte, tag byte, revision uint64) (lo, hi []byte) {
	if revision == 0 {
		revision = ^uint64(0)
	}
	return u64(join(tag, key), ^revision), append(join(tag, key), 255, 255, 255, 255, 255, 255, 255, 255, 255)
}

// firsts yields the newest row of every key.
func firsts(rows machine.Rows, tag byte, lo []byte, yield func(key, rest, value []byte) bool) {
	var last []byte
	rows.Scan(join(tag, lo), []byte{tag + 1}, func(k, v []byte) bool {
		key := k[1 : 1+keySize]
		if bytes.Equal(key, last) {
			return true
		}
		last = append(last[:0], key...)
		return yield(key, k[1+keySize:], v)
	})
}

// likeEtcd is (a): revision → key, value; key, revision → numbers.
type likeEtcd struct{}

func (likeEtcd) put(rows machine.Rows, revision uint64, key, value []byte) {
	m := u64(u64(nil, revision), 1)
	lo, hi := newest(key, 'k', 0)
	rows.Scan(lo, hi, func(_, v []byte) bool { m = bytes.Clone(v); m[15]++; return false })
	rows.Set(u64(join('k', key), ^revision), m)
	rows.Set(u64([]byte{'r'}, revision), append(append([]byte{1}, key...), value...))
}

func (likeEtcd) value(rows machine.Rows, rest []byte) []byte {
	v, _ := rows.Get(u64([]byte{'r'}, ^binary.BigEndian.Uint64(rest)))
	return bytes.Clone(v[1+keySize:])
}

func (l likeEtcd) get(rows machine.Rows, revision uint64, key []byte) []byte {
	var rest []byte
	lo, hi := newest(key, 'k', revision)
	rows.Scan(lo, hi, func(k, _ []byte) bool { rest = bytes.Clone(k[1+keySize:]); return false })
	return l.value(rows, rest)
}

func (l likeEtcd) scan(rows machine.Rows, lo []byte, n int) (values [][]byte) {
	firsts(rows, 'k', lo, func(_, rest, _ []byte) bool {
		values = append(values, l.value(rows, rest))
		return len(values) < n
	})
	return values
}

func (likeEtcd) count(rows machine.Rows) (n int) {
	firsts(rows, 'k', nil, func(_, _, _ []byte) bool { n++; return true })
	return n
}

func (likeEtcd) events(rows machine.Rows, from uint64, n int) (values [][]byte) {
	rows.Scan(u64([]byte{'r'}, from), []byte{'s'}, func(_, v []byte) bool {
		values = append(values, bytes.Clone(v[1+keySize:]))
		return len(values) < n
	})
	return values
}

// byKey is (b): key, revision → numbers, value; revision → key.
type byKey struct{}

func (byKey) put(rows machine.Rows, revision uint64, key, value []byte) {
	m := u64(u64(nil, revision), 1)
	lo, hi := newest(key, 'k', 0)
	rows.Scan(lo, hi, func(_, v []byte) bool { m = bytes.Clone(v[:16]); m[15]++; return false })
	rows.Set(u64(join('k', key), ^revision), append(m, value...))
	rows.Set(u64([]byte{'r'}, revision), append([]byte{1}, key...))
}

func (byKey) get(rows machine.Rows, revision uint64, key []byte) (value []byte) {
	lo, hi := newest(key, 'k', revision)
	rows.Scan(lo, hi, func(_, v []byte) bool { value = bytes.Clone(v[16:]); return false })
	return value
}

func (byKey) scan(rows machine.Rows, lo []byte, n int) (values [][]byte) {
	firsts(rows, 'k', lo, func(_, _, v []byte) bool {
		values = append(values, bytes.Clone(v[16:]))
		return len(values) < n
	})
	return values
}

func (byKey) count(rows machine.Rows) int { return likeEtcd{}.count(rows) }

func (byKey) events(rows machine.Rows, from uint64, n int) (values [][]byte) {
	rows.Scan(u64([]byte{'r'}, from), []byte{'s'}, func(k, v []byte) bool {
		v, _ = rows.Get(u64(join('k', v[1:]), ^binary.BigEndian.Uint64(k[1:])))
		values = append(values, bytes.Clone(v[16:]))
		return len(values) < n
	})
	return values
}

// inline is (c): key → revision, numbers, value; and, once replaced, the same
// under key, revision; revision → key.
type inline struct{}

func (inline) put(rows machine.Rows, revision uint64, key, value []byte) {
	m := u64(u64(u64(nil, revision), revision), 1)
	if old, ok := rows.Get(join('c', key)); ok {
		m = append(m[:8], old[8:24]...)
		m[23]++
		rows.Set(u64(join('h', key), ^binary.BigEndian.Uint64(old)), old[8:])
	}
	rows.Set(join('c', key), append(m, value...))
	rows.Set(u64([]byte{'r'}, revision), append([]byte{1}, key...))
}

func (inline) get(rows machine.Rows, revision uint64, key []byte) (value []byte) {
	v, _ := rows.Get(join('c', key))
	if revision == 0 || binary.BigEndian.Uint64(v) <= revision {
		return bytes.Clone(v[24:])
	}
	lo, hi := newest(key, 'h', revision)
	rows.Scan(lo, hi, func(_, v []byte) bool { value = bytes.Clone(v[16:]); return false })
	return value
}

func (inline) scan(rows machine.Rows, lo []byte, n int) (values [][]byte) {
	rows.Scan(join('c', lo), []byte{'d'}, func(_, v []byte) bool {
		values = append(values, bytes.Clone(v[24:]))
		return len(values) < n
	})
	return values
}

func (inline) count(rows machine.Rows) (n int) {
	rows.Scan([]byte{'c'}, []byte{'d'}, func(_, _ []byte) bool { n++; return true })
	return n
}

func (l inline) events(rows machine.Rows, from uint64, n int) (values [][]byte) {
	rows.Scan(u64([]byte{'r'}, from), []byte{'s'}, func(k, v []byte) bool {
		values = append(values, l.get(rows, binary.BigEndian.Uint64(k[1:]), v[1:]))
		return len(values) < n
	})
	return values
}

// TestLayouts is the measurement of ADR 0005, and checks that the layouts that
// it compares answer alike: n keys in random order, each put three times.
func TestLayouts(t *testing.T) {
	var want [][]byte
	for _, l := range []struct {
		name string
		layout
	}{{"a", likeEtcd{}}, {"b", byKey{}}, {"c", inline{}}} {
		got := measureLayout(t, l.name, l.layout)
		if want == nil {
			want = got
		}
		for i := range want {
			if !bytes.Equal(want[i], got[i]) {
				t.Fatalf("layout %s: answer %d differs from that of (a)", l.name, i)
			}
		}
	}
}

func measureLayout(t *testing.T, name string, l layout) (answers [][]byte) {
	n, p := *layoutKeys, openPebble(t)
	defer p.db.Flush() //nolint:errcheck // the clean-up closes it
	source := rand.NewChaCha8([32]byte{1})
	rng := rand.New(source)
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = make([]byte, keySize)
		source.Read(keys[i])
	}
	value := make([]byte, *layoutValue)
	revision, report := uint64(1), []any{name, n}
	step := func(what string, times int, op func()) {
		start := time.Now()
		for range times {
			p.do(op)
		}
		report = append(report, what, time.Since(start)/time.Duration(times))
	}
	put := func(key []byte) {
		revision++
		source.Read(value)
		l.put(p, revision, key, value)
	}
	next := 0
	step("insert", n, func() { put(keys[next]); next++ })
	p.rows, p.bytes = 0, 0
	step("put", 2*n, func() { put(keys[rng.IntN(n)]) })
	t.Logf("%s: rows/put %.2f, bytes/put %d", name, float64(p.rows)/float64(2*n), p.bytes/(2*n))
	must(p.db.Flush())
	times := min(n, 20000)
	step("get", times, func() { answers = append(answers, l.get(p, 0, keys[rng.IntN(n)])) })
	step("old", times, func() {
		answers = append(answers, l.get(p, uint64(n)+1+rng.Uint64N(uint64(2*n)), keys[rng.IntN(n)]))
	})
	step("range100", times/20, func() { answers = append(answers, l.scan(p, keys[rng.IntN(n)], 100)...) })
	step("events100", times/20, func() { answers = append(answers, l.events(p, 2+rng.Uint64N(uint64(2*n)), 100)...) })
	counted := 0
	step("count", 3, func() { counted = l.count(p) })
	if counted != n {
		t.Fatalf("layout %s counts %d keys of %d", name, counted, n)
	}
	m := p.db.Metrics()
	total := m.Total()
	report = append(report, "LSM bytes in tables", total.TablesSize, "written", total.TableBytesFlushed+total.TableBytesCompacted)
	t.Log(report...)
	return answers
}
