package pbft

import (
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// Bounds of a Book.
const (
	MaxBook     = 8 << 20 // bytes of all items; each accused has an equal share
	maxOfCharge = 8       // items of one charge against one accused: more would tell nothing new
)

// share is how many bytes of evidence against one replica are kept.
func (c *Config) share() int { return MaxBook / len(c.Members) }

// Book is the evidence that one replica holds. Every accused has a share of its
// own, so that none crowds out another; within it witnessed items, the oldest
// first, make room for signed ones.
type Book struct {
	share int           // bytes an accused
	items [][]*Evidence // by accused, oldest first; of one charge at most maxOfCharge, share bytes in all
}

// NewBook makes an empty book for a group.
func NewBook(c *Config) *Book {
	return &Book{share: c.share(), items: make([][]*Evidence, len(c.Members))}
}

// Wants reports whether Add would take the item. It costs no signature.
func (b *Book) Wants(e *Evidence) bool {
	if e.Culprit < 0 || e.Culprit >= len(b.items) {
		return false
	}
	var alike []*Evidence
	size := e.size()
	if size > MaxEvidence || size > maxJunk && !e.Charge.Signed() {
		return false
	}
	for _, have := range b.items[e.Culprit] {
		if have.Charge == e.Charge {
			alike = append(alike, have)
		}
		if have.Charge.Signed() || !e.Charge.Signed() {
			size += have.size()
		}
	}
	if len(alike) == maxOfCharge || size > b.share {
		return false
	}
	id := e.ID()
	return !slices.ContainsFunc(alike, func(have *Evidence) bool { return have.ID() == id })
}

// Add takes a verified or a witnessed item that is wanted, and returns those
// that made room for it.
func (b *Book) Add(e *Evidence) (dropped []wire.Digest) {
	if !b.Wants(e) {
		return nil
	}
	size := e.size()
	for _, have := range b.items[e.Culprit] {
		size += have.size()
	}
	var kept []*Evidence
	for _, have := range b.items[e.Culprit] {
		if size > b.share && !have.Charge.Signed() {
			size -= have.size()
			dropped = append(dropped, have.ID())
		} else {
			kept = append(kept, have)
		}
	}
	b.items[e.Culprit] = append(kept, e)
	return dropped
}

// Answer puts into a report what the book holds, and of what a probe wants as
// much as fits.
func (b *Book) Answer(p *Probe, to *Report) {
	wanted := map[wire.Digest]bool{}
	for _, d := range p.Wanted {
		wanted[d] = true
	}
	size := 0
	for _, list := range b.items {
		for _, e := range list {
			ref := e.Ref()
			to.Held = append(to.Held, ref)
			if n := e.size(); wanted[ref.ID] && size+n <= maxShown {
				size += n
				to.Shown = append(to.Shown, e)
			}
		}
	}
}
