package pbft

import (
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/wire"
)

// batch is a batch whose frame is held; requests is set once all are.
type batch struct {
	Batch
	frame    *wire.Frame // nil for the null batch
	requests []*Request
	whole    bool // all requests are held
	bad      bool // breaks a bound: no correct replica prepares it
	logged   bool // a record in the live log holds it
	early    bool // came before a pre-prepare that names it
}

// store is content by digest. What nothing refers to any more is dropped at
// each stable checkpoint; between two of them it grows by what the window,
// the pending requests and the wants allow.
type store struct {
	batches  map[wire.Digest]*batch
	requests map[wire.Digest]*Request
	wants    map[wire.Digest]*want
	asked    []wire.Digest // keys of wants in the order they were made; may hold satisfied ones
	early    int           // batches that came before their pre-prepare, at most 2 W
	null     *batch
	archive  archive
}

// want is content that is being fetched.
type want struct {
	source int // who must have it
	due    Ticks
	tries  int
	change bool  // wanted for wantedNew alone
	listed Ticks // in asked, seen at this tick
}

func newStore() store {
	return store{batches: map[wire.Digest]*batch{}, requests: map[wire.Digest]*Request{},
		wants: map[wire.Digest]*want{}, null: &batch{whole: true, logged: true}, archive: newArchive()}
}

// find returns a batch whose frame is held, or nil.
func (t *store) find(d wire.Digest) *batch {
	if b := t.batches[d]; b != nil {
		return b
	}
	return t.archive.batches[d]
}

// request returns a request that is held, or nil.
func (t *store) request(d wire.Digest) *Request {
	if q := t.requests[d]; q != nil {
		return q
	}
	return t.archive.requests[d]
}

func (t *store) addBatch(f *wire.Frame, b *Batch) *batch {
	d := f.Digest()
	delete(t.wants, d)
	if have := t.find(d); have != nil {
		return have
	}
	x := &batch{Batch: *b, frame: f}
	t.batches[d] = x
	return x
}

// named learns that an accepted pre-prepare names a batch.
func (t *store) named(d wire.Digest) {
	if b := t.batches[d]; b != nil && b.early {
		b.early = false
		t.early--
	}
}

// batch returns a whole batch that is known to be held.
func (t *store) batch(d wire.Digest) *batch {
	if d.IsZero() {
		return t.null
	}
	b := t.find(d)
	if b != nil && !b.whole {
		t.complete(b)
	}
	return b
}

// complete fills in the requests and returns the digests that are missing.
func (t *store) complete(b *batch) (missing []wire.Digest) {
	for _, d := range b.Requests {
		if t.request(d) == nil {
			missing = append(missing, d)
		}
	}
	if missing != nil {
		return missing
	}
	b.requests = make([]*Request, len(b.Requests))
	for i, d := range b.Requests {
		b.requests[i] = t.request(d)
	}
	b.whole = true
	return nil
}

// addRequest keeps a request that is wanted and reports whether it was.
func (t *store) addRequest(q *Request) bool {
	d := q.frame.Digest()
	if t.wants[d] == nil {
		return false
	}
	delete(t.wants, d)
	t.requests[d] = q
	return true
}

func (t *store) keepRequest(q *Request) { t.requests[q.frame.Digest()] = q }

// want notes that content is missing.
func (t *store) want(d wire.Digest, source int, now Ticks) {
	if w := t.wants[d]; w == nil {
		t.wants[d] = &want{source: source, due: now + 1}
		t.asked = append(t.asked, d)
	} else if w.change {
		w.change, w.source, w.tries = false, source, 0
	}
}

// wantChange notes that a view-change is missing, unless something else wants it.
func (t *store) wantChange(d wire.Digest, source int, now Ticks) {
	if t.wants[d] == nil {
		t.want(d, source, now)
		t.wants[d].change = true
	}
}

