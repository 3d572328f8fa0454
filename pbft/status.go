package pbft

import (
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// ask sends a Status that wants an answer.
func (r *Replica) ask(to int) {
	s := r.standing()
	s.Ask, s.Base = true, r.ordered
	if r.joining {
		s.Counter = r.counter // and remind me of what I signed
	}
	r.eager(to, wire.Encode(r.cfg.header(KindStatus, r.self), s.encode()))
}

func (r *Replica) standing() *Status {
	return &Status{View: r.view, Active: r.active, Stable: r.stable.seq(), Executed: r.ordered, History: r.history}
}

// onStatus learns where another replica stands, and answers it.
func (r *Replica) onStatus(from int, s *Status) {
	p := &r.peers[from]
	if s.View > r.view && s.View-r.view > maxViewJump {
		r.event(Event{Kind: EventIgnored, Reason: ReasonFarView, Peer: from, Of: KindStatus})
		return
	}
	p.view, p.executed = max(p.view, s.View), max(p.executed, s.Executed)
	if !s.Ask {
		p.base, p.claims = s.Base, s.Claims
	}
	if r.joining && !s.Ask && s.Counter == r.counter {
		r.answers.Add(from)
		r.tryJoined()
	}
	if s.Ask {
		if p.asked != r.now {
			p.asked, p.answers = r.now, 0
		}
		if p.answers++; p.answers <= maxAnswers {
			r.answer(from, s)
		} else {
			r.event(Event{Kind: EventIgnored, Reason: ReasonRate, Peer: from, Of: KindStatus})
		}
	}
	before := r.ordered
	r.execute()
	if r.ordered > before {
		if r.provablyBehind() {
			r.ask(ToAll)
		}
	} else {
		r.checkBehind()
	}
	r.join()
}

// tryJoined ends the status round after a start: q answers are in, one's own
// counted, so that a correct one speaks for every vote that counted (D6).
func (r *Replica) tryJoined() {
	if !r.joining || r.answers.Len() < r.n.Quorum() {
		return
	}
	r.joining = false
	r.start = r.now
	r.event(Event{Kind: EventJoined, Peer: -1, View: r.view, Seq: r.ordered})
	if r.change != nil && !r.active {
		r.send(ToAll, r.change.frame)
	}
	r.join()
	if r.isPrimary() && r.active && r.abstainIn == r.view && r.abstain > r.ordered {
		r.abdicate(ReasonRestart)
	}
	r.tryAccept()
	r.countChanges()
	r.tryNewView()
	r.advanceAll()
}

// answer sends a replica what it lacks, what it signed itself, and then
// where this one stands.
func (r *Replica) answer(to int, s *Status) {
	if s.Counter != 0 {
		r.remind(to)
	}
	switch {
	case r.active && r.newView != nil && (s.View < r.view || s.View == r.view && !s.Active):
		r.send(to, r.newView.Frame)
	case !r.active && r.change != nil && s.View <= r.view:
		r.send(to, r.change.frame)
	}
	if r.stable.seq() > s.Stable {
		for _, f := range r.stable.frames { // one may be this replica's own
			r.send(to, f)
		}
	}
	if votes := r.votes[r.self]; len(votes) > 0 && votes[0].body.(*Checkpoint).Seq > s.Stable {
		r.send(to, votes[0].Frame)
	}
	a := r.standing()
	a.Counter, a.Base = s.Counter, s.Executed
	for seq := s.Executed + 1; seq <= r.ordered && len(a.Claims) < MaxClaims; seq++ {
		d := r.store.archive.at(seq)
		if d == nil {
			break
		}
		a.Claims = append(a.Claims, d.digest)
	}
	if len(a.Claims) == 0 && r.ordered > s.Executed {
		a.Base = r.ordered // no longer kept here
	}
	r.resend(to, s)
	r.eager(to, wire.Encode(r.cfg.header(KindStatus, r.self), a.encode()))
}

// remind sends a replica the newest frames of its own that are held here.
func (r *Replica) remind(to int) {
	if c := r.changes[to]; c != nil {
		r.eager(to, c.frame)
	}
	if votes := r.votes[to]; len(votes) > 0 {
		r.eager(to, votes[0].Frame)
	}
	for seq := r.low + r.p.Log; seq > r.low; seq-- {
		s := r.peek(seq)
		if s == nil {
			continue
		}
		if m := s.prepareBy(to); m != nil {
			r.eager(to, m.Frame)
			return
		}
		if s.proposal != nil && s.proposal.Author() == to {
			r.eager(to, s.proposal.Frame)
			return
		}
	}
}

// resend repeats to a replica of the same view what it may have missed of
// the slots above what it executed: the proposal, the certificate or one's own
// vote, and one's own durable commit.
func (r *Replica) resend(to int, s *Status) {
	for seq := s.Executed + 1; seq <= s.Executed+r.p.Window; seq++ {
		x := r.peek(seq)
		if x == nil || seq > r.low+r.p.Log {
			continue
		}
		if r.active && r.synced >= r.votable && s.View == r.view && x.proposal != nil && seq > r.low {
			if b := r.store.find(x.proposal.body.(*Vote).Digest); b != nil && r.isPrimary() {
				r.eager(to, b.frame)
			}
			r.eager(to, x.proposal.Frame)
			if x.certain {
				for _, f := range x.cert.prepares {
					if int(f.Author) != to {
						r.eager(to, f)
					}
				}
			} else if x.own != nil && !r.isPrimary() {
				r.eager(to, x.own.Frame)
			}
		}
		if c := x.commits[r.self]; c.ok {
			r.eager(to, wire.Encode(r.cfg.header(KindCommit, r.self), c.vote.encode()))
		}
	}
}

// claimed returns the batch that f+1 other replicas say was executed at seq:
// one of them is correct.
func (r *Replica) claimed(seq Seq) (wire.Digest, int, bool) {
	for i := range r.peers {
		d, ok := r.peers[i].claim(seq)
		if !ok {
			continue
		}
		votes := 0
		for j := range r.peers {
			if other, ok := r.peers[j].claim(seq); ok && other == d {
				votes++
			}
		}
		if votes >= r.n.Weak() {
			r.event(Event{Kind: EventReplayed, Peer: i, Seq: seq, Digest: d})
			return d, i, true
		}
	}
	return wire.Digest{}, 0, false
}

func (p *peer) claim(seq Seq) (wire.Digest, bool) {
	if seq <= p.base || seq > p.base+Seq(len(p.claims)) {
		return wire.Digest{}, false
	}
	return p.claims[seq-p.base-1], true
}

// provablyBehind reports whether a stable certificate, or f+1 statuses of
// executed slots, lie above what is executed here; nothing else proves it.
func (r *Replica) provablyBehind() bool {
	return r.stable.seq() > r.ordered || r.witnessed() > r.ordered
}

// witnessed is the highest slot that f+1 others say they executed.
func (r *Replica) witnessed() Seq {
	executed := make([]Seq, 0, r.n)
	for id := range r.peers {
		if id != r.self {
			executed = append(executed, r.peers[id].executed)
		}
	}
	slices.Sort(executed)
	if at := len(executed) - r.n.Weak(); at >= 0 {
		return executed[at]
	}
	return 0
}

// checkBehind finds out that f+1 equal claims of the next slot do not come,
// though all but f others have answered: only a state transfer helps.
func (r *Replica) checkBehind() {
	if r.behind || r.stable.seq() <= r.ordered {
		return
	}
	gone, able := 0, 0
	for id := range r.peers {
		p := &r.peers[id]
		if _, ok := p.claim(r.ordered + 1); ok {
			able++
		} else if id != r.self && p.base > r.ordered {
			gone++
		}
	}
	if able < r.n.Weak() && gone > 0 && able+gone >= int(r.n)-1-r.n.F() {
		r.behind = true
		r.event(Event{Kind: EventBehind, Peer: -1, Seq: r.stable.seq()})
		r.transfer()
	}
}
