package host

import (
	"bytes"
	"fmt"

	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Bounds of a transfer.
const (
	askEach     = 2         // fetches of one source under way
	askTime     = 100       // ticks until another is asked
	askSize     = 128 << 10 // bytes of keys and values in one fetch, or one row
	nodeWindow  = 256       // nodes asked for at a time
	rowWindow   = 512       // rows known to be missing and not fetched yet
	chunkRows   = 256       // rows compared at a time
	chunkExtra  = 4096      // local rows looked at for them
	compareEach = 1 << 20   // bytes of local values hashed in a round
	commitEach  = 4 << 20   // bytes written in one step of the store
)

// transfer fetches the state of a stable checkpoint and puts it in the place
// of the one that is here: first what the root is made of, then the trees, then
// the rows that differ. Every piece is checked by its digest, so a source can
// waste only what it sends.
//
// Rows are replaced in place. From the first of them on the group's own record
// says partial, until the last step. After a crash the transfer begins again:
// nodes and rows that are there by then are not fetched again. The old state
// is not needed any more: one above it is stable (D4).
type transfer struct {
	h       *Host
	target  *pbft.Stable
	sources []source // by replica
	asks    []*ask   // at most askEach of each source
	lastID  uint64
	lacking int // answers "not held" since anything came

	head    *head
	record  groupState
	which   int              // tree being fetched: −1 that of the changes, else of head.roots
	fetch   *merkle.Transfer // of it; nil: not begun
	scratch scratch          // nodes of the tree of changes
	changes *merkle.Tree
	base    forest

	at      []byte // rows from here on are not compared yet; nil: all are
	missing []merkle.Row
	written int  // bytes since the last step of the store
	done    bool // installed, and to be flushed

	stats TransferStats
}

// TransferStats is what fetching states has cost since the start.
type TransferStats struct {
	Started   uint64
	Installed uint64
	Nodes     uint64 // of trees
	Rows      uint64
	Bytes     uint64 // received
}

type source struct {
	asked  int        // fetches under way
	lied   bool       // avoided for good
	avoid  pbft.Ticks // until then: it was silent, or lacks the state
	signed bool       // the certificate: asked first
}

// ask is one fetch under way.
type ask struct {
	id    uint64
	to    int
	due   pbft.Ticks
	part  pbft.StatePart
	nodes []wire.Digest // of which
	rows  []merkle.Row  // of which
}

// scratch is a merkle.Store in memory.
type scratch map[wire.Digest][]byte

// Load implements merkle.Store.
func (s scratch) Load(d wire.Digest) ([]byte, bool) {
	raw, ok := s[d]
	return raw, ok
}

// freshNodes is the saved nodes, those too that wait for the store's next step.
type freshNodes struct{ nodeStore }

// Load implements merkle.Store.
func (s freshNodes) Load(d wire.Digest) ([]byte, bool) {
	raw, ok := s.store.Get(s.key(d))
	return bytes.Clone(raw), ok
}

// advanceTransfer takes the transfer as far as it goes without an answer.
func (h *Host) advanceTransfer() {
	if h.wanted != nil && h.transfer == nil && len(h.running) == 0 {
		h.begin()
	}
	t := h.transfer
	if t == nil || t.done {
		return
	}
	t.expire()
	if t.lacking > h.cfg.Size().F() && h.wanted.Seq > t.target.Seq {
		h.begin() // nobody correct need have the old one: what is equal stays
		t = h.transfer
	}
	if t.head == nil {
		if len(t.asks) == 0 {
			t.ask(&ask{part: pbft.StateHead}, nil)
		}
		return
	}
	if t.which < len(t.head.roots) && !t.fetchTrees() {
		return
	}
	if t.fetchRows() {
		t.install()
	}
	t.step()
}

func (h *Host) begin() {
	stats := h.fetched
	if h.transfer != nil {
		stats = h.transfer.stats
		h.transfer.step()
	}
	stats.Started++
	for _, c := range h.points { // nothing is served from here on: rows and trees change
		h.close(c)
	}
	h.points = nil
	h.transfer = &transfer{h: h, target: h.wanted, sources: make([]source, len(h.cfg.Members)), which: -1,
		scratch: scratch{}, at: rowStart, stats: stats, lastID: h.boot<<40 + stats.Started<<20}
	for _, f := range h.wanted.Frames() {
		h.transfer.sources[f.Author].signed = true
	}
}

// expire gives up questions that were not answered.
func (t *transfer) expire() {
	kept := t.asks[:0]
	for _, a := range t.asks {
		if a.due > t.h.now {
			kept = append(kept, a)
			continue
		}
		t.sources[a.to].asked--
		t.sources[a.to].avoid = t.h.now + 5*askTime
		t.missing = append(t.missing, a.rows...)
	}
	clear(t.asks[len(kept):])
	t.asks = kept
}

// pick is the source to ask next, −1 if none may be: the least asked, signers
// of the certificate first.
func (t *transfer) pick() int {
	best, cost := -1, 0
	for i := range t.sources {
		id := (i + int(t.lastID)) % len(t.sources)
		s := &t.sources[id]
		if id == t.h.o.Self || s.lied || s.avoid > t.h.now || s.asked == askEach {
			continue
		}
		c := 2 * s.asked
		if !s.signed {
			c++
		}
		if best < 0 || c < cost {
			best, cost = id, c
		}
	}
	return best
}

// ask sends a fetch and reports whether there was a source for it.
func (t *transfer) ask(a *ask, items []pbft.StateItem) bool {
	if a.to = t.pick(); a.to < 0 {
		return false
	}
	t.lastID++
	a.id, a.due = t.lastID, t.h.now+askTime
	f := &pbft.StateFetch{ID: a.id, Seq: t.target.Seq, Part: a.part, Items: items}
	if a.part == pbft.StateNodes {
		f.Tree = t.tree()
	}
	t.sources[a.to].asked++
	t.asks = append(t.asks, a)
	t.h.o.Outbox.ToReplica(a.to, f.Frame(t.h.cfg, t.h.o.Self))
	return true
}

func (t *transfer) tree() uint16 {
	if t.which < 0 {
		return changesTree
	}
	return t.head.roots[t.which].partition
}

// fetchTrees asks for nodes that are missing and reports whether all trees are here.
func (t *transfer) fetchTrees() bool {
	for t.which < len(t.head.roots) {
		if t.fetch == nil {
			t.beginTree()
		}
		wanted := t.fetch.Wanted()
		if len(wanted) > 0 {
			t.askNodes(wanted)
			return false
		}
		tree, err := t.fetch.Tree()
		if err != nil {
			t.h.fail(err)
			return false
		}
		if t.which < 0 {
			t.changes = tree
		} else {
			t.base = append(t.base, plot{t.tree(), tree})
		}
		t.which++
		t.fetch = nil
	}
	return true
}

func (t *transfer) beginTree() {
	if t.which < 0 {
		t.fetch = merkle.NewTransfer(t.head.changes, merkle.New(), t.scratch, nodeWindow)
		return
	}
	p := t.head.roots[t.which]
	local := t.h.keeper.saved.at(p.partition)
	if local == nil {
		local = merkle.New()
	}
	t.fetch = merkle.NewTransfer(p.root, local, freshNodes{t.h.keeper.nodes}, nodeWindow)
}

// askNodes asks for those wanted that nobody is asked for.
func (t *transfer) askNodes(wanted []wire.Digest) {
	asked := map[wire.Digest]bool{}
	for _, a := range t.asks {
		for _, d := range a.nodes {
			asked[d] = true
		}
	}
	stands := t.fetch.Stands()
	a, items, size := &ask{part: pbft.StateNodes}, []pbft.StateItem(nil), 0
	for i, d := range wanted {
		if asked[d] {
			continue
		}
		a.nodes, items = append(a.nodes, d), append(items, pbft.StateItem{Level: stands[i].Level, Key: stands[i].Lo})
		if size += len(stands[i].Lo); len(items) == pbft.MaxFetch/2 || size > askSize {
			if !t.ask(a, items) {
				return
			}
			a, items, size = &ask{part: pbft.StateNodes}, nil, 0
		}
	}
	if len(items) > 0 {
		t.ask(a, items)
	}
}

// onStateBlob takes an answer.
func (h *Host) onStateBlob(from int, f *wire.Frame, b *pbft.StateBlob) {
	t := h.transfer
	if t == nil || t.done {
		return
	}
	for i, a := range t.asks {
		if a.id != b.ID || a.to != from {
			continue
		}
		t.asks = append(t.asks[:i], t.asks[i+1:]...)
		s := &t.sources[from]
		s.asked--
		t.stats.Bytes += uint64(len(f.Raw()))
		t.take(a, b)
		if s.lied {
			h.accuse(pbft.Junk(from, f))
		}
		h.advanceTransfer()
		h.drain()
		return
	}
	h.event(pbft.Event{Kind: pbft.EventIgnored, Reason: pbft.ReasonUnwanted, Peer: from, Of: pbft.KindStateBlob})
}

// take uses what an answer brings. Whoever sends what was not asked for lies.
func (t *transfer) take(a *ask, b *pbft.StateBlob) {
	s := &t.sources[a.to]
	if len(b.Items) == 0 {
		s.avoid = t.h.now + askTime
		t.lacking++
		t.missing = append(t.missing, a.rows...)
		return
	}
	t.lacking = 0
	switch a.part {
	case pbft.StateHead:
		s.lied = !t.takeHead(b.Items)
	case pbft.StateNodes:
		s.lied = !t.takeNodes(a, b.Items)
	case pbft.StateRows:
		s.lied = !t.takeRows(a, b.Items)
	}
}

func (t *transfer) takeHead(items [][]byte) bool {
	h, err := decodeHead(items[0])
	if err != nil || len(items) != 1 || h.root() != t.target.Root {
		return false
	}
	g, err := decodeState(h.record)
	if err != nil || g.seq != uint64(t.target.Seq) || g.time != t.target.Time {
		t.h.fail(fmt.Errorf("the record of the state after slot %d that a quorum signed is of no state: %w", t.target.Seq, wire.ErrMalformed))
		return true
	}
	t.head, t.record = h, g
	return true
}

func (t *transfer) takeNodes(a *ask, items [][]byte) bool {
	if len(items) > len(a.nodes) || t.fetch == nil {
		return len(items) <= len(a.nodes)
	}
	for i, raw := range items {
		digest, err := t.fetch.Take(raw)
		if err != nil || digest != a.nodes[i] {
			return false
		}
		if t.which < 0 {
			t.scratch[digest] = raw
		} else {
			t.h.o.Store.Set(t.h.keeper.nodes.key(digest), raw)
			t.written += len(raw)
		}
		t.stats.Nodes++
	}
	return true
}

// Transfers is what fetching states has cost since the start.
func (h *Host) Transfers() TransferStats {
	if h.transfer != nil {
		return h.transfer.stats
	}
	return h.fetched
}