// content returns the batch of a digest if it and all bodies are held; else
// it fetches what is missing, first from source, and returns nil.
func (r *Replica) content(d wire.Digest, source int) *batch {
	if d.IsZero() {
		return r.store.null
	}
	b := r.store.find(d)
	if b == nil {
		r.store.want(d, source, r.now)
		return nil
	}
	r.store.batches[d] = b // out of the archive: it is needed again
	if b.whole {
		return b
	}
	missing := r.store.complete(b)
	size := 0
	for _, d := range b.Requests {
		if q := r.store.request(d); q != nil {
			size += len(q.frame.Raw())
		}
	}
	if b.bad = size > r.p.BatchSize && len(b.Requests) > 1; b.bad && !b.whole {
		return nil // known by what is here; no more of it is fetched
	}
	for _, d := range missing {
		r.store.want(d, source, r.now)
	}
	if !b.whole {
		return nil
	}
	return b
}

// bad reports whether a batch that is held is known to break a bound.
func (t *store) bad(d wire.Digest) bool {
	b := t.find(d)
	return b != nil && b.bad
}

// onBatch takes in a batch that is wanted, or that the primary sends ahead
// of its pre-prepare.
func (r *Replica) onBatch(from int, m *Message, b *Batch) {
	d := m.Frame.Digest()
	switch {
	case r.store.wants[d] != nil:
		r.store.addBatch(m.Frame, b)
		r.arrived = true
	case r.store.find(d) != nil:
	case from == r.cfg.Primary(r.view) && r.store.early < int(2*r.p.Window):
		r.store.early++
		r.store.addBatch(m.Frame, b).early = true
	default:
		r.event(Event{Kind: EventIgnored, Reason: ReasonUnwanted, Peer: from, Of: KindBatch})
	}
}

// invalid learns of a frame that is no message. If an accepted proposal names
// it, the primary proposed what no correct replica prepares.
func (r *Replica) invalid(in Invalid) {
	digest := in.Frame.Digest()
	r.event(Event{Kind: EventIgnored, Reason: ReasonSignature, Peer: in.From, Digest: digest, Of: Kind(in.Frame.Kind)})
	if r.store.wants[digest] == nil {
		return
	}
	for seq := r.low + 1; seq <= r.low+r.p.Log; seq++ {
		s := r.peek(seq)
		if s == nil || s.proposal == nil {
			continue
		}
		named := s.proposal.body.(*Vote).Digest
		if named == digest {
			r.badBatch(s, in.Frame)
			return
		}
		b := r.store.find(named)
		if b == nil {
			continue
		}
		for _, d := range b.Requests {
			if d == digest {
				r.badBatch(s, b.frame, in.Frame)
				return
			}
		}
	}
}

// badBatch leaves a primary whose proposal is provably invalid, as its batch
// and some of its requests show.
func (r *Replica) badBatch(s *slot, shown ...*wire.Frame) {
	r.accuse(&Evidence{ChargeBatch, s.proposal.Author(), append([]*wire.Frame{s.proposal.Frame}, shown...)})
	r.leave(r.view+1, ReasonBadBatch)
}

// oversized is a batch and requests of it that are too large together.
func (r *Replica) oversized(d wire.Digest) []*wire.Frame {
	b, size := r.store.find(d), 0
	frames := []*wire.Frame{b.frame}
	for _, d := range b.Requests {
		if q := r.store.request(d); q != nil && size <= r.p.BatchSize {
			size += len(q.frame.Raw())
			frames = append(frames, q.frame)
		}
	}
	return frames
}

// onFetch serves content to anyone who names its digest.
func (r *Replica) onFetch(from int, f *Fetch) {
	if from < 0 {
		return
	}
	for _, d := range f.Digests {
		if b := r.store.find(d); b != nil {
			r.eager(from, b.frame)
		} else if q := r.store.request(d); q != nil {
			r.eager(from, q.frame)
		} else if c := r.findChange(d); c != nil {
			r.send(from, c.frame)
		}
	}
}

