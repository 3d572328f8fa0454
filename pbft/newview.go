package pbft

import "github.com/tagma-db/tagma/wire"

// tryNewView starts the view as its primary, from exactly q complete
// view-changes, its own among them: once per view, ever (D2).
func (r *Replica) tryNewView() {
	if r.active || !r.isPrimary() || r.stopped || r.joining || r.change == nil || r.change.View != r.view {
		return
	}
	var used []*change
	for _, c := range r.changes {
		if c != nil && c.View == r.view && c != r.change && len(used) < r.n.Quorum()-1 && r.isComplete(c) {
			used = append(used, c)
		}
	}
	if len(used) < r.n.Quorum()-1 || !r.isComplete(r.change) {
		return
	}
	used = append(used, r.change)
	for i := len(used) - 1; i > 0 && used[i-1].author > used[i].author; i-- {
		used[i-1], used[i] = used[i], used[i-1]
	}
	stable, picks := choose(used, r.view)
	v := &NewView{View: r.view}
	frames := make([]*wire.Frame, 0, len(picks))
	for i := range picks {
		f := r.signed(KindPrePrepare, picks[i].encode())
		frames = append(frames, f)
		v.Proposals = append(v.Proposals, &Message{Frame: f, body: &picks[i]})
	}
	for _, c := range used {
		v.Changes = append(v.Changes, ChangeRef{c.author, c.frame.Digest()})
	}
	m := &Message{Frame: r.signed(KindNewView, encodeNewView(r.view, v.Changes, frames)), body: v}
	r.enter(m, v, used, stable)
	r.send(ToAll, m.Frame)
}

// wantsNewView says whether a NewView is worth its many signatures: one that
// would be taken up, and at most one of each author a tick.
func (r *Replica) wantsNewView(m *Message, v *NewView) bool {
	if v.View < r.view || v.View == r.view && r.active || r.peers[m.Author()].opened == r.now+1 {
		return false
	}
	w := r.wantedNew
	return w == nil || w.body.(*NewView).View >= v.View && w.Frame.Digest() != m.Frame.Digest()
}

// onNewView fetches the view-changes that a NewView names, checks it against
// them, and enters the view, or moves on.
func (r *Replica) onNewView(m *Message, v *NewView) {
	p := &r.peers[m.Author()]
	p.opened = r.now + 1
	switch {
	case v.View < r.view || v.View == r.view && r.active:
		r.ignore(m, ReasonOldView)
		return
	case v.View-r.view > maxViewJump:
		r.ignore(m, ReasonFarView)
		return
	case r.wantedNew != nil && r.wantedNew.body.(*NewView).View <= v.View: // a higher one may be a fable
		if have := r.wantedNew; have.body.(*NewView).View == v.View && have.Frame.Digest() != m.Frame.Digest() {
			r.accuse(equivocation(m.Author(), have.Frame, m.Frame))
		}
		return
	}
	p.view = max(p.view, v.View)
	r.dropWanted()
	r.wantedNew = m
	r.tryAccept()
}

// tryAccept goes on with the wanted NewView once its view-changes are held.
func (r *Replica) tryAccept() {
	if r.wantedNew == nil || r.stopped || r.joining {
		return
	}
	m, v := r.wantedNew, r.wantedNew.body.(*NewView)
	used := make([]*change, 0, len(v.Changes))
	for _, ref := range v.Changes {
		c := r.findChange(ref.Digest)
		if c == nil {
			r.store.wantChange(ref.Digest, m.Author(), r.now)
			continue
		}
		if c.author != ref.Author || c.View != v.View {
			r.refuse(m, v, []*change{c})
			return
		}
		used = append(used, c)
	}
	if len(used) < len(v.Changes) {
		return
	}
	stable, picks := choose(used, v.View)
	if !v.names(m.Author()) {
		r.refuse(m, v, nil)
		return
	}
	if !v.follows(picks) {
		r.refuse(m, v, used)
		return
	}
	if v.View > r.view { // a jump: the view is synced before anything of it
		r.view, r.change = v.View, nil
		r.logView(v.View, nil)
		r.forgetVotes()
	}
	r.enter(m, v, used, stable)
}

