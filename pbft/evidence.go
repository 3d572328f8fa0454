package pbft

import "github.com/tagma-db/tagma/wire"

// accuse records that a replica is shown to be faulty. One item per culprit
// and reason is kept, at most maxReport and maxEvidence bytes in all, so that
// a Report holds them: more would tell nothing new.
func (r *Replica) accuse(culprit int, why Reason, first, second *wire.Frame) {
	if culprit == r.self {
		return // own frames from an earlier life: onOwn judges them
	}
	size := len(first.Raw())
	if second != nil {
		size += len(second.Raw())
	}
	for _, e := range r.evidence {
		if e.Culprit == culprit && e.Reason == why {
			return
		}
		size += len(e.First.Raw())
		if e.Second != nil {
			size += len(e.Second.Raw())
		}
	}
	r.event(Event{Kind: EventEvidence, Reason: why, Peer: culprit, View: r.view})
	if len(r.evidence) < maxReport && size <= maxEvidence {
		r.evidence = append(r.evidence, Evidence{culprit, why, first, second})
	}
}

// Convicts reports whether the evidence convinces anyone who knows the
// group's keys: two frames, validly signed by the culprit, that no correct
// replica signs both. Other evidence convinces only together with the word
// of f+1 replicas.
func (e *Evidence) Convicts(c *Config, o *Opener) bool {
	if e.First == nil || e.Second == nil || e.First.Digest() == e.Second.Digest() {
		return false
	}
	var bodies [2]any
	for i, f := range []*wire.Frame{e.First, e.Second} {
		m, err := Decode(c, f)
		if err != nil || !m.Kind().signed() || m.Kind().authorless() || m.Author() != e.Culprit {
			return false
		}
		if _, err := o.Open(m); err != nil || f.Kind != e.First.Kind {
			return false
		}
		bodies[i] = m.body
	}
	switch a := bodies[0].(type) {
	case *Vote:
		b := bodies[1].(*Vote)
		return a.View == b.View && a.Seq == b.Seq && a.Digest != b.Digest
	case *Checkpoint:
		b := bodies[1].(*Checkpoint)
		return a.Seq == b.Seq && *a != *b
	case *ViewChange:
		return a.View == bodies[1].(*ViewChange).View
	case *NewView:
		return a.View == bodies[1].(*NewView).View
	}
	return false
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
