package pbft

import (
	"github.com/tagma-db/tagma/wire"
)

// onRooted signs a checkpoint of a slot executed here, once.
func (r *Replica) onRooted(k Checkpoint) {
	r.rootedAt = max(r.rootedAt, k.Seq)
	if k.Seq > r.ordered {
		panic("pbft: root of a slot that was not executed")
	}
	for _, m := range r.votes[r.self] {
		if own := m.body.(*Checkpoint); own.Seq == k.Seq {
			if *own != k {
				r.halt(ReasonDiverged, r.self, k.Seq) // execution is not deterministic
			}
			return
		}
	}
	if k.Seq == r.stable.seq() && k != r.stable.Checkpoint {
		r.halt(ReasonDiverged, r.self, k.Seq)
		return
	}
	if k.Seq <= r.stable.seq() {
		return
	}
	m := &Message{Frame: r.signed(KindCheckpoint, k.encode()), body: &k}
	r.logCheckpoint(m)
	r.eff.Sync = true
	r.send(ToAll, m.Frame)
	r.keepVote(r.self, m)
	r.tally(k.Seq)
}

// keepVote files a checkpoint under its author, newest first, and reports
// whether it is new.
func (r *Replica) keepVote(author int, m *Message) bool {
	k := m.body.(*Checkpoint)
	list := r.votes[author]
	at := 0
	for at < len(list) && list[at].body.(*Checkpoint).Seq > k.Seq {
		at++
	}
	if at < len(list) && list[at].body.(*Checkpoint).Seq == k.Seq {
		if *list[at].body.(*Checkpoint) != *k {
			r.accuse(equivocation(author, list[at].Frame, m.Frame))
		}
		return false
	}
	list = append(list, nil)
	copy(list[at+1:], list[at:])
	list[at] = m
	if most := int(r.p.Log/r.p.Interval) + 2; len(list) > most {
		list = list[:most]
	}
	r.votes[author] = list
	return true
}

func (r *Replica) onCheckpoint(m *Message, k *Checkpoint) {
	if k.Seq < r.low {
		r.ignore(m, ReasonWindow)
		return
	}
	if !r.keepVote(m.Author(), m) {
		r.ignore(m, ReasonDuplicate)
		return
	}
	r.tally(k.Seq)
	r.transfer()
}

// tally looks for q equal checkpoints of one slot, and for f+1 that
// contradict one's own.
func (r *Replica) tally(seq Seq) {
	if seq == r.stable.seq() {
		r.compare()
		return
	}
	var own *Checkpoint
	var found []*Message
	for author := range r.votes {
		for _, m := range r.votes[author] {
			if k := m.body.(*Checkpoint); k.Seq == seq {
				found = append(found, m)
				if author == r.self {
					own = k
				}
			}
		}
	}
	for _, m := range found {
		k := m.body.(*Checkpoint)
		var frames []*wire.Frame
		for _, other := range found {
			if *other.body.(*Checkpoint) == *k {
				frames = append(frames, other.Frame)
			}
		}
		if own != nil && *own != *k && len(frames) >= r.n.Weak() {
			r.halt(ReasonDiverged, m.Author(), seq)
			return
		}
		if len(frames) >= r.n.Quorum() {
			r.adopt(&Stable{Checkpoint: *k, frames: frames[:r.n.Quorum()]})
			r.compare()
			return
		}
	}
}

// compare accuses whoever signed another state than the stable one.
func (r *Replica) compare() {
	for author, list := range r.votes {
		for _, m := range list {
			if k := m.body.(*Checkpoint); k.Seq == r.stable.Seq && *k != r.stable.Checkpoint {
				r.accuse(&Evidence{ChargeDiverged, author, append([]*wire.Frame{m.Frame}, r.stable.frames...)})
			}
		}
	}
}

// adopt makes a stable certificate one's own: the low watermark rises.
func (r *Replica) adopt(s *Stable) {
	if s.seq() <= r.stable.seq() {
		return
	}
	r.stable, r.low = s, max(r.low, s.Seq)
	r.logStable(s)
	r.eff.Stable = s
	r.event(Event{Kind: EventStable, Peer: -1, Seq: s.Seq, Digest: s.Root})
	r.timeout = max(r.timeout/2, r.p.ViewTimeout, min(4*r.slowest, r.timeout))
	r.slowest, r.stalled = 0, false
	r.statusGap, r.statusAt = r.p.StatusMin, 0
	if r.next <= r.low {
		r.next = r.low + 1
	}
	r.sweep()
	r.transfer()
}
