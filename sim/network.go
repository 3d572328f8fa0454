package sim

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// network is the directed links between nodes, by slot.
type network struct {
	links [][]link
	sides []int // by slot: which twin it talks to; 2: both
	old   []letter
}

// link is one direction between two nodes.
type link struct {
	gen   uint32 // of the connection; frames of an older one are lost
	cut   bool   // nothing passes
	dirty bool   // something was lost: a LinkUp is owed
	last  micros // when the last frame arrives
}

// letter is an old frame that may be delivered again.
type letter struct {
	from, to int
	raw      []byte
}

// oldLetters bounds the frames kept for replays.
const oldLetters = 256

func newNetwork(w *World) network {
	n := network{links: make([][]link, len(w.nodes)), sides: make([]int, len(w.nodes))}
	for i := range n.links {
		n.links[i] = make([]link, len(w.nodes))
		n.sides[i] = w.c.Choose(3)
	}
	return n
}

// transmit sends a frame from a node to an identity.
func (w *World) transmit(from *node, id int, f *wire.Frame) {
	if id < 0 || id >= w.plan.n || id == from.id {
		return
	}
	w.check.court.noted(f)
	twin := 0
	for _, to := range w.nodes {
		if to.id != id {
			continue
		}
		if to.kind != "twins" || w.net.sides[from.slot] == 2 || w.net.sides[from.slot] == twin {
			w.carry(from, to, f.Raw())
		}
		twin++
	}
}

// carry takes a frame along one link.
func (w *World) carry(from, to *node, raw []byte) {
	l := &w.net.links[from.slot][to.slot]
	if !to.up || l.cut {
		l.dirty = true
		return
	}
	p := &w.plan
	if w.phase == chaos {
		if p.drop > 0 && w.c.Chance(p.drop, 10_000) {
			w.lose(from, to)
			return
		}
		if p.twice > 0 && w.c.Chance(p.twice, 10_000) {
			w.deliver(l, from, to, raw, micros(w.c.Scale(1, 300))*millisecond)
		}
		if w.c.Chance(1, 64) {
			w.remember(from.slot, to.slot, raw)
		}
	}
	w.deliver(l, from, to, raw, 0)
}

func (w *World) deliver(l *link, from, to *node, raw []byte, extra micros) {
	d := micros(w.plan.delay+w.c.Choose(w.plan.jitter)) + extra
	if w.phase == chaos && w.plan.stray > 0 && w.c.Chance(w.plan.stray, 10_000) {
		d += micros(w.c.Scale(1, 800)) * millisecond
	}
	if w.plan.fifo {
		d = max(d, l.last-w.now)
		l.last = w.now + d
	}
	w.later(d, event{kind: evArrive, to: int32(to.slot), from: int32(from.slot), gen: l.gen, raw: raw})
}

func (w *World) arrive(e *event) {
	from, to := w.nodes[e.from], w.nodes[e.to]
	l := &w.net.links[e.from][e.to]
	if !to.up || e.gen != l.gen || l.cut {
		l.dirty = true
		return
	}
	to.inbox = append(to.inbox, arrival{host.Source{Replica: from.id}, e.raw})
	to.wake()
}

// lose drops a frame: both ends learn later that the queue has drained.
func (w *World) lose(from, to *node) {
	l := &w.net.links[from.slot][to.slot]
	if l.dirty {
		return
	}
	l.dirty = true
	w.call(micros(w.c.Scale(20, 1000))*millisecond, func() { w.mend(from, to) })
}

// mend tells both ends of a link that it is whole again, if it is.
func (w *World) mend(a, b *node) {
	there, back := &w.net.links[a.slot][b.slot], &w.net.links[b.slot][a.slot]
	if !a.up || !b.up || there.cut || back.cut {
		there.dirty = true
		return
	}
	there.dirty, back.dirty = false, false
	for _, n := range []*node{a, b} {
		other := a
		if n == a {
			other = b
		}
		n.round(func() { n.host.LinkUp(other.id) })
		if !a.up || !b.up {
			return
		}
	}
}

