package kv

import (
	"bytes"
	"cmp"

	"github.com/tagma-db/tagma/machine"
)

// Machine is the store as a machine.Machine. It has no state of its own.
type Machine struct{}

var _ machine.Machine = Machine{}

// Execute runs the operation that call.Op encodes and returns an encoded
// Result of at most MaxResult bytes. An operation writes nothing if its code
// is not CodeOK. Its cost is linear in the keys of its intervals (also for
// Count), in its changes, and in no more of the history than patience says.
// It panics only on rows that it has not written.
func (Machine) Execute(rows machine.Rows, call machine.Call) []byte {
	before := readHead(rows)
	s := store{rows: rows, head: before, room: MaxPayload}
	op, err := DecodeOp(call.Op)
	if err != nil {
		return Result{Code: err.(Code), Revision: s.revision}.Encode()
	}
	reply, code := s.run(op)
	if code == CodeOK {
		s.commit(before)
	}
	result := Result{Code: code, Revision: s.revision, Reply: reply}
	if code == CodeCompacted {
		result.Compacted = s.compacted
	}
	return result.Encode()
}

var _ machine.Reader = Machine{}

// Read implements machine.Reader for operations that are ReadOnly, and for
// malformed ones. The result is that of Execute with Revision 0; the version is
// the revision.
func (Machine) Read(rows machine.Rows, call machine.Call) (result []byte, version uint64, ok bool) {
	op, err := DecodeOp(call.Op)
	if err == nil && !ReadOnly(op) {
		return nil, 0, false
	}
	s := store{rows: rows, head: readHead(rows), room: MaxPayload}
	if err != nil {
		return Result{Code: err.(Code)}.Encode(), uint64(s.revision), true
	}
	reply, code := s.run(op)
	r := Result{Code: code, Reply: reply}
	if code == CodeCompacted {
		r.Compacted = s.compacted
	}
	return r.Encode(), uint64(s.revision), true
}

// ReadOnly reports whether an operation writes nothing in any state: a Range,
// or a Txn whose branches both hold nothing else.
func ReadOnly(op Op) bool {
	switch op := op.(type) {
	case Range:
		return true
	case Txn:
		for _, branch := range [][]Op{op.Then, op.Else} {
			for _, o := range branch {
				if _, ok := o.(Range); !ok {
					return false
				}
			}
		}
		return true
	}
	return false
}

func (s *store) run(op Op) (Reply, Code) {
	switch op := op.(type) {
	case Compact:
		return s.compact(op)
	case Txn:
		reply := TxnReply{Succeeded: s.holdAll(op.Compares)}
		branch := op.Then
		if !reply.Succeeded {
			branch = op.Else
		}
		var code Code
		reply.Replies, code = s.apply(branch)
		return reply, code
	}
	replies, code := s.apply([]Op{op})
	if code != CodeOK {
		return nil, code
	}
	return replies[0], CodeOK
}

// apply runs the operations in order, all or, if one cannot succeed, none.
func (s *store) apply(ops []Op) ([]Reply, Code) {
	if code := s.check(ops); code != CodeOK {
		return nil, code
	}
	replies := make([]Reply, len(ops))
	for i, op := range ops {
		switch op := op.(type) {
		case Put:
			replies[i] = s.put(op)
		case DeleteRange:
			replies[i] = s.deleteRange(op)
		case Range:
			replies[i] = s.rangeKeys(op)
		}
	}
	return replies, CodeOK
}

// check finds whatever could make one of the operations fail, before the first
// writes, and sets aside the room of the previous pairs that they ask for. It
// may look at the state before all of them, because a branch changes no key
// twice; a pair that two deletes cover is counted twice.
func (s *store) check(ops []Op) Code {
	deletes := 0
	for _, op := range ops {
		var prev Interval
		switch op := op.(type) {
		case Range:
			switch {
			case op.Revision > s.revision:
				return CodeFutureRevision
			case op.Revision > 0 && op.Revision < s.compacted:
				return CodeCompacted
			}
			continue
		case Put:
			if !op.PrevKV {
				continue
			}
			prev = Interval{Key: op.Key}
		case DeleteRange:
			s.visit(op.Interval, s.revision, func(row) bool {
				deletes++
				return deletes <= maxDeletes
			})
			if deletes > maxDeletes {
				return CodeTooManyKeys
			}
			if !op.PrevKV {
				continue
			}
			prev = op.Interval
		}
		s.visit(prev, s.revision, func(r row) bool {
			s.room -= minKV + len(keyOf(r.stem)) + len(s.value(r))
			return s.room >= 0
		})
		if s.room < 0 {
			return CodeAnswerTooLarge
		}
	}
	return CodeOK
}

func (s *store) holdAll(compares []Compare) bool {
	for _, c := range compares {
		if !s.holds(c) {
			return false
		}
	}
	return true
}

func (s *store) holds(c Compare) bool {
	found, holds := false, true
	s.visit(c.Interval, s.revision, func(r row) bool {
		found = true
		create, version := meta(r.stored)
		switch c.Target {
		case TargetValue:
			holds = c.Relation.of(bytes.Compare(s.value(r), c.Value))
		case TargetVersion:
			holds = c.Relation.of(cmp.Compare(version, c.Number))
		case TargetCreate:
			holds = c.Relation.of(cmp.Compare(create, c.Number))
		case TargetMod:
			holds = c.Relation.of(cmp.Compare(r.mod, c.Number))
		}
		return holds
	})
	if !found {
		return c.Target != TargetValue && c.Relation.of(cmp.Compare(0, c.Number))
	}
	return holds
}

// of reports whether the relation admits the outcome of a three-way comparison.
func (r Relation) of(outcome int) bool {
	switch r {
	case Equal:
		return outcome == 0
	case Greater:
		return outcome > 0
	case Less:
		return outcome < 0
	default:
		return outcome != 0
	}
}
