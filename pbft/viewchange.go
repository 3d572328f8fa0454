package pbft

import (
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// change is a view-change with its frame.
type change struct {
	*ViewChange
	frame    *wire.Frame
	author   int
	complete bool // the batches and bodies of all its certificates are held
}

// abdicate leaves one's own view as its primary: everyone follows at once
// and no time-out doubles.
func (r *Replica) abdicate(why Reason) { r.leave(r.view+1, why) }

// leave stops voting in the present view and asks for view to (docs/protocol.md
// section 6). Executing what others commit goes on.
func (r *Replica) leave(to View, why Reason) {
	if to <= r.view || r.stopped || r.joining {
		return
	}
	switch why {
	case ReasonTimeout, ReasonNewView, ReasonJoin:
		r.timeout = min(2*r.timeout, r.p.ViewMax)
	}
	r.event(Event{Kind: EventLeft, Reason: why, Peer: -1, View: to})
	r.view, r.active, r.fixed = to, false, 0
	r.newView, r.newChanges, r.wantedNew, r.fetched, r.newViewAt = nil, nil, nil, nil, 0
	c := &ViewChange{View: to, Stable: r.stable}
	for seq := r.stable.seq() + 1; seq <= r.stable.seq()+r.p.Log; seq++ {
		s := r.peek(seq)
		if s == nil {
			continue
		}
		s.proposal, s.voted, s.own, s.certain = nil, false, nil, false
		if s.cert != nil {
			c.Prepared = append(c.Prepared, *s.cert)
		}
	}
	f := r.signed(KindViewChange, c.encode())
	r.change = &change{ViewChange: c, frame: f, author: r.self}
	r.changes[r.self] = r.change
	r.logView(to, f)
	r.eff.Sync = true
	r.send(ToAll, f)
	r.resendWait = 4 * r.p.StatusMin
	r.resendAt = r.now + r.resendWait
	r.sweep()
	r.countChanges()
}

// onViewChange keeps the newest view-change of each replica.
func (r *Replica) onViewChange(m *Message, c *ViewChange) {
	author := m.Author()
	if c.View > r.view && c.View-r.view > maxViewJump {
		r.ignore(m, ReasonFarView)
		return
	}
	x := &change{ViewChange: c, frame: m.Frame, author: author}
	if r.wantsChange(m.Frame.Digest()) {
		r.fetched = append(r.fetched, x)
		delete(r.store.wants, m.Frame.Digest())
		r.tryAccept()
	}
	if have := r.changes[author]; have != nil {
		if have.View == c.View && have.frame.Digest() != m.Frame.Digest() {
			r.accuse(equivocation(author, have.frame, m.Frame))
			return
		}
		if have.View >= c.View {
			r.ignore(m, ReasonDuplicate)
			return
		}
	}
	r.changes[author] = x
	p := &r.peers[author]
	p.view = max(p.view, c.View)
	if c.Stable.seq() > r.stable.seq() {
		r.adopt(c.Stable)
	}
	r.join()
	r.countChanges()
	r.tryNewView()
}

// join follows the primary out of its own view, and f+1 others into a higher
// one: one of them is correct.
func (r *Replica) join() {
	if c := r.changes[r.cfg.Primary(r.view)]; r.active && c != nil && c.View > r.view {
		r.leave(r.view+1, ReasonAbdication)
	}
	views := make([]View, 0, r.n)
	for id := range r.peers {
		if id != r.self {
			views = append(views, r.peers[id].view)
		}
	}
	slices.Sort(views)
	if at := len(views) - r.n.Weak(); at >= 0 && views[at] > r.view {
		r.leave(views[at], ReasonJoin)
	}
}

// countChanges starts the new view's timer once q complete view-changes for
// it are in: earlier, replicas would drift apart. Who has gone on to a higher
// view counts: its view-change for this one may be lost for ever.
func (r *Replica) countChanges() {
	if r.active {
		return
	}
	complete := 0
	for _, c := range r.changes {
		if c != nil && (c.View > r.view || c.View == r.view && r.isComplete(c)) {
			complete++
		}
	}
	if complete >= r.n.Quorum() && r.newViewAt == 0 {
		r.newViewAt = r.now
	}
}

// isComplete reports whether the content of every certificate above the stable
// checkpoint is held, and fetches what is not: below it nobody need have it.
func (r *Replica) isComplete(c *change) bool {
	if c.complete {
		return true
	}
	c.complete = true
	for i := range c.Prepared {
		if c.Prepared[i].Seq > r.stable.seq() && r.content(c.Prepared[i].Digest, c.author) == nil {
			c.complete = false
		}
	}
	return c.complete
}

// choose derives the new view's slots from exactly q view-changes, the same
// at primary and backups [PBFT99 §4.4]: the highest stable checkpoint, and for
// each slot above it up to the highest prepared one the digest prepared in
// the highest view, or the null batch.
func choose(changes []*change, view View) (*Stable, []Vote) {
	var stable *Stable
	for _, c := range changes {
		if c.Stable.seq() > stable.seq() {
			stable = c.Stable
		}
	}
	low := stable.seq()
	top := low
	for _, c := range changes {
		if n := len(c.Prepared); n > 0 {
			top = max(top, c.Prepared[n-1].Seq)
		}
	}
	picks := make([]Vote, top-low)
	from := make([]View, top-low)
	for i := range picks {
		picks[i] = Vote{View: view, Seq: low + 1 + Seq(i)}
	}
	for _, c := range changes {
		for i := range c.Prepared {
			p := &c.Prepared[i]
			if p.Seq <= low {
				continue
			}
			at := p.Seq - low - 1
			if p.View+1 > from[at] { // from is the view + 1, 0: no certificate yet
				picks[at].Digest, from[at] = p.Digest, p.View+1
			}
		}
	}
	return stable, picks
}

// findChange returns a view-change that is held, by digest.
func (r *Replica) findChange(d wire.Digest) *change {
	for _, list := range [][]*change{r.changes, r.newChanges, r.fetched} {
		for _, c := range list {
			if c != nil && c.frame.Digest() == d {
				return c
			}
		}
	}
	return nil
}

// wantsChange reports whether a NewView waits for this view-change.
func (r *Replica) wantsChange(d wire.Digest) bool {
	return r.wantedNew != nil && r.store.wants[d] != nil && r.store.wants[d].change
}