// sever loses all that is under way between two nodes.
func (w *World) sever(a, b *node) {
	there, back := &w.net.links[a.slot][b.slot], &w.net.links[b.slot][a.slot]
	there.gen++
	back.gen++
	there.dirty, back.dirty = true, true
}

// disconnect severs all links of a node.
func (w *World) disconnect(n *node) {
	for _, other := range w.nodes {
		if other != n {
			w.sever(n, other)
		}
	}
}

// connect makes the links of a node anew, each a little later.
func (w *World) connect(n *node) {
	for _, other := range w.nodes {
		if other.id != n.id {
			w.call(micros(w.c.Scale(1, 50))*millisecond, func() { w.mend(n, other) })
		}
	}
}

// connectAll mends every link that lost something.
func (w *World) connectAll() {
	for i, a := range w.nodes {
		for _, b := range w.nodes[:i] {
			if a.id != b.id && (w.net.links[a.slot][b.slot].dirty || w.net.links[b.slot][a.slot].dirty) {
				w.call(micros(w.c.Scale(1, 50))*millisecond, func() { w.mend(a, b) })
			}
		}
	}
}

// partition cuts the links for which apart says so, and mends them later.
func (w *World) partition(apart func(from, to *node) bool, for_ micros) {
	for _, a := range w.nodes {
		for _, b := range w.nodes {
			if a.id != b.id && apart(a, b) {
				w.net.links[a.slot][b.slot].cut = true
				w.net.links[a.slot][b.slot].dirty = true
			}
		}
	}
	w.call(for_, w.join)
}

// join ends all partitions.
func (w *World) join() {
	for i := range w.net.links {
		for j := range w.net.links[i] {
			w.net.links[i][j].cut = false
		}
	}
	w.connectAll()
}

// remember keeps an old frame.
func (w *World) remember(from, to int, raw []byte) {
	if len(w.net.old) < oldLetters {
		w.net.old = append(w.net.old, letter{from, to, raw})
		return
	}
	w.net.old[w.c.Choose(oldLetters)] = letter{from, to, raw}
}

// replay delivers old frames again.
func (w *World) replay() {
	for range min(8, len(w.net.old)) {
		old := w.net.old[w.c.Choose(len(w.net.old))]
		l := &w.net.links[old.from][old.to]
		w.deliver(l, w.nodes[old.from], w.nodes[old.to], old.raw, micros(w.c.Choose(50))*millisecond)
	}
}

// ask sends a client's frame to every node.
func (w *World) ask(c *client, f *wire.Frame) {
	w.check.court.noted(f)
	for _, n := range w.nodes {
		if w.phase == chaos && w.plan.drop > 0 && w.c.Chance(w.plan.drop, 10_000) {
			continue
		}
		w.later(micros(w.plan.delay+w.c.Choose(w.plan.jitter)), event{kind: evAsked, to: int32(n.slot), from: int32(c.id), raw: f.Raw()})
	}
}

func (w *World) asked(e *event) {
	n := w.nodes[e.to]
	if n.up {
		n.inbox = append(n.inbox, arrival{host.Source{Replica: pbft.FromClient, Client: w.clients[e.from].key()}, e.raw})
		n.wake()
	}
}

// answer sends a node's frame to a client.
func (w *World) answer(n *node, key auth.PublicKey, f *wire.Frame) {
	for _, c := range w.clients {
		if c.key() != key || w.phase == chaos && w.plan.drop > 0 && w.c.Chance(w.plan.drop, 10_000) {
			continue
		}
		w.later(micros(w.plan.delay+w.c.Choose(w.plan.jitter)), event{kind: evReply, to: int32(c.id), from: int32(n.id), raw: f.Raw()})
	}
}
