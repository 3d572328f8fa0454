package host

import (
	"bytes"
	"crypto/sha256"

	"github.com/tagma-db/tagma/merkle"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// fetchRows compares rows, asks for those that differ, and reports whether all
// are as they should be.
func (t *transfer) fetchRows() bool {
	budget := compareEach
	for t.at != nil && len(t.missing) < rowWindow && budget > 0 && t.h.err == nil {
		t.compare(&budget)
	}
	for len(t.missing) > 0 {
		a, items, size := &ask{part: pbft.StateRows}, []pbft.StateItem(nil), 0
		for _, row := range t.missing {
			if size += len(row.Key) + int(min(row.Length, askSize)); len(items) == pbft.MaxFetch || len(items) > 0 && size > askSize {
				break
			}
			a.rows, items = append(a.rows, row), append(items, pbft.StateItem{Key: row.Key})
		}
		if !t.ask(a, items) {
			return false
		}
		t.missing = t.missing[len(items):]
	}
	return t.at == nil && len(t.asks) == 0
}

// rowsFrom is the next rows that the state has from lo on, and the key up to
// which these are all: those of the trees, but for what changed since.
func (t *transfer) rowsFrom(lo []byte) (rows []merkle.Row, end []byte, err error) {
	end = rowEnd
	err = t.base.ascend(lo, func(row merkle.Row) bool {
		if len(rows) == chunkRows {
			end = row.Key
			return false
		}
		rows = append(rows, row)
		return true
	})
	if err != nil {
		return nil, nil, err
	}
	var merged []merkle.Row
	err = t.changes.Ascend(lo, end, func(c merkle.Row) bool {
		for len(rows) > 0 && bytes.Compare(rows[0].Key, c.Key) < 0 {
			merged, rows = append(merged, rows[0]), rows[1:]
		}
		if len(rows) > 0 && bytes.Equal(rows[0].Key, c.Key) {
			rows = rows[1:]
		}
		if c.Length != gone {
			merged = append(merged, c)
		}
		return true
	})
	return append(merged, rows...), end, err
}

// compare looks at the next rows: what is here and should not be goes, what is
// not here or differs is missing.
func (t *transfer) compare(budget *int) {
	want, end, err := t.rowsFrom(t.at)
	if err != nil {
		t.h.fail(err)
		return
	}
	var extra [][]byte
	seen := 0
	t.h.o.Store.Scan(t.at, end, func(key, value []byte) bool {
		if seen++; seen > chunkExtra {
			end = bytes.Clone(key)
			return false
		}
		for len(want) > 0 && bytes.Compare(want[0].Key, key) < 0 {
			t.missing, want = append(t.missing, want[0]), want[1:]
		}
		*budget -= len(value) + 64
		switch {
		case len(want) == 0 || !bytes.Equal(want[0].Key, key):
			extra = append(extra, bytes.Clone(key))
			return true
		case want[0].Length != uint64(len(value)) || want[0].Value != sha256.Sum256(value):
			t.missing = append(t.missing, want[0])
		}
		want = want[1:]
		return true
	})
	for _, row := range want {
		if bytes.Compare(row.Key, end) >= 0 {
			break
		}
		t.missing = append(t.missing, row)
	}
	for _, key := range extra {
		t.touch()
		t.h.o.Store.Delete(key)
		t.written += len(key)
	}
	if t.at = bytes.Clone(end); bytes.Equal(end, rowEnd) {
		t.at = nil
	}
}

// touch makes the record say that the rows are of no one slot.
func (t *transfer) touch() {
	g := &t.h.state
	if !g.partial {
		g.partial = true
		t.h.o.Store.Set(spaceKey(spaceGroup, t.h.cfg.Group), g.encode())
	}
}

// step makes what was written one step of the store.
func (t *transfer) step() {
	if t.written > 0 {
		t.written = 0
		t.h.o.Store.Commit(t.h.state.seq)
	}
}

func (t *transfer) takeRows(a *ask, items [][]byte) bool {
	for i, value := range items {
		if i >= len(a.rows) || uint64(len(value)) != a.rows[i].Length || sha256.Sum256(value) != a.rows[i].Value {
			t.missing = append(t.missing, a.rows[min(i, len(a.rows)):]...)
			return false
		}
		t.touch()
		t.h.o.Store.Set(a.rows[i].Key, value)
		t.written += len(value)
		t.stats.Rows++
	}
	t.missing = append(t.missing, a.rows[len(items):]...)
	if t.written > commitEach {
		t.step()
	}
	return true
}

// install makes the state the one that is here, in one step of the store. The
// core hears of it once it is durable.
func (t *transfer) install() {
	h, group := t.h, t.h.cfg.Group
	store := h.o.Store
	h.changes = changes{}
	err := t.changes.Ascend(nil, nil, func(c merkle.Row) bool {
		h.changes[string(c.Key)] = written{value: c.Value, length: c.Length, deleted: c.Length == gone}
		return true
	})
	if err == nil {
		err = t.sweepNodes()
	}
	if err != nil {
		h.fail(err)
		return
	}
	for _, space := range []byte{spaceJournal, spaceStale} {
		var keys [][]byte
		store.Scan(slotKey(space, group, 0), slotKey(space, group, 1<<64-1), func(key, _ []byte) bool {
			keys = append(keys, bytes.Clone(key))
			return true
		})
		for _, key := range keys {
			store.Delete(key)
		}
	}
	h.stale, h.journal = nil, 0
	if list := h.changes.sorted(); len(list) > 0 {
		journal := encodeJournal(false, list)
		store.Set(slotKey(spaceJournal, group, t.record.seq), journal)
		h.journal = len(journal)
	}
	h.setSaved(t.record.boundary, t.head.roots)
	h.state = t.record
	store.Set(spaceKey(spaceGroup, group), h.state.encode())
	store.Commit(h.state.seq)
	if h.keeper.base, err = openForest(t.head.roots, h.keeper.nodes); err != nil {
		h.fail(err)
	}
	h.keeper.saved = h.keeper.base
	t.done, h.needFlush = true, true
}

// sweepNodes deletes saved nodes that the new trees do not need.
func (t *transfer) sweepNodes() error {
	live := map[wire.Digest]bool{}
	for _, p := range t.base {
		if err := p.tree.Nodes(func(d wire.Digest) { live[d] = true }); err != nil {
			return err
		}
	}
	var keys [][]byte
	last := wire.Digest(bytes.Repeat([]byte{0xff}, 32))
	nodes := t.h.keeper.nodes
	t.h.o.Store.Scan(nodes.key(wire.Digest{}), nodes.key(last), func(key, _ []byte) bool {
		if !live[wire.Digest(key[9:])] {
			keys = append(keys, bytes.Clone(key))
		}
		return true
	})
	for _, key := range keys {
		t.h.o.Store.Delete(key)
	}
	return nil
}

// NeedsFlush reports whether the rows must become durable soon, and forgets
// it: the driver flushes them and calls Flushed.
func (h *Host) NeedsFlush() bool {
	need := h.needFlush
	h.needFlush = false
	return need
}

// Flushed says that the rows are durable up to the step of a slot. A state that
// was installed counts once the log says so too (D4).
func (h *Host) Flushed(seq uint64) {
	if h.transfer == nil || !h.transfer.done || seq != h.state.seq {
		return
	}
	h.last = h.o.Log.Append(flushedMark(seq))
	h.installedAt, h.needSync = h.last, true
}

// installed ends the transfer: its state is durable up to a log position.
func (h *Host) installed(position uint64) {
	if h.installedAt == 0 || position < h.installedAt {
		return
	}
	h.installedAt = 0
	h.fetched = h.transfer.stats
	h.fetched.Installed++
	h.transfer = nil
	h.wanted = nil
	h.step(pbft.Installed{Seq: pbft.Seq(h.state.seq), Time: h.state.time, History: h.state.history})
	h.checkpoint(false, false)
	h.drain()
}
