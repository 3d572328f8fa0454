package pbft

import (
	"bytes"
	"errors"
	"slices"

	"github.com/tagma-db/tagma/wire"
)

// ErrWitnessed says that an item is of the class that convinces nobody but
// the replica that recorded it.
var ErrWitnessed = errors.New("witnessed, not signed: it convinces only the replica that saw it")

// unproven is why an item proves nothing.
type unproven string

func (u unproven) Error() string { return string(u) }

// Why a signed item proves nothing.
const (
	errNoMember  = unproven("it accuses a replica that the group does not have")
	errNotSigned = unproven("a frame is of a kind that replicas do not sign")
	errNotOwn    = unproven("a frame is not by the accused, or is of another cluster, group or epoch")
	errForged    = unproven("a signature does not verify")
	errFrames    = unproven("its frames are too many, too few, or of the wrong kinds")
	errSame      = unproven("the two frames say the same")
	errApart     = unproven("the two frames are of different views or slots: both may be signed")
	errAgrees    = unproven("the checkpoint is the one that the certificate certifies")
	errOtherSlot = unproven("the certificate is of another slot")
	errNoCert    = unproven("the certificate is not one of a quorum")
	errValid     = unproven("the message is valid")
	errOtherFrom = unproven("a view-change is not one that the new-view names, or is not valid")
	errFollows   = unproven("the new-view follows from its view-changes")
	errOtherBody = unproven("the batch is not the one of the pre-prepare, or a request is not one of the batch")
	errGoodBatch = unproven("nothing in the batch is shown to be invalid")
)

// Verify checks that no correct replica does what the item shows, from its
// bytes and the group's keys alone: nil if it is proven. The error is
// ErrWitnessed, or says why it is not proven. It assumes no more than f faulty
// replicas where an item rests on a certificate.
//
// What a correct replica may do, and so proves nothing: send a frame again
// unchanged, also after a restart; propose and prepare in each view anew what
// a new-view fixes; sign one checkpoint a slot, one view-change and one
// new-view a view, in each epoch and group (docs/protocol.md D2, D3, section 5).
func (o *Opener) Verify(e *Evidence) error {
	if e.Culprit < 0 || e.Culprit >= len(o.cfg.Members) {
		return errNoMember
	}
	if !e.Charge.Signed() {
		return ErrWitnessed
	}
	if len(e.Frames) < e.Charge.own() {
		return errFrames
	}
	for _, f := range e.Frames[:e.Charge.own()] {
		if err := o.signedBy(e.Culprit, f); err != nil {
			return err
		}
	}
	switch e.Charge {
	case ChargeEquivocation:
		return o.equivocated(e.Frames)
	case ChargeDiverged:
		return o.diverged(e.Frames)
	case ChargeInvalid:
		return o.invalid(e.Frames)
	case ChargeNewView:
		return o.badNewView(e.Frames)
	default:
		return o.badBatch(e.Frames)
	}
}

// signedBy checks that a frame is signed by a replica, in this group and epoch.
func (o *Opener) signedBy(author int, f *wire.Frame) error {
	kind := Kind(f.Kind)
	switch {
	case kind == 0 || kind >= kindEnd || !kind.signed() || kind.authorless():
		return errNotSigned
	case f.Header != o.cfg.header(kind, author):
		return errNotOwn
	case f.Signature == nil || !o.check(o.cfg.Members[author], f):
		return errForged
	}
	return nil
}

// exhibit decodes a frame and checks every signature in it.
func (o *Opener) exhibit(f *wire.Frame, kind Kind) (*Message, bool) {
	m, err := Decode(o.cfg, f)
	if err != nil || m.Kind() != kind || o.open(m) != nil {
		return nil, false
	}
	return m, true
}

// equivocated: two different bodies of one kind, view and slot. Only the bodies
// count, for who signs twice may have signed the same.
func (o *Opener) equivocated(frames []*wire.Frame) error {
	if len(frames) != 2 || frames[0].Kind != frames[1].Kind {
		return errFrames
	}
	if bytes.Equal(frames[0].Body, frames[1].Body) {
		return errSame
	}
	var bodies [2]any
	for i, f := range frames {
		m, err := Decode(o.cfg, f)
		if err != nil {
			return errFrames // by itself it may be a ChargeInvalid
		}
		bodies[i] = m.body
	}
	same := false
	switch a := bodies[0].(type) {
	case *Vote:
		b := bodies[1].(*Vote)
		same = a.View == b.View && a.Seq == b.Seq
	case *Checkpoint:
		same = a.Seq == bodies[1].(*Checkpoint).Seq
	case *ViewChange:
		same = a.View == bodies[1].(*ViewChange).View
	case *NewView:
		same = a.View == bodies[1].(*NewView).View
	}
	if !same {
		return errApart
	}
	return nil
}

