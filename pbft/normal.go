package pbft

import (
	"github.com/tagma-db/tagma/wire"
)

// onRequest takes in a request from its client, or relayed by a replica, or
// fetched as the body of a batch.
func (r *Replica) onRequest(from int, q *Request) {
	wanted := r.store.addRequest(q)
	r.arrived = r.arrived || wanted
	k := q.key()
	if e := r.pending.byKey[k]; e != nil {
		if from >= 0 {
			e.by.Add(from)
		}
		return
	}
	if from >= 0 && wanted {
		return // a body: pending through its pre-prepare
	}
	switch r.judge.Judge(q, max(r.agreed, r.wall)) {
	case Executed:
		return // the host has answered it
	case NotNow:
		r.eff.Refused = append(r.eff.Refused, Refusal{q, Refused})
		return
	}
	relayed := from >= 0 && r.pending.relayedBy(from) == nil
	e := r.pending.add(q, r.now, relayed)
	if e == nil {
		r.eff.Refused = append(r.eff.Refused, Refusal{q, Busy})
		return
	}
	if from >= 0 {
		e.by.Add(from)
	}
	r.store.keepRequest(q)
}

// propose orders what is pending: one batch with all that arrived while the
// window had no room. A lone request never waits.
func (r *Replica) propose() {
	if !r.isPrimary() || !r.canVote() {
		return
	}
	for r.next <= r.ordered+r.p.Window && r.next <= r.low+r.p.Log {
		if r.next > r.mark+r.p.Window {
			r.eff.Sync = r.eff.Sync || r.appended > r.synced
			return
		}
		if r.abstains(r.next) {
			return // the abdication is on its way
		}
		now := max(r.wall, r.agreed)
		var stale []*entry
		picked := r.pending.pick(r.n, r.p.BatchCount, r.p.BatchSize, func(q *Request) bool {
			a := r.judge.Judge(q, now)
			if a == Executed {
				stale = append(stale, r.pending.byKey[q.key()])
			}
			return a == Admissible
		})
		for _, e := range stale {
			r.discard(e)
		}
		if len(picked) == 0 {
			return
		}
		b := &Batch{Time: r.wall} // agreed time stands still where clocks were set back
		for _, e := range picked {
			b.Requests = append(b.Requests, e.request.frame.Digest())
		}
		r.proposeBatch(b)
	}
}

func (r *Replica) proposeBatch(b *Batch) {
	f := wire.Encode(r.cfg.header(KindBatch, wire.NoAuthor), b.encode())
	r.store.addBatch(f, b)
	v := Vote{View: r.view, Seq: r.next, Digest: f.Digest()}
	m := &Message{Frame: r.signed(KindPrePrepare, v.encode()), body: &v}
	r.next++
	s := r.slot(v.Seq)
	s.proposal, s.arrived, s.ripe = m, r.now, r.now
	s.voted, s.own = true, m
	r.eager(ToAll, f)
	r.eager(ToAll, m.Frame)
	r.logBatch(r.store.batch(v.Digest))
	r.logVote(m, v.Seq)
	r.advance(s)
}

// onPrePrepare accepts at most one digest per (view, seq) [PBFT99 §4.2].
func (r *Replica) onPrePrepare(m *Message, v *Vote) {
	switch {
	case v.View < r.view:
		r.ignore(m, ReasonOldView)
		return
	case v.View > r.view || !r.active:
		s := r.slot(v.Seq)
		if s.future == nil || s.future.body.(*Vote).View < v.View {
			s.future = m
		}
		return
	case v.Digest.IsZero():
		r.ignore(m, ReasonNull)
		return
	}
	s := r.slot(v.Seq)
	if s.proposal != nil {
		if have := s.proposal.body.(*Vote); *have == *v {
			r.ignore(m, ReasonDuplicate)
		} else {
			r.accuse(equivocation(m.Author(), s.proposal.Frame, m.Frame))
			r.leave(r.view+1, ReasonEquivocation)
		}
		return
	}
	s.proposal, s.arrived, s.ripe = m, r.now, r.now
	r.store.named(v.Digest)
	for _, p := range s.prepares {
		if p != nil {
			r.crossCheck(s, p)
		}
	}
	r.advance(s)
}

func (r *Replica) onPrepare(m *Message, v *Vote) {
	s := r.slot(v.Seq)
	if have := s.prepareBy(m.Author()); have != nil {
		old := have.body.(*Vote)
		switch {
		case old.View == v.View && old.Digest != v.Digest:
			r.accuse(equivocation(m.Author(), have.Frame, m.Frame))
			return
		case old.View >= v.View:
			r.ignore(m, ReasonDuplicate)
			return
		}
	}
	if v.View < r.view {
		r.ignore(m, ReasonOldView)
		return
	}
	s.prepares[m.Author()] = m
	r.crossCheck(s, m)
	r.advance(s)
}

