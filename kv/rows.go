package kv

import (
	"bytes"
	"encoding/binary"

	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/wire"
)

// The rows of a keyspace (docs/adr/0005-row-layout.md). All integers are
// big-endian; ^ is the complement, which makes newer sort first; esc is below.
//
//	head     1                                        → revision 8, compacted 8, swept 8+4
//	version  2 esc(key) 0 1 ^revision 8 ^sub 4 kind 1 → create 8, version 8, value if near; nothing for a tombstone
//	change   3 revision 8 sub 4                       → kind 1, key 4+n, value if far
//
// A value stands in one of the two rows of its change: a small one near the
// key, where one seek finds it; one above nearMax in the change row, so that
// finding and counting keys does not move it.
//
// Reserved tags: 4–6 leases, 7 watches, 8–9 access rules. Reserved kinds:
// 4 and 5, puts with a lease.
const (
	tagHead    = 1
	tagVersion = 2
	tagChange  = 3

	kindNear      = 1 // a put whose value stands in the version row
	kindTombstone = 2
	kindFar       = 3 // a put whose value stands in the change row

	suffixSize = 8 + 4 + 1 // after the terminated key: ^revision, ^sub, kind
	changeSize = 1 + 8 + 4
	metaSize   = 8 + 8 // before the value: create, version

	nearMax = 512 // bytes of a value that stands near
)

// esc keeps the order of keys and lets none be a prefix of another: a zero
// byte becomes 0 255, and the end of the key is 0 1. So a version row of key k
// lies in an interval of keys exactly if it lies between their escapes.
const (
	escZero = 0xff
	escEnd  = 0x01
)

func appendEscaped(b, key []byte) []byte {
	for {
		i := bytes.IndexByte(key, 0)
		if i < 0 {
			return append(b, key...)
		}
		b = append(append(b, key[:i]...), 0, escZero)
		key = key[i+1:]
	}
}

// stem is the part that the version rows of a key have in common.
func stem(key []byte) []byte {
	b := make([]byte, 0, 1+len(key)+2+suffixSize+8)
	return append(appendEscaped(append(b, tagVersion), key), 0, escEnd)
}

// past is the lowest row key above all that begin with stem s. It overwrites s.
func past(s []byte) []byte {
	s[len(s)-1]++ // the terminator's second byte, which no escape reaches
	return s
}

// keyOf is the key of a stem.
func keyOf(stem []byte) []byte {
	escaped := stem[1 : len(stem)-2]
	key := make([]byte, 0, len(escaped))
	for {
		i := bytes.IndexByte(escaped, 0)
		if i < 0 {
			return append(key, escaped...)
		}
		key = append(key, escaped[:i+1]...)
		escaped = escaped[i+2:]
	}
}

// at appends to a stem where its versions of a revision or older begin.
func at(stem []byte, revision int64) []byte {
	return binary.BigEndian.AppendUint64(stem, ^uint64(revision))
}

// versionKey appends to a stem the rest of a version row's key.
func versionKey(stem []byte, revision int64, sub uint32, kind byte) []byte {
	return append(binary.BigEndian.AppendUint32(at(stem, revision), ^sub), kind)
}

// splitVersion takes a version row's key apart.
func splitVersion(row []byte) (stem []byte, revision int64, sub uint32, kind byte) {
	n := len(row) - suffixSize
	return row[:n:n], int64(^binary.BigEndian.Uint64(row[n:])), ^binary.BigEndian.Uint32(row[n+8:]), row[n+12]
}

// changeKey is the key of a change row.
func changeKey(revision int64, sub uint32) []byte {
	b := append(make([]byte, 0, changeSize), tagChange)
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(b, uint64(revision)), sub)
}

// splitChangeKey takes a change row's key apart.
func splitChangeKey(row []byte) (revision int64, sub uint32) {
	return int64(binary.BigEndian.Uint64(row[1:])), binary.BigEndian.Uint32(row[9:])
}

// changeValue is the value of a change row; value is empty unless far.
func changeValue(kind byte, key, value []byte) []byte {
	w := wire.Writer{B: make([]byte, 0, 1+4+len(key)+len(value))}
	w.U8(kind)
	w.Bytes(key)
	w.Raw(value)
	return w.B
}

// splitChange takes the value of a change row apart.
func splitChange(row []byte) (kind byte, key, value []byte) {
	r := wire.NewReader(row)
	kind, key = r.U8(), r.Bytes(MaxKey)
	value = r.Raw(r.Left())
	if r.Err() != nil {
		panic("kv: a change row is damaged")
	}
	return kind, key, value
}

// bounds are the row keys between which the versions of an interval lie.
func (i Interval) bounds() (lo, hi []byte) {
	lo = appendEscaped([]byte{tagVersion}, i.Key)
	if i.open() {
		return lo, []byte{tagVersion + 1}
	}
	return lo, appendEscaped([]byte{tagVersion}, i.End)
}

// meta are the numbers in front of a version row's value.
func meta(value []byte) (create, version int64) {
	return int64(binary.BigEndian.Uint64(value)), int64(binary.BigEndian.Uint64(value[8:]))
}

// withMeta is the value of a version row.
func withMeta(create, version int64, value []byte) []byte {
	b := make([]byte, 0, metaSize+len(value))
	b = binary.BigEndian.AppendUint64(b, uint64(create))
	b = binary.BigEndian.AppendUint64(b, uint64(version))
	return append(b, value...)
}

// head is the row that says where the store stands.
type head struct {
	revision  int64 // of the newest change; 1 for the empty store
	compacted int64 // the lowest revision that can be read; -1 before the first Compact
	swept     position
}

// position is where the sweep goes on: changes before it have been swept.
type position struct {
	revision int64
	sub      uint32
}

var headKey = []byte{tagHead}

func readHead(rows machine.Rows) head {
	value, ok := rows.Get(headKey)
	if !ok {
		return head{revision: 1, compacted: -1}
	}
	r := wire.NewReader(value)
	h := head{revision: r.I64(), compacted: r.I64(), swept: position{r.I64(), r.U32()}}
	if r.Done() != nil {
		panic("kv: the head row is damaged")
	}
	return h
}

func (h head) write(rows machine.Rows) {
	w := wire.Writer{B: make([]byte, 0, 3*8+4)}
	w.I64(h.revision)
	w.I64(h.compacted)
	w.I64(h.swept.revision)
	w.U32(h.swept.sub)
	rows.Set(headKey, w.B)
}
