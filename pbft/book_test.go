package pbft

import (
	"slices"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// junkOf is a witnessed item of so many bytes and more.
func (w *world) junkOf(culprit, salt, size int) *Evidence {
	body := make([]byte, size)
	body[0] = byte(salt)
	return Junk(culprit, w.plain(KindCommit, culprit, body))
}

// proofOf is a signed item that is as large as its view-changes.
func (w *world) proofOf(culprit, salt, size int) *Evidence {
	body := make([]byte, size)
	body[0] = byte(salt)
	return &Evidence{ChargeInvalid, culprit, []*wire.Frame{w.signed(KindViewChange, culprit, body)}}
}

func (b *Book) held() (n int, bytes int) {
	for _, list := range b.items {
		for _, e := range list {
			n, bytes = n+1, bytes+e.size()
		}
	}
	return n, bytes
}

// TestBookIsBounded: whatever a replica does, what is held against it has a
// bound in items and bytes, and leaves the room of the others alone.
func TestBookIsBounded(t *testing.T) {
	w := newWorld(4)
	b := NewBook(w.cfg)
	for salt := range 100 {
		for _, e := range []*Evidence{w.proofOf(2, salt, 700<<10), w.junkOf(2, salt, 60<<10)} {
			wanted := b.Wants(e)
			b.Add(e)
			n, bytes := b.held()
			if b.Wants(e) || n > 2*maxOfCharge || bytes > MaxBook/4 {
				t.Fatalf("I7: wanted %v, then %d items of %d bytes", wanted, n, bytes)
			}
		}
	}
	small := NewBook(w.cfg)
	for salt := range 100 {
		small.Add(w.proofOf(1, salt, 10))
		small.Add(w.junkOf(1, salt, 10))
	}
	if n, _ := small.held(); n != 2*maxOfCharge {
		t.Errorf("I7: %d items of two charges", n)
	}
	for culprit := range 4 {
		if culprit != 2 {
			if e := w.proofOf(culprit, 0, 1<<20); !b.Wants(e) {
				t.Errorf("replica 2 crowds out evidence against %d", culprit)
			}
		}
	}
	for _, e := range []*Evidence{w.junkOf(3, 0, maxJunk), w.proofOf(3, 0, MaxEvidence), {ChargeInvalid, 4, b.items[2][0].Frames}, {ChargeInvalid, -1, nil}} {
		if b.Wants(e) {
			t.Errorf("an item of %d bytes against %d is wanted", e.size(), e.Culprit)
		}
	}
}

// TestSignedMakesRoom: the oldest witnessed items go for a signed one, and a
// signed one goes for nothing.
func TestSignedMakesRoom(t *testing.T) {
	w := newWorld(64)
	b := NewBook(w.cfg) // 128 KiB an accused
	first, second := w.junkOf(2, 1, 40<<10), w.junkOf(2, 2, 40<<10)
	b.Add(first)
	b.Add(second)
	if dropped := b.Add(w.proofOf(2, 3, 60<<10)); !slices.Equal(dropped, []wire.Digest{first.ID()}) {
		t.Errorf("dropped %v, not the oldest witnessed item", dropped)
	}
	if b.Wants(w.junkOf(2, 4, 40<<10)) {
		t.Error("a witnessed item pushes others out")
	}
	if dropped := b.Add(w.proofOf(2, 5, 60<<10)); !slices.Equal(dropped, []wire.Digest{second.ID()}) {
		t.Errorf("dropped %v", dropped)
	}
	if b.Wants(w.proofOf(2, 6, 10<<10)) {
		t.Error("a signed item pushes a signed one out")
	}
}

// TestReportNamesAllAndShowsWhatFits: however much is held and wanted, the
// report is a frame, and asking again brings the rest.
func TestReportNamesAllAndShowsWhatFits(t *testing.T) {
	w := newWorld(4)
	b := NewBook(w.cfg)
	var all []wire.Digest
	for culprit := range 4 {
		e := w.proofOf(culprit, 0, 1900<<10)
		b.Add(e)
		all = append(all, e.ID())
	}
	for rounds := 0; len(all) > 0; rounds++ {
		r := &Report{}
		b.Answer(&Probe{Wanted: all}, r)
		r.Frame(w.cfg, 0)
		if len(r.Held) != 4 || len(r.Shown) == 0 || rounds > 4 {
			t.Fatalf("round %d: held %d, shown %d", rounds, len(r.Held), len(r.Shown))
		}
		for _, e := range r.Shown {
			all = slices.DeleteFunc(all, func(d wire.Digest) bool { return d == e.ID() })
		}
	}
	if n := 64 * int(chargeEnd-1) * maxOfCharge; n > maxHeld {
		t.Errorf("a book of 64 holds up to %d items, a report names %d", n, maxHeld)
	}
}
