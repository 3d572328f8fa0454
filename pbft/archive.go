package pbft

import "github.com/tagma-db/tagma/wire"

// archive keeps what was executed last, so that a replica that lags or comes
// back catches up slot by slot: contiguous, and below the low watermark at
// most Options.Archive slots and, but for the last 2 W, archiveSize bytes of bodies.
type archive struct {
	slots    []done // ascending
	size     int
	batches  map[wire.Digest]*batch
	requests map[wire.Digest]*Request
	last     map[wire.Digest]Seq // of a batch or request: the last slot that holds it
}

const archiveSize = 16 << 20

// done is an executed slot.
type done struct {
	seq    Seq
	digest wire.Digest
	batch  *batch
}

func newArchive() archive {
	return archive{batches: map[wire.Digest]*batch{}, requests: map[wire.Digest]*Request{}, last: map[wire.Digest]Seq{}}
}

// add appends the next slot.
func (a *archive) add(d done) {
	a.slots = append(a.slots, d)
	a.size += d.batch.size()
	if d.batch.frame != nil {
		a.batches[d.digest], a.last[d.digest] = d.batch, d.seq
		for _, q := range d.batch.requests {
			a.requests[q.frame.Digest()], a.last[q.frame.Digest()] = q, d.seq
		}
	}
}

// trim drops the oldest slots beyond the bounds, but none above low, whose
// bodies the log must carry, and not the 2 W below it, for who is a little late.
func (a *archive) trim(low, most Seq, p *Params) {
	for len(a.slots) > 0 && a.slots[0].seq+2*p.Window <= low && (Seq(len(a.slots)) > most || a.size > archiveSize) {
		a.drop()
	}
}

// drop forgets the oldest slot, and what stands in no later one.
func (a *archive) drop() {
	old := a.slots[0]
	a.slots[0] = done{}
	a.slots = a.slots[1:]
	a.size -= old.batch.size()
	gone := func(d wire.Digest) bool {
		if a.last[d] != old.seq {
			return false
		}
		delete(a.last, d)
		return true
	}
	if gone(old.digest) {
		delete(a.batches, old.digest)
	}
	for _, q := range old.batch.requests {
		if d := q.frame.Digest(); gone(d) {
			delete(a.requests, d)
		}
	}
}

// at returns an executed slot, nil if it is not kept.
func (a *archive) at(seq Seq) *done {
	if len(a.slots) == 0 || seq < a.slots[0].seq || seq-a.slots[0].seq >= Seq(len(a.slots)) {
		return nil
	}
	return &a.slots[seq-a.slots[0].seq]
}

// size is the bytes of a batch and its bodies.
func (b *batch) size() int {
	n := 64
	for _, q := range b.requests {
		n += len(q.frame.Raw())
	}
	return n
}