// diverged: a quorum signed another state after the same slot.
func (o *Opener) diverged(frames []*wire.Frame) error {
	m, ok := o.exhibit(frames[0], KindCheckpoint)
	if !ok {
		return errFrames
	}
	var w wire.Writer
	encodeFrames(&w, frames[1:])
	r := wire.NewReader(w.B)
	s := decoder{o.cfg}.stable(&r)
	if r.Done() != nil || s == nil || !o.checkAll(s.frames) {
		return errNoCert
	}
	switch k := m.body.(*Checkpoint); {
	case k.Seq != s.Seq:
		return errOtherSlot
	case *k == s.Checkpoint:
		return errAgrees
	}
	return nil
}

// invalid: signed, and yet no message, or one around a false signature.
func (o *Opener) invalid(frames []*wire.Frame) error {
	if len(frames) != 1 {
		return errFrames
	}
	if _, ok := o.exhibit(frames[0], Kind(frames[0].Kind)); ok {
		return errValid
	}
	return nil
}

// badNewView: a correct primary names its own view-change among q of its view,
// each by its author, and proposes what follows from them.
func (o *Opener) badNewView(frames []*wire.Frame) error {
	m, ok := o.exhibit(frames[0], KindNewView)
	if !ok {
		return errFrames
	}
	v := m.body.(*NewView)
	if !v.names(m.Author()) && len(frames) == 1 {
		return nil
	}
	quoted := map[wire.Digest]*change{}
	for _, f := range frames[1:] {
		x, ok := o.exhibit(f, KindViewChange)
		if !ok {
			return errOtherFrom
		}
		quoted[f.Digest()] = &change{ViewChange: x.body.(*ViewChange), frame: f, author: x.Author()}
	}
	var used []*change
	for _, ref := range v.Changes {
		c := quoted[ref.Digest]
		if c == nil {
			continue
		}
		if c.author != ref.Author || c.View != v.View {
			return nil
		}
		used = append(used, c)
	}
	if len(used) < len(v.Changes) || len(frames)-1 > len(used) {
		return errOtherFrom
	}
	if _, picks := choose(used, v.View); v.follows(picks) {
		return errFollows
	}
	return nil
}

// badBatch: a pre-prepare whose batch is none, names a request that is none, or
// is larger than a batch may be.
func (o *Opener) badBatch(frames []*wire.Frame) error {
	m, ok := o.exhibit(frames[0], KindPrePrepare)
	if !ok || len(frames) < 2 {
		return errFrames
	}
	if m.body.(*Vote).Digest != frames[1].Digest() {
		return errOtherBody
	}
	x, ok := o.exhibit(frames[1], KindBatch)
	if !ok {
		if len(frames) > 2 {
			return errFrames
		}
		return nil
	}
	b, sizes := x.body.(*Batch), map[wire.Digest]int{}
	for _, f := range frames[2:] {
		if !slices.Contains(b.Requests, f.Digest()) {
			return errOtherBody
		}
		sizes[f.Digest()] = len(f.Raw())
	}
	total := 0
	for _, d := range b.Requests {
		total += sizes[d]
	}
	if len(frames) == 3 {
		if _, ok := o.exhibit(frames[2], KindRequest); !ok {
			return nil
		}
	}
	if total <= o.cfg.Params.BatchSize || len(b.Requests) < 2 {
		return errGoodBatch
	}
	return nil
}

// Accuse is evidence against whoever is to blame for a frame that did not
// decode or open: its author, if it signed it, else nobody.
func (o *Opener) Accuse(f *wire.Frame) *Evidence {
	e := &Evidence{ChargeInvalid, int(f.Author), []*wire.Frame{f}}
	if o.Verify(e) != nil {
		return nil
	}
	return e
}

// Junk is evidence of a frame that came over a replica's own link, and that no
// correct replica sends.
func Junk(from int, f *wire.Frame) *Evidence {
	return &Evidence{ChargeJunk, from, []*wire.Frame{f}}
}
