package kv_test

import (
	"bytes"
	"cmp"
	"slices"
	"sort"

	"github.com/tagma-db/tagma/kv"
)

// model is etcd's semantics written down as plainly as possible: it keeps the
// whole state as of every revision.
type model struct {
	revision, compacted int64
	states              map[int64]map[string]kv.KV
}

func newModel() *model {
	return &model{revision: 1, compacted: -1, states: map[int64]map[string]kv.KV{1: {}}}
}

func (m *model) execute(op kv.Op) kv.Result {
	if c, ok := op.(kv.Compact); ok {
		switch {
		case c.Revision <= m.compacted:
			return m.fail(kv.CodeCompacted)
		case c.Revision > m.revision:
			return m.fail(kv.CodeFutureRevision)
		}
		m.compacted = c.Revision
		return kv.Result{Revision: m.revision, Reply: kv.CompactReply{}}
	}
	ops, txn := []kv.Op{op}, kv.TxnReply{}
	t, isTxn := op.(kv.Txn)
	if isTxn {
		txn.Succeeded = !slices.ContainsFunc(t.Compares, func(c kv.Compare) bool { return !m.holds(c) })
		if ops = t.Else; txn.Succeeded {
			ops = t.Then
		}
	}
	for _, op := range ops {
		if r, ok := op.(kv.Range); ok && r.Revision > m.revision {
			return m.fail(kv.CodeFutureRevision)
		} else if ok && r.Revision > 0 && r.Revision < m.compacted {
			return m.fail(kv.CodeCompacted)
		}
	}
	next, changed := map[string]kv.KV{}, false
	for k, v := range m.states[m.revision] {
		next[k] = v
	}
	for _, op := range ops {
		txn.Replies = append(txn.Replies, m.run(op, next, &changed))
	}
	if changed {
		m.revision++
		m.states[m.revision] = next
	}
	if isTxn {
		return kv.Result{Revision: m.revision, Reply: txn}
	}
	return kv.Result{Revision: m.revision, Reply: txn.Replies[0]}
}

func (m *model) fail(code kv.Code) kv.Result {
	r := kv.Result{Code: code, Revision: m.revision}
	if code == kv.CodeCompacted {
		r.Compacted = m.compacted
	}
	return r
}

func (m *model) run(op kv.Op, state map[string]kv.KV, changed *bool) kv.Reply {
	switch op := op.(type) {
	case kv.Put:
		var reply kv.PutReply
		pair := kv.KV{Key: op.Key, Value: op.Value, Create: m.revision + 1, Mod: m.revision + 1, Version: 1}
		if old, ok := state[string(op.Key)]; ok {
			pair.Create, pair.Version = old.Create, old.Version+1
			if op.PrevKV {
				reply.Prev = &old
			}
		}
		state[string(op.Key)] = pair
		*changed = true
		return reply
	case kv.DeleteRange:
		var reply kv.DeleteReply
		for _, pair := range inside(state, op.Interval) {
			delete(state, string(pair.Key))
			reply.Deleted++
			*changed = true
			if op.PrevKV {
				reply.Prev = append(reply.Prev, pair)
			}
		}
		return reply
	}
	r := op.(kv.Range)
	if r.Revision > 0 {
		state = m.states[r.Revision]
	}
	return answer(r, inside(state, r.Interval))
}

func answer(r kv.Range, pairs []kv.KV) kv.RangeReply {
	reply := kv.RangeReply{Count: int64(len(pairs))}
	if r.CountOnly {
		return reply
	}
	pairs = slices.DeleteFunc(pairs, func(p kv.KV) bool {
		return r.MaxMod != 0 && p.Mod > r.MaxMod || r.MinMod != 0 && p.Mod < r.MinMod ||
			r.MaxCreate != 0 && p.Create > r.MaxCreate || r.MinCreate != 0 && p.Create < r.MinCreate
	})
	slices.SortStableFunc(pairs, func(a, b kv.KV) int {
		c := [...]int{
			kv.TargetKey: bytes.Compare(a.Key, b.Key), kv.TargetVersion: cmp.Compare(a.Version, b.Version),
			kv.TargetCreate: cmp.Compare(a.Create, b.Create), kv.TargetMod: cmp.Compare(a.Mod, b.Mod),
			kv.TargetValue: bytes.Compare(a.Value, b.Value),
		}[r.SortBy]
		if r.Descending {
			return -c
		}
		return c
	})
	if r.Limit > 0 && int64(len(pairs)) > r.Limit {
		reply.More, reply.Next = true, pairs[r.Limit].Key
		pairs = pairs[:r.Limit]
	}
	for _, p := range pairs {
		if r.KeysOnly {
			p.Value = nil
		}
		reply.KVs = append(reply.KVs, p)
	}
	return reply
}

// inside is what stands in an interval, in key order.
func inside(state map[string]kv.KV, i kv.Interval) (pairs []kv.KV) {
	for k, p := range state {
		in := k >= string(i.Key)
		switch {
		case len(i.End) == 0:
			in = k == string(i.Key)
		case string(i.End) != "\x00":
			in = in && k < string(i.End)
		}
		if in {
			pairs = append(pairs, p)
		}
	}
	sort.Slice(pairs, func(a, b int) bool { return string(pairs[a].Key) < string(pairs[b].Key) })
	return pairs
}

func (m *model) holds(c kv.Compare) bool {
	pairs := inside(m.states[m.revision], c.Interval)
	if len(pairs) == 0 {
		if c.Target == kv.TargetValue {
			return false
		}
		pairs = []kv.KV{{}}
	}
	for _, p := range pairs {
		var d int
		switch c.Target {
		case kv.TargetVersion:
			d = cmp.Compare(p.Version, c.Number)
		case kv.TargetCreate:
			d = cmp.Compare(p.Create, c.Number)
		case kv.TargetMod:
			d = cmp.Compare(p.Mod, c.Number)
		case kv.TargetValue:
			d = bytes.Compare(p.Value, c.Value)
		}
		if !map[kv.Relation]bool{kv.Equal: d == 0, kv.NotEqual: d != 0, kv.Less: d < 0, kv.Greater: d > 0}[c.Relation] {
			return false
		}
	}
	return true
}