// forgetVotes clears what slots hold of a view that was left.
func (r *Replica) forgetVotes() {
	for i := range r.slots {
		s := &r.slots[i]
		s.proposal, s.voted, s.own, s.certain = nil, false, nil, false
	}
}

// dropWanted forgets the wanted NewView and what was fetched for it alone.
func (r *Replica) dropWanted() {
	if r.wantedNew != nil {
		for _, ref := range r.wantedNew.body.(*NewView).Changes {
			if w := r.store.wants[ref.Digest]; w != nil && w.change {
				delete(r.store.wants, ref.Digest)
			}
		}
	}
	r.wantedNew, r.fetched = nil, nil
}

// names reports whether the NewView rests on a view-change of this author.
func (v *NewView) names(author int) bool {
	for _, ref := range v.Changes {
		if ref.Author == author {
			return true
		}
	}
	return false
}

// follows reports whether the NewView proposes exactly what was chosen.
func (v *NewView) follows(picks []Vote) bool {
	if len(picks) != len(v.Proposals) {
		return false
	}
	for i, p := range v.Proposals {
		if *p.body.(*Vote) != picks[i] {
			return false
		}
	}
	return true
}

// refuse moves on from a primary whose NewView does not follow from the
// view-changes that show it.
func (r *Replica) refuse(m *Message, v *NewView, shown []*change) {
	frames := []*wire.Frame{m.Frame}
	for _, c := range shown {
		frames = append(frames, c.frame)
	}
	r.accuse(&Evidence{ChargeNewView, m.Author(), frames})
	r.dropWanted()
	if v.View == r.view && !r.active { // else nobody here waits for it
		r.leave(v.View+1, ReasonBadNewView)
	}
}

// enter makes a NewView the start of this replica's view.
func (r *Replica) enter(m *Message, v *NewView, used []*change, stable *Stable) {
	for _, c := range used {
		r.logChange(c.frame)
	}
	r.logNewView(m.Frame)
	r.eff.Sync = true
	r.votable = r.appended
	r.active, r.newView, r.newChanges, r.wantedNew, r.fetched = true, m, used, nil, nil
	r.start, r.resendAt, r.newViewAt = r.now, 0, 0
	r.pending.unpropose()
	r.adopt(stable)
	r.fixed = stable.seq() + Seq(len(v.Proposals))
	r.next = max(r.fixed, r.low, r.ordered) + 1
	r.event(Event{Kind: EventEntered, Peer: m.Author(), View: v.View, Seq: r.fixed})
	for _, p := range v.Proposals {
		vote := p.body.(*Vote)
		if vote.Seq <= r.low || vote.Seq > r.low+r.p.Log {
			continue
		}
		if d := r.store.archive.at(vote.Seq); d != nil && d.digest != vote.Digest {
			r.halt(ReasonFaults, m.Author(), vote.Seq)
			return
		}
		s := r.slot(vote.Seq)
		s.proposal, s.arrived, s.ripe = p, r.now, r.now
		if r.isPrimary() {
			s.voted, s.own = true, p
		}
		for _, q := range r.proposed(vote.Digest) {
			if e := r.pending.byKey[q.key()]; e != nil {
				e.proposed = true
			}
		}
	}
	r.takeFuture()
	r.sweep()
	r.advanceAll()
}

// proposed returns the requests of a batch as far as they are held.
func (r *Replica) proposed(d wire.Digest) []*Request {
	var out []*Request
	if b := r.store.find(d); b != nil {
		for _, q := range b.Requests {
			if have := r.store.request(q); have != nil {
				out = append(out, have)
			}
		}
	}
	return out
}

// takeFuture accepts the pre-prepares that came before their NewView.
func (r *Replica) takeFuture() {
	for seq := r.low + 1; seq <= r.low+r.p.Log; seq++ {
		s := r.peek(seq)
		if s == nil || s.future == nil {
			continue
		}
		m := s.future
		v := m.body.(*Vote)
		if v.View > r.view {
			continue
		}
		s.future = nil
		if v.View == r.view && r.active {
			r.onPrePrepare(m, v)
		}
	}
}
