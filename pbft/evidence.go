package pbft

// accuse hands on what shows that another replica is faulty. Whoever keeps it
// verifies it first: a spare prepare was never checked. Where the proof is too
// large to be kept, this replica's word remains.
func (r *Replica) accuse(e *Evidence) {
	if e.Culprit == r.self {
		return // own frames from an earlier life: onOwn judges them
	}
	if e.size() > min(MaxEvidence, r.cfg.share()) {
		e = Junk(e.Culprit, e.Frames[0])
	}
	r.eff.Accused = append(r.eff.Accused, e)
}

// onOwn judges a frame of this replica that came back to it. Others hold
// votes of an earlier life; one that the log here must know and does not is
// amnesia (D5).
func (r *Replica) onOwn(m Verified) {
	if !m.Kind().signed() {
		r.ignore(m.Message, ReasonDuplicate)
		return
	}
	forgotten := false
	switch b := m.body.(type) {
	case *Vote:
		switch {
		case b.View > r.view:
			forgotten = true
		case b.View == r.view && b.Seq > r.mark+r.p.Window && b.Seq > r.fixed:
			s := r.peek(b.Seq) // NewView's own pre-prepares may lie beyond D + W
			forgotten = s == nil || s.own == nil || *s.own.body.(*Vote) != *b
		case b.View == r.view:
			s := r.peek(b.Seq)
			forgotten = s != nil && s.own != nil && *s.own.body.(*Vote) != *b
		}
	case *ViewChange:
		forgotten = b.View > r.view
	case *NewView:
		forgotten = b.View > r.view
	case *Checkpoint:
		forgotten = b.Seq > r.ordered && b.Seq > r.stable.seq()
	}
	if forgotten {
		r.halt(ReasonAmnesia, r.self, 0)
	}
}
