package host

import (
	"encoding/binary"
	"fmt"
	"maps"

	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Rows that are not under the root: they differ from replica to replica.
//
//	2 | group 8 | digest 32  a node of a partition's tree
//	3 | group 8 | slot 8     journal: what the slot changed, until it is in the saved trees
//	4 | group 8              the saved trees: their boundary, their roots
//	5 | group 8 | slot 8     nodes that the trees saved at that boundary do not need any more
const (
	spaceNode    = 2
	spaceJournal = 3
	spaceSaved   = 4
	spaceStale   = 5
)

// defaultJournal is how many bytes of journal make a boundary save the trees.
const defaultJournal = 16 << 20

func slotKey(space byte, group, slot uint64) []byte {
	return binary.BigEndian.AppendUint64(spaceKey(space, group), slot)
}

// nodeStore is the saved nodes of a group; it may be used beside the host.
type nodeStore struct {
	store Store
	group uint64
}

func (s nodeStore) key(d wire.Digest) []byte {
	return append(spaceKey(spaceNode, s.group), d[:]...)
}

// Load implements merkle.Store.
func (s nodeStore) Load(d wire.Digest) ([]byte, bool) { return s.store.Peek(s.key(d)) }

// keeper owns the trees. Everything that touches one runs beside the host, one
// thing after the other; the host does so itself only while nothing runs.
type keeper struct {
	nodes nodeStore
	base  forest // at the last boundary
	saved forest // as the rows hold it
}

// checkpoint is the state after one slot, to sign and to serve.
type checkpoint struct {
	seq     uint64
	time    int64
	root    wire.Digest // zero until it is computed
	head    []byte
	base    forest
	changes *merkle.Tree
	reader  machine.Snapshot
	silent  bool       // only to serve
	asked   pbft.Ticks // when it was last asked for
	retired pbft.Ticks // when a newer one was stable, 0: none is
}

// make computes c from the changes since the last boundary.
func (k *keeper) make(c *checkpoint, record []byte, sorted []merkle.Change, boundary bool) error {
	if boundary {
		base, err := k.base.apply(sorted, k.nodes)
		if err != nil {
			return err
		}
		k.base, sorted = base, nil
	}
	c.base, c.changes = k.base, changeTree(sorted)
	h := &head{record: record, changes: c.changes.Root(), roots: c.base.roots()}
	c.head, c.root = h.encode(), h.root()
	return nil
}

// beside runs something on the driver's other goroutine and then done here.
func (h *Host) beside(run, done func()) {
	h.running = append(h.running, done)
	if h.o.Beside != nil {
		h.o.Beside(run)
		return
	}
	run()
	h.ran()
}

// Ran says that what was first given to Options.Beside has run.
func (h *Host) Ran() {
	h.ran()
	h.drain()
}

func (h *Host) ran() {
	done := h.running[0]
	h.running = h.running[1:]
	done()
}

// checkpoint computes the root of the state after the last executed slot. The
// core is told of it, unless silent. At a boundary the changes go into the trees.
func (h *Host) checkpoint(boundary, silent bool) {
	g := &h.state
	if last := len(h.points) - 1; last >= 0 && h.points[last].seq == g.seq {
		c := h.points[last]
		if c.silent = c.silent && silent; c.root != (wire.Digest{}) && !silent {
			h.rooted(c)
		}
		return // known, or on its way
	}
	c := &checkpoint{seq: g.seq, time: g.time, reader: h.o.Store.Snapshot(), silent: silent}
	h.points = append(h.points, c)
	record, list, journal := g.encode(), h.changes, h.journal
	save := boundary && journal >= h.o.Journal && !h.saving
	if boundary {
		h.changes = changes{}
	} else {
		list = maps.Clone(list)
	}
	h.saving = h.saving || save
	var err error
	var s saving
	h.beside(func() {
		if err = h.keeper.make(c, record, list.sorted(), boundary); err == nil && save {
			err = h.keeper.save(&s)
		}
	}, func() {
		if err != nil {
			h.fail(err)
			return
		}
		if save {
			h.journal -= journal
			h.commitSaved(c, &s)
		}
		if !c.silent {
			h.rooted(c)
		}
	})
}

// rooted tells the core.
func (h *Host) rooted(c *checkpoint) {
	h.inputs = append(h.inputs, pbft.Rooted{Checkpoint: pbft.Checkpoint{Seq: pbft.Seq(c.seq), Time: c.time, Root: c.root}})
}

// fail makes err the host's error: the driver ends the process.
func (h *Host) fail(err error) {
	if h.err == nil {
		h.err = fmt.Errorf("the trees of the state: %w", err)
	}
}

// saving is what makes the saved trees those of the last boundary.
type saving struct {
	fresh []node
	stale []wire.Digest
}

type node struct {
	digest wire.Digest
	raw    []byte
}

func (k *keeper) save(s *saving) error {
	err := k.base.delta(k.saved, func(d wire.Digest, raw []byte) {
		s.fresh = append(s.fresh, node{d, append([]byte(nil), raw...)})
	}, func(d wire.Digest) { s.stale = append(s.stale, d) })
	k.saved = k.base
	return err
}

// commitSaved writes the nodes of c's trees, and forgets the journal up to c,
// in one step.
func (h *Host) commitSaved(c *checkpoint, s *saving) {
	group, store := h.cfg.Group, h.o.Store
	back := make(map[wire.Digest]bool, len(s.fresh))
	for _, n := range s.fresh {
		store.Set(h.keeper.nodes.key(n.digest), n.raw)
		back[n.digest] = true
	}
	for i := range h.stale { // what came back stays
		h.stale[i].keep(func(d wire.Digest) bool { return !back[d] })
		store.Set(slotKey(spaceStale, group, h.stale[i].slot), h.stale[i].encode())
	}
	if len(s.stale) > 0 {
		h.stale = append(h.stale, staleNodes{c.seq, s.stale})
		store.Set(slotKey(spaceStale, group, c.seq), h.stale[len(h.stale)-1].encode())
	}
	for slot := h.savedAt + 1; slot <= c.seq; slot++ {
		store.Delete(slotKey(spaceJournal, group, slot))
	}
	h.setSaved(c.seq, c.base.roots())
	store.Commit(h.state.seq)
	h.saving = false
	trees := c.base
	h.beside(func() {
		for _, p := range trees {
			p.tree.Shed()
		}
	}, h.retire)
}

// setSaved records which trees the rows hold.
func (h *Host) setSaved(boundary uint64, roots []plotRoot) {
	var w wire.Writer
	w.U64(boundary)
	encodeRoots(&w, roots)
	h.o.Store.Set(spaceKey(spaceSaved, h.cfg.Group), w.B)
	h.savedAt = boundary
}

// staleNodes are nodes that the trees saved at slot do not hold, and older
// checkpoints may.
type staleNodes struct {
	slot  uint64
	nodes []wire.Digest
}

func (s *staleNodes) keep(wanted func(wire.Digest) bool) {
	kept := s.nodes[:0]
	for _, d := range s.nodes {
		if wanted(d) {
			kept = append(kept, d)
		}
	}
	s.nodes = kept
}

func (s *staleNodes) encode() []byte {
	var w wire.Writer
	for _, d := range s.nodes {
		w.Raw(d[:])
	}
	return w.B
}

// Checkpoints below the stable one are kept while somebody fetches them.
const (
	askedFor  = 500    // ticks since the last question
	keptAtAll = 30_000 // ticks since a newer one was stable
	keptOld   = 2      // of them
)

// retire lets go of checkpoints, and of nodes that only those had.
func (h *Host) retire() {
	kept := h.points[:0]
	old := 0
	for i := len(h.points) - 1; i >= 0; i-- {
		if h.points[i].seq < uint64(h.stable) {
			old++
		}
	}
	for _, c := range h.points {
		below := c.seq < uint64(h.stable)
		if below && c.retired == 0 {
			c.retired = h.now
		}
		busy := c.asked != 0 && h.now-c.asked < askedFor && h.now-c.retired < keptAtAll
		if c.root != (wire.Digest{}) && below && (!busy || old > keptOld) {
			old--
			h.leaving = append(h.leaving, c)
			h.beside(func() {}, func() { // whoever reads it is done by now
				h.close(h.leaving[0])
				h.leaving = h.leaving[1:]
			})
			continue
		}
		kept = append(kept, c)
	}
	clear(h.points[len(kept):])
	h.points = kept
	h.dropStale()
}

func (h *Host) close(c *checkpoint) {
	if err := c.reader.Close(); err != nil {
		h.fail(err)
	}
}

// dropStale deletes nodes that no checkpoint kept here can need: all were
// made after the trees that lack them had been saved.
func (h *Host) dropStale() {
	dropped := false
	for len(h.stale) > 0 && !h.saving && h.transfer == nil && (len(h.points) == 0 || h.points[0].seq >= h.stale[0].slot) {
		for _, d := range h.stale[0].nodes {
			h.o.Store.Delete(h.keeper.nodes.key(d))
		}
		h.o.Store.Delete(slotKey(spaceStale, h.cfg.Group, h.stale[0].slot))
		h.stale, dropped = h.stale[1:], true
	}
	if dropped {
		h.o.Store.Commit(h.state.seq)
	}
}

// loadTrees brings the trees to the state that the rows have: the saved ones,
// and the journal since.
func (h *Host) loadTrees() error {
	store, group := h.o.Store, h.cfg.Group
	h.changes, h.keeper = changes{}, keeper{nodes: nodeStore{store, group}}
	if value, ok := store.Get(spaceKey(spaceSaved, group)); ok {
		r := wire.NewReader(value)
		h.savedAt = r.U64()
		roots := decodeRoots(&r)
		if err := r.Done(); err != nil {
			return err
		}
		base, err := openForest(roots, h.keeper.nodes)
		if err != nil {
			return err
		}
		h.keeper.base, h.keeper.saved = base, base
	}
	var err error
	store.Scan(slotKey(spaceStale, group, 0), slotKey(spaceStale, group, 1<<64-1), func(key, value []byte) bool {
		s := staleNodes{slot: binary.BigEndian.Uint64(key[9:])}
		for r := wire.NewReader(value); r.Left() > 0 && r.Err() == nil; {
			s.nodes = append(s.nodes, r.Digest())
		}
		h.stale = append(h.stale, s)
		return true
	})
	if h.state.partial {
		return nil
	}
	store.Scan(slotKey(spaceJournal, group, 0), slotKey(spaceJournal, group, 1<<64-1), func(key, value []byte) bool {
		var boundary bool
		if boundary, err = decodeJournal(value, h.changes); err != nil {
			return false
		}
		h.journal += len(value)
		if boundary {
			if h.keeper.base, err = h.keeper.base.apply(h.changes.sorted(), h.keeper.nodes); err != nil {
				return false
			}
			h.changes = changes{}
		}
		return true
	})
	return err
}
