package kv

import (
	"bytes"

	"github.com/tagma-db/tagma/wire"
)

// Limits of operations and answers, the same everywhere.
const (
	MaxKey     = 8 << 10    // bytes of a stored key
	MaxOp      = 3 << 19    // bytes of an encoded operation: 1.5 MiB
	MaxTxnOps  = 128        // compares, and operations of each branch, of a Txn
	MaxPayload = 2 << 20    // bytes of key-value pairs in one answer
	maxBound   = MaxKey + 1 // bytes of an interval's end: the successor of a key
)

// Codes of operations: the first byte of their encoding. Reserved: 16–31
// leases, 32–47 watches, 48–63 access rules; and opTxn within a Txn.
const (
	opPut         = 1
	opRange       = 2
	opDeleteRange = 3
	opTxn         = 4
	opCompact     = 5
)

// Op is an operation: Put, Range, DeleteRange, Txn or Compact. DecodeOp makes
// only operations that keep the limits; Encode does not check them.
type Op interface {
	// Encode is the operation's canonical encoding.
	Encode() []byte
	encode(w *wire.Writer)
}

// Interval is a set of keys, written as etcd does. With an empty End it is
// Key alone; with an End of one zero byte all keys from Key on; otherwise the
// keys Key ≤ k < End, none if Key ≥ End. Key is not empty. Both are at most
// MaxKey+1 bytes, so that the successor of every key can be named.
type Interval struct{ Key, End []byte }

// Prefix is the interval of all keys that begin with p, not empty.
func Prefix(p []byte) Interval {
	for i := len(p) - 1; i >= 0; i-- {
		if p[i] != 0xff {
			end := bytes.Clone(p[:i+1])
			end[i]++
			return Interval{p, end}
		}
	}
	return Interval{p, []byte{0}}
}

// single reports that the interval is one key.
func (i Interval) single() bool { return len(i.End) == 0 }

// open reports that the interval has no upper end.
func (i Interval) open() bool { return len(i.End) == 1 && i.End[0] == 0 }

// contains reports whether key is in the interval.
func (i Interval) contains(key []byte) bool {
	switch {
	case i.single():
		return bytes.Equal(key, i.Key)
	case bytes.Compare(key, i.Key) < 0:
		return false
	}
	return i.open() || bytes.Compare(key, i.End) < 0
}

// Put sets the value of Key, 1 to MaxKey bytes.
type Put struct {
	Key, Value []byte
	PrevKV     bool // answer with the pair as it was before
}

// DeleteRange removes all keys of the interval.
type DeleteRange struct {
	Interval
	PrevKV bool // answer with the pairs as they were before
}

// Target is what a Compare or a sort looks at.
type Target uint8

// The targets. A sort may be by any of them, a Compare by all but TargetKey.
const (
	TargetKey     Target = 0
	TargetVersion Target = 1
	TargetCreate  Target = 2
	TargetMod     Target = 3
	TargetValue   Target = 4
)

// Range reads the keys of the interval. The filters leave out of the answer,
// but not of its count, pairs whose revisions lie outside; 0 is no filter.
type Range struct {
	Interval
	Revision                             int64 // read as of it; 0 or less: the present
	Limit                                int64 // at most so many pairs; 0 or less: no limit
	SortBy                               Target
	Descending                           bool // ties are in ascending key order either way
	KeysOnly                             bool // leave the values out
	CountOnly                            bool // leave the pairs out
	MinMod, MaxMod, MinCreate, MaxCreate int64
}

// Relation is how a Compare wants the stored to relate to the given.
type Relation uint8

// The relations, numbered as in etcd.
const (
	Equal    Relation = 0
	Greater  Relation = 1
	Less     Relation = 2
	NotEqual Relation = 3
)

// Compare is a condition of a Txn. It holds if it holds for each key of the
// interval. Where there is no key, numbers compare as 0, and no comparison of
// a value holds.
type Compare struct {
	Interval
	Target   Target
	Relation Relation
	Number   int64  // for all targets but TargetValue, else 0
	Value    []byte // for TargetValue, else empty
}

// Txn runs Then if all compares hold, else Else, as one revision. Compares see
// the state before, operations what those before them did. Each list has at
// most MaxTxnOps entries; branches contain Put, Range and DeleteRange, and
// none changes one key twice.
type Txn struct {
	Compares   []Compare
	Then, Else []Op
}

// Compact forgets what is not readable at Revision or later.
type Compact struct{ Revision int64 }
