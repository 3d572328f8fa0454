package kv

import (
	"bytes"

	"github.com/tagma-db/tagma/machine"
)

// patience is the number of rows a scan steps over before it seeks: a step is
// some ten times cheaper than a seek.
const patience = 16

// maxDeletes bounds the keys that one operation deletes: what it writes is held
// in memory until the batch is over, some 350 bytes a key.
const maxDeletes = 1 << 16

// deleteChunk bounds what a range delete keeps in memory at once, in keys.
const deleteChunk = 256

// store is a keyspace during one operation. The head is that of before the
// operation until commit.
type store struct {
	head
	rows    machine.Rows
	changes uint32 // made by the operation so far
	room    int    // bytes of pairs that the answer may still take
}

// present is the newest revision that a read inside the operation sees.
func (s *store) present() int64 {
	if s.changes > 0 {
		return s.revision + 1
	}
	return s.revision
}

// row is a version row that a scan stands on, valid until the scan goes on.
type row struct {
	stem   []byte
	mod    int64
	sub    uint32
	kind   byte
	stored []byte // meta, and the value if it is near
}

// value is the value of a row that is no tombstone, wherever it stands.
func (s *store) value(r row) []byte {
	if r.kind == kindNear {
		return r.stored[metaSize:]
	}
	stored, ok := s.rows.Get(changeKey(r.mod, r.sub))
	if !ok {
		panic("kv: a far value is missing")
	}
	_, _, value := splitChange(stored)
	return value
}

// pair is a copy of the row's pair, without its value if so wanted.
func (s *store) pair(r row, keyOnly bool) KV {
	create, version := meta(r.stored)
	kv := KV{Key: keyOf(r.stem), Create: create, Mod: r.mod, Version: version}
	if !keyOnly {
		kv.Value = bytes.Clone(s.value(r))
	}
	return kv
}

// visit yields the keys of an interval that exist at a revision, in ascending
// order, until yield returns false. Nothing may be written meanwhile.
func (s *store) visit(i Interval, revision int64, yield func(row) bool) {
	lo, hi := i.bounds()
	if i.single() {
		lo, hi = at(stem(i.Key), revision), past(stem(i.Key))
	}
	var decided []byte // stem of the key whose version at the revision is known
	for lo != nil && bytes.Compare(lo, hi) < 0 {
		from, idle := lo, 0
		lo = nil
		s.rows.Scan(from, hi, func(key, value []byte) bool {
			stem, mod, sub, kind := splitVersion(key)
			old := bytes.Equal(stem, decided)
			if old || mod > revision {
				if idle++; idle < patience {
					return true
				}
				if lo = bytes.Clone(stem); old {
					lo = past(lo)
				} else {
					lo = at(lo, revision)
				}
				return false
			}
			idle = 0
			decided = append(decided[:0], stem...)
			return (kind == kindTombstone || yield(row{stem, mod, sub, kind, value})) && !i.single()
		})
	}
}

// change writes the two rows of one change. stored is what its version row
// holds, far the value that its change row holds.
func (s *store) change(key []byte, kind byte, stored, far []byte) {
	revision := s.revision + 1
	s.rows.Set(versionKey(stem(key), revision, s.changes, kind), stored)
	s.rows.Set(changeKey(revision, s.changes), changeValue(kind, key, far))
	s.changes++
}

func (s *store) put(op Put) PutReply {
	var reply PutReply
	create, version := s.revision+1, int64(1)
	s.visit(Interval{Key: op.Key}, s.present(), func(r row) bool {
		create, version = meta(r.stored)
		version++
		if op.PrevKV {
			kv := s.pair(r, false)
			reply.Prev = &kv
		}
		return false
	})
	if len(op.Value) <= nearMax {
		s.change(op.Key, kindNear, withMeta(create, version, op.Value), nil)
	} else {
		s.change(op.Key, kindFar, withMeta(create, version, nil), op.Value)
	}
	return reply
}

func (s *store) deleteRange(op DeleteRange) DeleteReply {
	var reply DeleteReply
	for {
		var keys [][]byte
		s.visit(op.Interval, s.present(), func(r row) bool {
			keys = append(keys, keyOf(r.stem))
			if op.PrevKV {
				reply.Prev = append(reply.Prev, s.pair(r, false))
			}
			return len(keys) < deleteChunk
		})
		for _, key := range keys {
			s.change(key, kindTombstone, nil, nil)
		}
		reply.Deleted += int64(len(keys))
		if len(keys) < deleteChunk {
			return reply
		}
		op.Key = append(keys[deleteChunk-1], 0)
	}
}

// commit ends an operation that succeeded and began with the given head.
func (s *store) commit(before head) {
	if s.changes > 0 {
		s.revision++
		s.sweep(min(2*int(s.changes), sweepStep))
	}
	if s.head != before {
		s.head.write(s.rows)
	}
}
