package kv

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
)

// rangeKeys answers a Range whose revision has been checked.
func (s *store) rangeKeys(op Range) RangeReply {
	revision := op.Revision
	if revision <= 0 {
		revision = s.present()
	}
	p := picker{store: s, op: op}
	var count int64
	s.visit(op.Interval, revision, func(r row) bool {
		count++
		if !op.CountOnly {
			p.offer(r)
		}
		return true
	})
	s.room -= p.size
	return p.reply(count)
}

// picker keeps the first pairs in the order of the answer that limit and room
// allow, whatever the order in which they are offered. It is a heap whose top
// is the last of them, so that its memory is bounded by the answer's.
type picker struct {
	store *store // its room is the answer's
	op    Range
	kept  []KV
	size  int // of what is kept; at most the room between offers
	bound *KV // the first pair that was left out
}

func (p *picker) offer(r row) {
	ascending := p.op.SortBy == TargetKey && !p.op.Descending
	if ascending && p.bound != nil {
		return // so that a long interval costs no copies
	}
	create, _ := meta(r.stored)
	if outside(r.mod, p.op.MinMod, p.op.MaxMod) || outside(create, p.op.MinCreate, p.op.MaxCreate) {
		return
	}
	kv := p.store.pair(r, p.op.KeysOnly && p.op.SortBy != TargetValue)
	if p.bound != nil && p.compare(&kv, p.bound) > 0 {
		return
	}
	heap.Push(p, kv)
	for p.size > p.store.room || p.op.Limit > 0 && int64(len(p.kept)) > p.op.Limit {
		last := heap.Pop(p).(KV)
		p.bound = &last
	}
}

// outside reports that a revision is excluded by a filter; 0 is no filter.
func outside(revision, min, max int64) bool {
	return min != 0 && revision < min || max != 0 && revision > max
}

func (p *picker) reply(count int64) RangeReply {
	slices.SortFunc(p.kept, func(a, b KV) int { return p.compare(&a, &b) })
	reply := RangeReply{KVs: p.kept, Count: count}
	if p.bound != nil {
		reply.More, reply.Next = true, p.bound.Key
	}
	if p.op.KeysOnly {
		for i := range reply.KVs {
			reply.KVs[i].Value = nil
		}
	}
	return reply
}

// compare is the order of the answer. It is total: no two pairs are equal.
func (p *picker) compare(a, b *KV) int {
	var c int
	switch p.op.SortBy {
	case TargetKey:
		c = bytes.Compare(a.Key, b.Key)
	case TargetVersion:
		c = cmp.Compare(a.Version, b.Version)
	case TargetCreate:
		c = cmp.Compare(a.Create, b.Create)
	case TargetMod:
		c = cmp.Compare(a.Mod, b.Mod)
	case TargetValue:
		c = bytes.Compare(a.Value, b.Value)
	}
	if p.op.Descending {
		c = -c
	}
	if c == 0 {
		c = bytes.Compare(a.Key, b.Key)
	}
	return c
}

// Len implements heap.Interface.
func (p *picker) Len() int { return len(p.kept) }

// Less implements heap.Interface: the last of the answer is on top.
func (p *picker) Less(i, j int) bool { return p.compare(&p.kept[i], &p.kept[j]) > 0 }

// Swap implements heap.Interface.
func (p *picker) Swap(i, j int) { p.kept[i], p.kept[j] = p.kept[j], p.kept[i] }

// Push implements heap.Interface.
func (p *picker) Push(x any) {
	kv := x.(KV)
	p.kept = append(p.kept, kv)
	p.size += kv.size()
}

// Pop implements heap.Interface.
func (p *picker) Pop() any {
	n := len(p.kept) - 1
	kv := p.kept[n]
	p.kept = p.kept[:n]
	p.size -= kv.size()
	return kv
}
