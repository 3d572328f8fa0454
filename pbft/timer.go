package pbft

// clock moves time and fires what is due. Wall time only proposes and judges
// batch times.
func (r *Replica) clock(c Clock) {
	r.wall = c.Wall
	if c.Now <= r.now {
		return
	}
	wasBehind := r.provablyBehind()
	pause, age := c.Now-r.now, r.age()
	r.now = c.Now
	r.fetchDue()
	r.statusDue()
	if r.joining || r.stopped {
		return
	}
	switch {
	case wasBehind:
		r.start = r.now // ages count from the end of a catch-up
	case pause > r.timeout/2:
		// The process stood still, and nobody else is to blame for most of it;
		// but rounds that always take long must not keep a primary for ever.
		if old := age + r.timeout/4; old < r.now {
			r.start = max(r.start, r.now-old)
		}
	}
	r.requestTimer()
	r.viewTimer()
	r.quietTimer()
	if s := r.peek(r.ordered + 1); s != nil && s.proposal != nil && !s.voted {
		r.advanceAll() // a time too far ahead is judged again
	}
}

// openSlot returns the next slot to execute if it has an accepted proposal.
func (r *Replica) openSlot() *slot {
	if s := r.peek(r.ordered + 1); s != nil && s.proposal != nil {
		return s
	}
	return nil
}

// working reports whether something here waits for the group.
func (r *Replica) working() bool { return len(r.pending.byKey) > 0 || r.openSlot() != nil }

// requestTimer leaves a view whose primary lets the oldest pending request
// wait too long (docs/protocol.md section 3).
func (r *Replica) requestTimer() {
	if !r.canVote() || !r.working() {
		return
	}
	e, age := r.oldestAdmissible(), r.age()
	if age >= r.timeout/2 {
		r.relay(e)
	}
	if r.provablyBehind() || age < r.timeout {
		return
	}
	idle := r.now - min(max(r.progress, r.start), r.now)
	if idle >= r.timeout || e != nil && e.passed > 2 {
		r.leave(r.view+1, ReasonTimeout)
	}
}

// relay sends the oldest pending request to all, once.
func (r *Replica) relay(e *entry) {
	if e == nil || e.relayed {
		return
	}
	e.relayed = true
	r.eager(ToAll, e.request.frame)
	r.ask(ToAll)
	r.event(Event{Kind: EventRelayed, Peer: -1, View: r.view})
}

// age is how long the oldest of what waits has waited.
func (r *Replica) age() Ticks {
	if !r.working() {
		return 0
	}
	arrived := r.now
	if e := r.pending.oldest(); e != nil {
		arrived = e.arrived
	}
	if s := r.openSlot(); s != nil {
		arrived = min(arrived, s.arrived)
	}
	return r.now - min(max(arrived, r.start), r.now)
}

// oldestAdmissible drops what can no longer execute from the head of the
// pending requests and returns the oldest that can.
func (r *Replica) oldestAdmissible() *entry {
	for {
		e := r.pending.oldest()
		if e == nil {
			return nil
		}
		switch r.judge.Judge(e.request, max(r.agreed, r.wall)) {
		case Admissible:
			return e
		case Executed:
			r.discard(e)
		default: // not now: it must not hold the timer
			r.discard(e)
			r.eff.Refused = append(r.eff.Refused, Refusal{e.request, Refused})
		}
	}
}

// viewTimer drives a view change on: to the view after next if the new view
// does not come in time, and its view-change again with back-off, but only
// while someone needs the view.
func (r *Replica) viewTimer() {
	if r.active || !r.needed() {
		return
	}
	if r.newViewAt != 0 && r.now-r.newViewAt >= r.timeout {
		r.leave(r.view+1, ReasonNewView)
		return
	}
	if r.change != nil && r.now >= r.resendAt {
		r.send(ToAll, r.change.frame)
		r.relay(r.oldestAdmissible()) // the others may be well in their view, and not know it
		r.resendWait = min(2*r.resendWait, r.p.StatusMax)
		r.resendAt = r.now + r.resendWait
	}
}

// needed reports whether a view change under way has a purpose: something
// waits here, or f+1 others are in views as high.
func (r *Replica) needed() bool {
	if r.working() {
		return true
	}
	high := 0
	for id := range r.peers {
		if id != r.self && r.peers[id].view >= r.view {
			high++
		}
	}
	return high >= r.n.Weak()
}

// quietTimer asks for a checkpoint of the tip once no slot came for a while,
// so that the group can fall silent.
func (r *Replica) quietTimer() {
	if r.ordered > r.stable.seq() && r.rootedAt < r.ordered && r.now-r.progress >= r.p.Quiet {
		r.rootedAt = r.ordered
		r.eff.Roots = append(r.eff.Roots, r.ordered)
	}
}

// missing reports whether there is proof that something known elsewhere is
// not known here.
func (r *Replica) missing() bool {
	return r.joining || r.openSlot() != nil || r.provablyBehind() || r.wantedNew != nil ||
		!r.active && r.needed() || r.ordered > r.stable.seq() && r.now-r.progress >= r.p.Quiet+r.p.StatusMin
}

// statusDue asks all with back-off while something is missing and nothing
// was executed for as long.
func (r *Replica) statusDue() {
	switch {
	case r.stopped || !r.missing():
		r.statusAt, r.statusGap = 0, r.p.StatusMin
	case r.progress+r.p.StatusMin > r.now && !r.joining:
		r.statusGap = r.p.StatusMin
		r.statusAt = r.progress + r.p.StatusMin
	case r.statusAt == 0:
		r.statusAt = r.now + r.statusGap
	case r.now >= r.statusAt:
		r.ask(ToAll)
		r.statusGap = min(2*r.statusGap, r.p.StatusMax)
		r.statusAt = r.now + r.statusGap
	}
}

// armed reports whether a timer runs. An idle group, up to date, has none.
func (r *Replica) armed() bool {
	if r.halted || r.stopped {
		return false
	}
	return r.working() || r.missing() || len(r.store.wants) > 0 || len(r.reads.waiting) > 0 || r.ordered > r.stable.seq()
}