// fetchDue asks for what is missing: first its source, then others in turn.
func (r *Replica) fetchDue() {
	if len(r.store.wants) == 0 {
		r.store.asked = r.store.asked[:0]
		return
	}
	var asks [quorum.MaxN][]wire.Digest
	kept := r.store.asked[:0]
	for _, d := range r.store.asked {
		w := r.store.wants[d]
		if w == nil || w.listed == r.now {
			continue
		}
		w.listed = r.now
		kept = append(kept, d)
		to := (w.source + w.tries) % int(r.n)
		if to == r.self {
			w.tries++
			to = (to + 1) % int(r.n)
		}
		if w.due > r.now || len(asks[to]) == MaxFetch || to == r.self {
			continue
		}
		asks[to] = append(asks[to], d)
		w.tries++
		w.due = r.now + min(r.p.StatusMin<<min(w.tries/int(r.n), 5), r.p.StatusMax)
	}
	r.store.asked = kept
	for to, digests := range asks {
		if len(digests) > 0 {
			r.eager(to, wire.Encode(r.cfg.header(KindFetch, r.self), (&Fetch{digests}).encode()))
		}
	}
}

// discard takes a request out of the pending ones that will not execute from
// there. Its body goes with the next sweep, which comes early if such bodies
// are many.
func (r *Replica) discard(e *entry) {
	r.pending.remove(e.request.key())
	r.discarded += len(e.request.frame.Raw())
}

// catchUp does once for many inputs what each of them would ask for: to look
// again at what waited for content, and to give up what is discarded.
func (r *Replica) catchUp() {
	if r.discarded > r.p.ClientSize {
		r.sweep()
		r.arrived = true // what still matters is wanted again
	}
	if r.arrived {
		r.arrived = false
		r.advanceAll()
		r.countChanges()
		r.tryNewView()
	}
}

// sweep drops content that nothing refers to. It runs at each stable
// checkpoint and new view; wants that still matter are made again, here or by
// the next input that needs them.
func (r *Replica) sweep() {
	old := r.store
	fresh := newStore()
	fresh.archive = old.archive
	fresh.archive.trim(r.low, r.kept, &r.p)
	keep := func(d wire.Digest) {
		b := old.batches[d]
		if b == nil || fresh.batches[d] != nil {
			return
		}
		fresh.batches[d], b.early = b, false
		for _, q := range b.requests {
			fresh.keepRequest(q)
		}
		for _, q := range b.Requests {
			if have := old.requests[q]; have != nil {
				fresh.requests[q] = have
			}
		}
	}
	for i := range r.slots {
		s := &r.slots[i]
		if s.seq <= min(r.low, r.ordered) {
			*s = slot{} // done with: the archive has what others may ask for
			continue
		}
		for _, m := range []*Message{s.proposal, s.future} {
			if m != nil {
				keep(m.body.(*Vote).Digest)
			}
		}
		if s.cert != nil {
			keep(s.cert.Digest)
		}
		keep(s.digest)
	}
	for _, list := range [][]*change{{r.change}, r.changes, r.newChanges, r.fetched} {
		for _, c := range list {
			if c == nil {
				continue
			}
			for i := range c.Prepared {
				keep(c.Prepared[i].Digest)
			}
		}
	}
	for i := range r.peers {
		for _, d := range r.peers[i].claims {
			keep(d)
		}
	}
	for _, e := range r.pending.order {
		if !e.gone {
			fresh.keepRequest(e.request)
		}
	}
	r.store, r.discarded = fresh, 0
	r.wantAgain()
}

// wantAgain makes the wants that a view change under way has: no later input
// need ask for them.
func (r *Replica) wantAgain() {
	for _, c := range r.changes {
		if c != nil && c.View == r.view && !r.active {
			r.isComplete(c)
		}
	}
	if r.wantedNew == nil {
		return
	}
	for _, ref := range r.wantedNew.body.(*NewView).Changes {
		if r.findChange(ref.Digest) == nil {
			r.store.wantChange(ref.Digest, r.wantedNew.Author(), r.now)
		}
	}
}
