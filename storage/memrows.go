package storage

import (
	"bytes"
	"sort"

	"github.com/tagma-db/tagma/machine"
)

// MemRows is a Store in memory with the semantics of PebbleRows: the model
// that simulations run on. Crash is what a power loss leaves of it.
type MemRows struct {
	image
	flushed   image
	committed []image // the last steps since the flush, at most maxImages
	own       uint64  // generation of the chunks that may be written in place
}

// maxImages bounds the committed states between which Crash chooses.
const maxImages = 8

// maxChunk bounds the rows of one chunk.
const maxChunk = 64

// image is one state: chunks in order of their rows. Chunks and the slice of
// them are shared between images and copied before the first write after a
// Commit, so that an image costs nothing until then.
type image struct {
	applied    uint64
	generation uint64 // of the slice chunks
	chunks     []*chunk
}

// chunk is up to maxChunk rows, at least one, in ascending order of keys.
type chunk struct {
	generation uint64
	rows       []row
}

type row struct{ key, value []byte }

// NewMemRows returns an empty store.
func NewMemRows() *MemRows { return &MemRows{own: 1} }

// Crash returns the store as after a power loss: the state that Flush last
// made durable or, as random(n) in [0, n) chooses, that of one of the last
// commits since, for a row store may flush by itself. The receiver stays.
func (m *MemRows) Crash(random func(n int) int) *MemRows {
	left := m.flushed
	if i := random(len(m.committed) + 1); i > 0 {
		left = m.committed[i-1]
	}
	return &MemRows{image: left, flushed: left, own: m.own + 1}
}

// place is where key is in the image, or would be: row i of chunk c.
func (m *image) place(key []byte) (c, i int, found bool) {
	c = max(0, sort.Search(len(m.chunks), func(c int) bool {
		return bytes.Compare(m.chunks[c].rows[0].key, key) > 0
	})-1)
	if c == len(m.chunks) {
		return 0, 0, false
	}
	rows := m.chunks[c].rows
	i, found = sort.Find(len(rows), func(i int) int { return bytes.Compare(key, rows[i].key) })
	return c, i, found
}

// Get implements machine.Rows.
func (m *image) Get(key []byte) (value []byte, ok bool) {
	c, i, found := m.place(key)
	if !found {
		return nil, false
	}
	return m.chunks[c].rows[i].value, true
}

// Scan implements machine.Rows.
func (m *image) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	c, i, _ := m.place(lo)
	for ; c < len(m.chunks); c, i = c+1, 0 {
		for _, r := range m.chunks[c].rows[i:] {
			if hi != nil && bytes.Compare(r.key, hi) >= 0 || !yield(r.key, r.value) {
				return
			}
		}
	}
}

// ScanBack implements machine.Rows.
func (m *image) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	c, i := len(m.chunks)-1, 0
	if hi != nil {
		c, i, _ = m.place(hi)
	} else if c >= 0 {
		i = len(m.chunks[c].rows)
	}
	for c >= 0 && c < len(m.chunks) {
		for i--; i >= 0; i-- {
			r := m.chunks[c].rows[i]
			if bytes.Compare(r.key, lo) < 0 || !yield(r.key, r.value) {
				return
			}
		}
		if c--; c >= 0 {
			i = len(m.chunks[c].rows)
		}
	}
}

// Close implements machine.Snapshot and Store: there is nothing to release.
func (m *image) Close() error { return nil }

// Set implements machine.Rows.
func (m *MemRows) Set(key, value []byte) {
	both := make([]byte, len(key)+len(value))
	k, v := both[:len(key):len(key)], both[len(key):]
	copy(k, key)
	copy(v, value)
	m.ownChunks()
	if len(m.chunks) == 0 {
		m.chunks = append(m.chunks, &chunk{m.own, append(make([]row, 0, maxChunk), row{k, v})})
		return
	}
	c, i, found := m.place(key)
	own := m.ownChunk(c)
	if found {
		own.rows[i] = row{k, v}
		return
	}
	own.rows = append(own.rows, row{})
	copy(own.rows[i+1:], own.rows[i:])
	own.rows[i] = row{k, v}
	if len(own.rows) == maxChunk {
		upper := &chunk{m.own, append(make([]row, 0, maxChunk), own.rows[maxChunk/2:]...)}
		clear(own.rows[maxChunk/2:])
		own.rows = own.rows[:maxChunk/2]
		m.chunks = append(m.chunks, nil)
		copy(m.chunks[c+2:], m.chunks[c+1:])
		m.chunks[c+1] = upper
	}
}

// Delete implements machine.Rows.
func (m *MemRows) Delete(key []byte) {
	c, i, found := m.place(key)
	if !found {
		return
	}
	m.ownChunks()
	own := m.ownChunk(c)
	own.rows = append(own.rows[:i], own.rows[i+1:]...)
	if len(own.rows) == 0 {
		m.chunks = append(m.chunks[:c], m.chunks[c+1:]...)
	}
}

func (m *MemRows) ownChunks() {
	if m.generation != m.own {
		m.chunks = append(make([]*chunk, 0, len(m.chunks)+4), m.chunks...)
		m.generation = m.own
	}
}

func (m *MemRows) ownChunk(c int) *chunk {
	old := m.chunks[c]
	if old.generation != m.own {
		m.chunks[c] = &chunk{m.own, append(make([]row, 0, maxChunk), old.rows...)}
	}
	return m.chunks[c]
}

// Commit implements Store.
func (m *MemRows) Commit(applied uint64) {
	m.applied = applied
	m.own++
	if len(m.committed) == maxImages {
		m.committed = append(m.committed[:0], m.committed[1:]...)
	}
	m.committed = append(m.committed, m.image)
}

// Applied implements Store.
func (m *MemRows) Applied() uint64 { return m.applied }

// last is the state of the last Commit.
func (m *MemRows) last() image {
	if n := len(m.committed); n > 0 {
		return m.committed[n-1]
	}
	return m.flushed
}

// Flush implements Store.
func (m *MemRows) Flush() (applied uint64, err error) {
	m.flushed, m.committed = m.last(), m.committed[:0]
	return m.flushed.applied, nil
}

// Err implements Store: memory does not fail.
func (m *MemRows) Err() error { return nil }

// Snapshot implements Store.
func (m *MemRows) Snapshot() machine.Snapshot {
	at := m.last()
	return &at
}

// Peek implements Store.
func (m *MemRows) Peek(key []byte) (value []byte, ok bool) {
	at := m.last()
	return at.Get(key)
}
