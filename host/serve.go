package host

import (
	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Bounds of what serving a state may cost.
const (
	servePerPeer = 4         // fetches of one replica that wait
	serveBytes   = 256 << 10 // of an answer, or one item
	serveRate    = 256 << 10 // bytes a tick, to all together
	serveBurst   = 1 << 20
)

// serving is the fetches of a state that wait here.
type serving struct {
	queue  []fetch // at most servePerPeer of each replica
	busy   bool    // one is being answered
	tokens int     // bytes that may leave
	filled pbft.Ticks
}

type fetch struct {
	from int
	*pbft.StateFetch
}

// onStateFetch queues a question for parts of a state.
func (h *Host) onStateFetch(from int, f *pbft.StateFetch) {
	waiting := 0
	for _, q := range h.serving.queue {
		if q.from == from {
			waiting++
		}
	}
	if waiting == servePerPeer {
		h.event(pbft.Event{Kind: pbft.EventIgnored, Reason: pbft.ReasonRate, Peer: from, Of: pbft.KindStateFetch})
		return
	}
	h.serving.queue = append(h.serving.queue, fetch{from, f})
	h.serve()
}

// serve answers the next fetch if the rate allows, reading beside the host.
func (h *Host) serve() {
	s := &h.serving
	if h.now > s.filled {
		s.tokens = min(s.tokens+int(min(h.now-s.filled, 100))*serveRate, serveBurst)
		s.filled = h.now
	}
	if s.busy || s.tokens <= 0 || len(s.queue) == 0 {
		return
	}
	q := s.queue[0]
	s.queue = s.queue[1:]
	blob := &pbft.StateBlob{ID: q.ID}
	send := func() {
		f := blob.Frame(h.cfg, h.o.Self)
		s.tokens -= len(f.Raw())
		h.o.Outbox.ToReplica(q.from, f)
		s.busy = false
		h.serve()
	}
	c := h.point(uint64(q.Seq))
	s.busy = true
	if c == nil {
		send()
		return
	}
	blob.Held, c.asked = true, h.now
	h.beside(func() { blob.Items = c.items(q.StateFetch) }, send)
}

// point is the checkpoint after a slot if it can be served. While a state is
// wanted here none can.
func (h *Host) point(seq uint64) *checkpoint {
	for _, c := range h.points {
		if c.seq == seq && c.root != (wire.Digest{}) && h.wanted == nil && h.transfer == nil {
			return c
		}
	}
	return nil
}

// items is the first of what f asks for, as much as goes into one answer.
func (c *checkpoint) items(f *pbft.StateFetch) (items [][]byte) {
	size := 0
	add := func(item []byte, ok bool) bool {
		if size += 4 + len(item); !ok || len(items) > 0 && size > serveBytes {
			return false
		}
		items = append(items, item)
		return true
	}
	switch f.Part {
	case pbft.StateHead:
		add(c.head, true)
	case pbft.StateNodes:
		tree := c.changes
		if f.Tree != changesTree {
			tree = c.base.at(f.Tree)
		}
		for _, item := range f.Items {
			if tree == nil {
				break
			}
			raw, err := tree.Encoding(merkle.Stand{Level: item.Level, Lo: item.Key})
			if !add(raw, raw != nil && err == nil) {
				break
			}
		}
	case pbft.StateRows:
		for _, item := range f.Items {
			if len(item.Key) == 0 || item.Key[0] != spacePartition || !add(c.reader.Get(item.Key)) {
				break
			}
		}
	}
	return items
}

// changesTree names the tree of changes in a fetch; the others have the number
// of their partition.
const changesTree = 1<<16 - 1
