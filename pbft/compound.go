package pbft

import (
	"github.com/tagma-db/tagma/quorum"
	"github.com/tagma-db/tagma/wire"
)

// ViewChange asks for a view and carries what its author has prepared.
type ViewChange struct {
	View     View
	Stable   *Stable    // nil: the genesis state
	Prepared []Prepared // ascending by Seq, above Stable, the highest view held of each slot
}

func (c *ViewChange) encode() []byte {
	var w wire.Writer
	w.U64(uint64(c.View))
	encodeStable(&w, c.Stable)
	w.U16(uint16(len(c.Prepared)))
	for i := range c.Prepared {
		c.Prepared[i].encode(&w)
	}
	return w.B
}

// NewView starts a view: which q view-changes it rests on, and the slots
// that follow from them, proposed anew.
type NewView struct {
	View      View
	Changes   []ChangeRef // exactly q, ascending by Author
	Proposals []*Message  // pre-prepares of this view, ascending and contiguous
}

// ChangeRef names one view-change.
type ChangeRef struct {
	Author int
	Digest wire.Digest
}

func encodeNewView(view View, changes []ChangeRef, proposals []*wire.Frame) []byte {
	var w wire.Writer
	w.U64(uint64(view))
	w.U16(uint16(len(changes)))
	for _, c := range changes {
		w.U16(uint16(c.Author))
		w.Raw(c.Digest[:])
	}
	encodeFrames(&w, proposals)
	return w.B
}

func encodeStable(w *wire.Writer, s *Stable) {
	if s == nil {
		w.U16(0)
		return
	}
	encodeFrames(w, s.frames)
}

// decoder decodes the messages that contain frames.
type decoder struct{ cfg *Config }

// frame decodes one contained frame, which must be of the given kind.
func (d decoder) frame(r *wire.Reader, kind Kind) *Message {
	raw := r.Bytes(wire.MaxFrame)
	if r.Err() != nil {
		return nil
	}
	f, err := wire.Decode(raw)
	if err != nil || Kind(f.Kind) != kind {
		r.Fail()
		return nil
	}
	m, err := Decode(d.cfg, f)
	if err != nil {
		r.Fail()
		return nil
	}
	return m
}

// minFrame is the least size of a contained, signed vote with its length.
const minFrame = 4 + wire.SignedOverhead

// stable decodes a stable certificate; nil for an empty one.
func (d decoder) stable(r *wire.Reader) *Stable {
	n := r.Count(quorum.MaxN, minFrame)
	if n == 0 {
		return nil
	}
	if n != d.cfg.Size().Quorum() {
		r.Fail()
		return nil
	}
	s := &Stable{frames: make([]*wire.Frame, 0, n)}
	last := -1
	for range n {
		m := d.frame(r, KindCheckpoint)
		if m == nil {
			return nil
		}
		k := m.body.(*Checkpoint)
		if m.Author() <= last || len(s.frames) > 0 && *k != s.Checkpoint {
			r.Fail()
			return nil
		}
		last, s.Checkpoint = m.Author(), *k
		s.frames = append(s.frames, m.Frame)
	}
	return s
}

// prepared decodes a prepared certificate.
func (d decoder) prepared(r *wire.Reader) (p Prepared) {
	m := d.frame(r, KindPrePrepare)
	if m == nil {
		return p
	}
	p.Vote, p.proposal = *m.body.(*Vote), m.Frame
	n := r.Count(quorum.MaxN, minFrame)
	if n != d.cfg.Size().Quorum()-1 {
		r.Fail()
		return p
	}
	p.prepares = make([]*wire.Frame, 0, n)
	last := -1
	for range n {
		m := d.frame(r, KindPrepare)
		if m == nil {
			return p
		}
		if m.Author() <= last || *m.body.(*Vote) != p.Vote {
			r.Fail()
			return p
		}
		last = m.Author()
		p.prepares = append(p.prepares, m.Frame)
	}
	return p
}

func (d decoder) viewChange(r *wire.Reader) *ViewChange {
	c := &ViewChange{View: View(r.U64())}
	c.Stable = d.stable(r)
	n := r.Count(int(d.cfg.Params.Log), minFrame)
	low, last := c.Stable.seq(), c.Stable.seq()
	for range n {
		p := d.prepared(r)
		if r.Err() != nil {
			return c
		}
		if p.Seq <= last || p.Seq > low+d.cfg.Params.Log || p.View >= c.View {
			r.Fail()
			return c
		}
		last = p.Seq
		c.Prepared = append(c.Prepared, p)
	}
	if c.View == 0 || c.View > maxView {
		r.Fail()
	}
	return c
}

func (d decoder) newView(r *wire.Reader) *NewView {
	v := &NewView{View: View(r.U64())}
	n := r.Count(quorum.MaxN, 34)
	if n != d.cfg.Size().Quorum() || v.View == 0 || v.View > maxView {
		r.Fail()
		return v
	}
	last := -1
	for range n {
		ref := ChangeRef{Author: int(r.U16()), Digest: r.Digest()}
		if ref.Author <= last || ref.Author >= len(d.cfg.Members) {
			r.Fail()
			return v
		}
		last = ref.Author
		v.Changes = append(v.Changes, ref)
	}
	n = r.Count(int(d.cfg.Params.Log), minFrame)
	for i := range n {
		m := d.frame(r, KindPrePrepare)
		if m == nil {
			return v
		}
		p := m.body.(*Vote)
		if p.View != v.View || i > 0 && p.Seq != v.Proposals[i-1].body.(*Vote).Seq+1 {
			r.Fail()
			return v
		}
		v.Proposals = append(v.Proposals, m)
	}
	return v
}