// prepareBy is the author's prepare, or one that its own link brought.
func (s *slot) prepareBy(author int) *Message {
	if m := s.prepares[author]; m != nil {
		return m
	}
	return s.spares[author]
}

// crossCheck exposes a prepare that contradicts the accepted pre-prepare: its
// author lies, or the primary does.
func (r *Replica) crossCheck(s *slot, m *Message) {
	v := m.body.(*Vote)
	if r.active && v.View == r.view && s.proposal != nil && s.proposal.body.(*Vote).Digest != v.Digest {
		r.expose(m, s.proposal)
	}
}

// expose sends all others two votes that do not go together, so that who
// holds a different vote by one of their authors has evidence. Once per
// author and view: it is bounded.
func (r *Replica) expose(m, proposal *Message) {
	p := &r.peers[m.Author()]
	if p.exposed > r.view || r.synced < r.votable { // an own NewView must not leak before it is durable (D2)
		return
	}
	p.exposed = r.view + 1
	r.eager(ToAll, proposal.Frame)
	r.eager(ToAll, m.Frame)
}

func (r *Replica) onCommit(m *Message, v *Vote) {
	s := r.slot(v.Seq)
	have := &s.commits[m.Author()]
	if have.ok && have.vote.View >= v.View {
		r.ignore(m, ReasonDuplicate)
		return
	}
	*have = commit{*v, true}
	r.advance(s)
}

// advance takes a slot as far as what is known of it allows.
func (r *Replica) advance(s *slot) {
	r.tryVote(s)
	r.tryPrepare(s)
	r.tryCommit(s)
}

// tryVote sends this backup's prepare once it holds every body and the time
// is acceptable; nothing else decides (docs/protocol.md section 2).
func (r *Replica) tryVote(s *slot) {
	if s.proposal == nil || s.voted || r.isPrimary() || !r.canVote() {
		return
	}
	if s.seq > r.mark+r.p.Window {
		r.eff.Sync = r.eff.Sync || r.appended > r.synced // held back by D + W
		return
	}
	v := *s.proposal.body.(*Vote)
	b := r.content(v.Digest, s.proposal.Author())
	if r.store.bad(v.Digest) {
		r.badBatch(s, r.oversized(v.Digest)...)
		return
	}
	if b == nil || r.abstains(s.seq) {
		return
	}
	if s.seq > r.fixed && (b.Time > r.wall+r.p.TimeBound || b.Time < r.wall-r.p.TimeBound) {
		if r.offClock != s.seq {
			r.offClock = s.seq
			r.event(Event{Kind: EventIgnored, Reason: ReasonTime, Peer: s.proposal.Author(), Seq: s.seq, Of: KindPrePrepare})
		}
		return // judged again as the clock moves
	}
	r.offClock = 0
	m := &Message{Frame: r.signed(KindPrepare, v.encode()), body: &v}
	s.voted, s.own, s.ripe = true, m, r.now
	s.prepares[r.self] = m
	r.logBatch(b)
	r.logVote(m, s.seq)
	r.eager(ToAll, m.Frame)
}

// tryPrepare forms the prepared certificate of the present view: the
// pre-prepare and q−1 prepares of distinct backups. Then, once it and the
// bodies are durable, the commit leaves (D1).
func (r *Replica) tryPrepare(s *slot) {
	if s.proposal == nil || s.certain || !r.active || r.stopped || r.joining {
		return
	}
	v := *s.proposal.body.(*Vote)
	need := r.n.Quorum() - 1
	var frames []*wire.Frame
	for _, p := range s.prepares {
		if p != nil && len(frames) < need && *p.body.(*Vote) == v {
			frames = append(frames, p.Frame)
		}
	}
	if len(frames) < need {
		return
	}
	b := r.content(v.Digest, s.proposal.Author())
	if b == nil {
		return
	}
	s.cert = &Prepared{Vote: v, proposal: s.proposal.Frame, prepares: frames}
	s.certain = true
	r.prepared = max(r.prepared, v.Seq)
	r.logBatch(b)
	r.logPrepared(s.cert)
	r.event(Event{Kind: EventPrepared, Peer: -1, View: v.View, Seq: v.Seq, Digest: v.Digest})
	f := wire.Encode(r.cfg.header(KindCommit, r.self), v.encode())
	r.send(ToAll, f)
	r.awaits = append(r.awaits, await{record: r.appended, seq: s.seq, commit: &v})
	r.eff.Sync = true
}

