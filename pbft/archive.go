package pbft

import "github.com/tagma-db/tagma/wire"

// archive keeps what was executed last, so that a replica that lags or comes
// back catches up slot by slot: contiguous, at most archiveLogs × L slots, and
// beyond the last L only as many as archiveSize bytes of bodies hold.
type archive struct {
	slots    []done // ascending
	size     int
	batches  map[wire.Digest]*batch
	requests map[wire.Digest]*Request
}

const (
	archiveLogs = 16
	archiveSize = 32 << 20
)

// done is an executed slot.
type done struct {
	seq    Seq
	digest wire.Digest
	batch  *batch
}

func newArchive() archive {
	return archive{batches: map[wire.Digest]*batch{}, requests: map[wire.Digest]*Request{}}
}

// add appends the next slot and drops what need not be kept.
func (a *archive) add(d done, log Seq) {
	a.slots = append(a.slots, d)
	a.size += d.batch.size()
	if d.batch.frame != nil {
		a.batches[d.digest] = d.batch
		for _, q := range d.batch.requests {
			a.requests[q.frame.Digest()] = q
		}
	}
	for n := Seq(len(a.slots)); n > log && (n > archiveLogs*log || a.size > archiveSize); n-- {
		a.drop()
	}
}

// drop forgets the oldest slot. A batch or request that stands in a later
// slot too is fetched elsewhere then; only a faulty primary orders one twice.
func (a *archive) drop() {
	old := a.slots[0]
	a.slots[0] = done{}
	a.slots = a.slots[1:]
	a.size -= old.batch.size()
	delete(a.batches, old.digest)
	for _, q := range old.batch.requests {
		delete(a.requests, q.frame.Digest())
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
