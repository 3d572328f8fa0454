package kv

import (
	"bytes"
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// Sizes of the smallest encodings, in bytes: they bound what a count may claim.
const (
	minOp      = 1 + 4 + 4 + 1
	minCompare = 4 + 4 + 1 + 1 + 4
	maxCount   = 1<<16 - 1
)

func encoded(op Op) []byte {
	var w wire.Writer
	op.encode(&w)
	return w.B
}

// Encode implements Op.
func (op Put) Encode() []byte { return encoded(op) }

// Encode implements Op.
func (op Range) Encode() []byte { return encoded(op) }

// Encode implements Op.
func (op DeleteRange) Encode() []byte { return encoded(op) }

// Encode implements Op.
func (op Txn) Encode() []byte { return encoded(op) }

// Encode implements Op.
func (op Compact) Encode() []byte { return encoded(op) }

func (op Put) encode(w *wire.Writer) {
	w.U8(opPut)
	w.Bytes(op.Key)
	w.Bytes(op.Value)
	w.Bool(op.PrevKV)
}

func (op DeleteRange) encode(w *wire.Writer) {
	w.U8(opDeleteRange)
	op.Interval.encode(w)
	w.Bool(op.PrevKV)
}

func (op Range) encode(w *wire.Writer) {
	w.U8(opRange)
	op.Interval.encode(w)
	w.I64(op.Revision)
	w.I64(op.Limit)
	w.U8(uint8(op.SortBy))
	w.Bool(op.Descending)
	w.Bool(op.KeysOnly)
	w.Bool(op.CountOnly)
	w.I64(op.MinMod)
	w.I64(op.MaxMod)
	w.I64(op.MinCreate)
	w.I64(op.MaxCreate)
}

func (op Txn) encode(w *wire.Writer) {
	w.U8(opTxn)
	w.U16(uint16(len(op.Compares)))
	for _, c := range op.Compares {
		c.Interval.encode(w)
		w.U8(uint8(c.Target))
		w.U8(uint8(c.Relation))
		if c.Target == TargetValue {
			w.Bytes(c.Value)
		} else {
			w.I64(c.Number)
		}
	}
	for _, branch := range [][]Op{op.Then, op.Else} {
		w.U16(uint16(len(branch)))
		for _, o := range branch {
			o.encode(w)
		}
	}
}

func (op Compact) encode(w *wire.Writer) {
	w.U8(opCompact)
	w.I64(op.Revision)
}

func (i Interval) encode(w *wire.Writer) {
	w.Bytes(i.Key)
	w.Bytes(i.End)
}

// DecodeOp reads one operation. Its byte slices alias b. The error is a Code:
// that of the first violation found.
func DecodeOp(b []byte) (Op, error) {
	if len(b) > MaxOp {
		return nil, CodeTooLarge
	}
	d := decoder{Reader: wire.NewReader(b)}
	op := d.op()
	if d.Done() != nil && d.code == CodeOK {
		d.code = CodeMalformed
	}
	if d.code != CodeOK {
		return nil, d.code
	}
	return op, nil
}

// decoder is a Reader that remembers the first broken rule.
type decoder struct {
	wire.Reader
	code Code
}

// refuse notes that a rule is broken, unless the bytes were bad before that.
func (d *decoder) refuse(c Code) {
	if d.code == CodeOK && d.Err() == nil {
		d.code = c
	}
	d.Fail()
}

func (d *decoder) op() Op {
	switch code := d.U8(); code {
	case opTxn:
		return d.txn()
	case opCompact:
		return Compact{Revision: d.I64()}
	default:
		return d.simple(code)
	}
}

// simple reads what may stand alone and in a transaction's branch.
func (d *decoder) simple(code uint8) Op {
	switch code {
	case opPut:
		return Put{Key: d.key(MaxKey), Value: d.Bytes(MaxOp), PrevKV: d.Bool()}
	case opDeleteRange:
		return DeleteRange{Interval: d.interval(), PrevKV: d.Bool()}
	case opRange:
		return Range{
			Interval: d.interval(), Revision: d.I64(), Limit: d.I64(),
			SortBy: Target(d.enum(uint8(TargetValue))), Descending: d.Bool(), KeysOnly: d.Bool(), CountOnly: d.Bool(),
			MinMod: d.I64(), MaxMod: d.I64(), MinCreate: d.I64(), MaxCreate: d.I64(),
		}
	}
	d.Fail()
	return nil
}

func (d *decoder) txn() Op {
	var op Txn
	n := d.count(minCompare)
	if n > 0 {
		op.Compares = make([]Compare, n)
	}
	for i := range op.Compares {
		op.Compares[i] = d.compare()
	}
	op.Then = d.branch()
	op.Else = d.branch()
	return op
}

func (d *decoder) compare() Compare {
	c := Compare{Interval: d.interval(), Target: Target(d.enum(uint8(TargetValue))), Relation: Relation(d.enum(uint8(NotEqual)))}
	switch c.Target {
	case TargetKey:
		d.Fail()
	case TargetValue:
		c.Value = d.Bytes(MaxOp)
	default:
		c.Number = d.I64()
	}
	return c
}

func (d *decoder) branch() []Op {
	n := d.count(minOp)
	if n == 0 {
		return nil
	}
	ops := make([]Op, n)
	for i := range ops {
		ops[i] = d.simple(d.U8())
		if d.Err() != nil {
			return nil
		}
	}
	if changesTwice(ops) {
		d.refuse(CodeDuplicateKey)
	}
	return ops
}

// count reads the length of a transaction's list, in its bound.
func (d *decoder) count(minSize int) int {
	n := d.Count(maxCount, minSize)
	if n > MaxTxnOps {
		d.refuse(CodeTooManyOps)
		return 0
	}
	return n
}

func (d *decoder) key(max int) []byte {
	key := d.Bytes(MaxOp)
	switch {
	case len(key) == 0:
		d.refuse(CodeEmptyKey)
	case len(key) > max:
		d.refuse(CodeKeyTooLarge)
	}
	return key
}

func (d *decoder) interval() Interval {
	i := Interval{Key: d.key(maxBound), End: d.Bytes(MaxOp)}
	if len(i.End) > maxBound {
		d.refuse(CodeKeyTooLarge)
	}
	return i
}

// enum reads one byte of at most max.
func (d *decoder) enum(max uint8) uint8 {
	v := d.U8()
	if v > max {
		d.Fail()
	}
	return v
}

// changesTwice reports whether a branch puts a key twice, or puts one and
// deletes it. Sorting keeps it cheap for hostile keys with long equal parts.
func changesTwice(ops []Op) bool {
	var room [MaxTxnOps][]byte
	puts := room[:0]
	for _, op := range ops {
		if p, ok := op.(Put); ok {
			puts = append(puts, p.Key)
		}
	}
	slices.SortFunc(puts, bytes.Compare)
	for i := 1; i < len(puts); i++ {
		if bytes.Equal(puts[i-1], puts[i]) {
			return true
		}
	}
	for _, op := range ops {
		if del, ok := op.(DeleteRange); ok {
			i, _ := slices.BinarySearchFunc(puts, del.Key, bytes.Compare)
			if i < len(puts) && del.contains(puts[i]) {
				return true
			}
		}
	}
	return false
}