// tryCommit looks for q commits of one (view, digest); they commit the slot
// even where it is not prepared.
func (r *Replica) tryCommit(s *slot) {
	if s.committed {
		return
	}
	for i := range s.commits {
		c := &s.commits[i]
		if !c.ok {
			continue
		}
		votes := 0
		for j := range s.commits {
			if s.commits[j].ok && s.commits[j].vote == c.vote {
				votes++
			}
		}
		if votes >= r.n.Quorum() {
			s.committed, s.digest = true, c.vote.Digest
			r.event(Event{Kind: EventCommitted, Peer: -1, View: c.vote.View, Seq: s.seq, Digest: s.digest})
			r.execute()
			return
		}
	}
}

// decided returns the digest that is known to be committed at seq.
func (r *Replica) decided(seq Seq) (d wire.Digest, source int, ok bool) {
	if s := r.peek(seq); s != nil && s.committed {
		return s.digest, r.cfg.Primary(r.view), true
	}
	return r.claimed(seq)
}

// execute hands committed batches to the host, in order and without gap.
func (r *Replica) execute() {
	for !r.behind { // else the rows are being replaced
		seq := r.ordered + 1
		d, source, ok := r.decided(seq)
		if !ok {
			return
		}
		b := r.content(d, source)
		if b == nil {
			return
		}
		r.logBatch(b)
		r.deliver(seq, d, b)
		r.logExecuted(seq, d)
		if seq%r.p.Window == 0 {
			r.eff.Sync = true // a catch-up alone starts no sync, and what waits is bounded
		}
	}
}

// deliver makes seq the last executed slot.
func (r *Replica) deliver(seq Seq, d wire.Digest, b *batch) {
	r.ordered, r.progress = seq, r.now
	r.history = chain(r.history, d)
	if b.Time > r.agreed {
		r.agreed = b.Time
	}
	r.store.archive.add(done{seq: seq, digest: d, batch: b})
	if r.next <= seq {
		r.next = seq + 1
	}
	r.eff.Execute = append(r.eff.Execute, Ordered{Seq: seq, Time: b.Time, Digest: d, History: r.history,
		Requests: b.requests, Interval: seq%r.p.Interval == 0})
	s := r.peek(seq)
	if s != nil && s.proposal != nil && r.now-s.arrived > r.slowest {
		r.slowest = r.now - s.arrived
	}
	for _, q := range b.requests {
		r.pending.remove(q.key())
	}
	r.overtaken(s)
	if next := r.peek(seq + r.p.Window); next != nil && next.proposal != nil {
		next.ripe = r.now // a primary may send its slots long ahead
	}
}

// overtaken counts against the primary a slot that came within reach of
// execution after the oldest pending request was T old, and without it.
func (r *Replica) overtaken(s *slot) {
	e := r.pending.oldest()
	if e != nil && s != nil && s.proposal != nil && s.ripe > max(e.arrived, r.start)+r.timeout {
		e.passed++
	}
}

// chain is H(s) = SHA-256(H(s−1), batch digest).
func chain(history, d wire.Digest) wire.Digest {
	var b [64]byte
	copy(b[:], history[:])
	copy(b[32:], d[:])
	return wire.Digest(ResultDigest(b[:]))
}

// onSynced learns that records are durable: D rises, own commits count, and
// what waited may go on.
func (r *Replica) onSynced(records uint64) {
	if records <= r.synced {
		return
	}
	wasHeld := r.synced < r.votable
	r.synced = records
	mark, i := r.mark, 0
	for ; i < len(r.awaits) && r.awaits[i].record <= records; i++ {
		a := &r.awaits[i]
		r.mark = max(r.mark, a.seq)
		if a.commit != nil && a.commit.Seq > r.low {
			s := r.slot(a.commit.Seq)
			if c := &s.commits[r.self]; !c.ok || c.vote.View < a.commit.View {
				*c = commit{*a.commit, true}
			}
			r.tryCommit(s)
		}
	}
	r.awaits = append(r.awaits[:0], r.awaits[i:]...)
	if r.mark > mark || wasHeld && r.synced >= r.votable {
		r.advanceAll()
	}
	r.tryNewView()
}

// advanceAll looks again at every open slot.
func (r *Replica) advanceAll() {
	view := r.view
	for seq := r.low + 1; seq <= r.low+r.p.Log && r.view == view; seq++ {
		if s := r.peek(seq); s != nil {
			r.advance(s)
		}
	}
	r.execute()
}

// abstains reports whether this replica may have voted at seq in the present
// view before a restart, without knowing how (D3).
func (r *Replica) abstains(seq Seq) bool {
	if seq > r.abstain || r.view != r.abstainIn {
		return false
	}
	s := r.peek(seq)
	return s == nil || !s.voted
}