// Status says where a replica stands, and answers or asks one that does not.
type Status struct {
	View     View
	Active   bool // the view's NewView is accepted
	Stable   Seq
	Executed Seq
	History  wire.Digest   // chain of batch digests at Executed
	Counter  uint64        // of the question; an answer repeats it
	Ask      bool          // an answer is wanted
	Base     Seq           // Claims[i] was executed at Base+1+i
	Claims   []wire.Digest // at most MaxClaims
}

func (s *Status) encode() []byte {
	var w wire.Writer
	w.U64(uint64(s.View))
	w.Bool(s.Active)
	w.U64(uint64(s.Stable))
	w.U64(uint64(s.Executed))
	w.Raw(s.History[:])
	w.U64(s.Counter)
	w.Bool(s.Ask)
	w.U64(uint64(s.Base))
	w.U16(uint16(len(s.Claims)))
	for _, d := range s.Claims {
		w.Raw(d[:])
	}
	return w.B
}

func decodeStatus(r *wire.Reader) *Status {
	s := &Status{View: View(r.U64()), Active: r.Bool(), Stable: Seq(r.U64()), Executed: Seq(r.U64()),
		History: r.Digest(), Counter: r.U64(), Ask: r.Bool(), Base: Seq(r.U64())}
	s.Claims = decodeDigests(r, MaxClaims)
	if s.View > maxView || max(s.Stable, s.Executed, s.Base) > maxSeq || len(s.Claims) > 0 && s.Base+Seq(len(s.Claims)) > s.Executed {
		r.Fail()
	}
	return s
}

// Fetch asks for frames by their digests: batches, requests, view-changes.
// Each is answered by the frame itself, which its digest authenticates.
type Fetch struct{ Digests []wire.Digest }

func (f *Fetch) encode() []byte {
	var w wire.Writer
	w.U16(uint16(len(f.Digests)))
	for _, d := range f.Digests {
		w.Raw(d[:])
	}
	return w.B
}

// Probe asks a replica for a Report, and for items of evidence that it holds.
type Probe struct {
	Nonce  uint64
	Wanted []wire.Digest // at most MaxWanted
}

// Report is what one replica says of itself and of the others.
type Report struct {
	Nonce    uint64
	View     View
	Active   bool
	Stable   Seq
	Executed Seq
	State    string        // "", or why it does not take part, at most 255 bytes
	Held     []EvidenceRef // all the evidence that it has, at most maxHeld
	Shown    []*Evidence   // of what was wanted as much as fits, at most MaxWanted and maxShown bytes
}

// Frame encodes the probe.
func (p *Probe) Frame(c *Config) *wire.Frame {
	var w wire.Writer
	w.U64(p.Nonce)
	w.U16(uint16(len(p.Wanted)))
	for _, d := range p.Wanted {
		w.Raw(d[:])
	}
	return wire.Encode(c.header(KindProbe, wire.NoAuthor), w.B)
}

// Frame encodes the report as replica author.
func (p *Report) Frame(c *Config, author int) *wire.Frame {
	var w wire.Writer
	w.U64(p.Nonce)
	w.U64(uint64(p.View))
	w.Bool(p.Active)
	w.U64(uint64(p.Stable))
	w.U64(uint64(p.Executed))
	w.Bytes([]byte(p.State))
	w.U16(uint16(len(p.Held)))
	for _, ref := range p.Held {
		w.Raw(ref.ID[:])
		w.U8(uint8(ref.Charge))
		w.U16(uint16(ref.Culprit))
	}
	w.U16(uint16(len(p.Shown)))
	for _, e := range p.Shown {
		w.Bytes(e.Encode())
	}
	return wire.Encode(c.header(KindReport, author), w.B)
}

func decodeReport(c *Config, r *wire.Reader) *Report {
	p := &Report{Nonce: r.U64(), View: View(r.U64()), Active: r.Bool(), Stable: Seq(r.U64()), Executed: Seq(r.U64())}
	p.State = string(r.Bytes(255))
	n := r.Count(maxHeld, 35)
	if n > 0 {
		p.Held = make([]EvidenceRef, 0, n)
	}
	for range n {
		ref := EvidenceRef{r.Digest(), Charge(r.U8()), int(r.U16())}
		if ref.Charge == 0 || ref.Charge >= chargeEnd || ref.Culprit >= len(c.Members) {
			r.Fail()
		}
		p.Held = append(p.Held, ref)
	}
	for range r.Count(MaxWanted, 4) {
		e, err := DecodeEvidence(r.Bytes(MaxEvidence))
		if err != nil {
			r.Fail()
			return p
		}
		p.Shown = append(p.Shown, e)
	}
	return p
}
