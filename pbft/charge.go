package pbft

import (
	"crypto/sha256"

	"github.com/tagma-db/tagma/wire"
)

// Charge says what a replica is accused of. Its numbers stand in files.
type Charge uint8

// Charges. All but ChargeJunk are signed: they convince whoever knows the
// group's keys. ChargeJunk is witnessed: its accused is known from the link
// alone, so it convinces nobody but the witness.
const (
	ChargeEquivocation Charge = iota + 1 // two messages of which a correct replica signs one
	ChargeDiverged                       // a checkpoint against the stable certificate of its slot
	ChargeInvalid                        // a signed message with an invalid body, or certificate in it
	ChargeNewView                        // a new-view that does not follow from its view-changes
	ChargeBatch                          // a pre-prepare of an invalid batch
	ChargeJunk                           // a frame that no correct replica sends
	chargeEnd
)

var chargeNames = [chargeEnd]string{"unknown", "equivocation", "diverged checkpoint", "invalid message",
	"invalid new-view", "invalid batch", "junk"}

// String is the charge's name.
func (c Charge) String() string {
	if c >= chargeEnd {
		return chargeNames[0]
	}
	return chargeNames[c]
}

// Signed reports whether evidence of this charge can convince a third party.
func (c Charge) Signed() bool { return c > 0 && c < ChargeJunk }

// chargeReasons are what events say.
var chargeReasons = [chargeEnd]Reason{ReasonNone, ReasonEquivocation, ReasonDiverged, ReasonSignature,
	ReasonBadNewView, ReasonBadBatch, ReasonSignature}

// Reason is the charge as events name it.
func (c Charge) Reason() Reason { return chargeReasons[c] }

// own is how many of the frames, from the first, the accused signed or sent.
func (c Charge) own() int {
	if c == ChargeEquivocation {
		return 2
	}
	return 1
}

// Evidence is one item: who is accused of what, and the frames that show it.
// Equal misdeeds make equal items at every observer.
//
//	ChargeEquivocation  the two frames, ascending by digest
//	ChargeDiverged      the checkpoint; q others that agree, ascending by author
//	ChargeInvalid       the message
//	ChargeNewView       the new-view; nothing else if it leaves out its author's
//	                    view-change, or the one that it misquotes, or all q
//	ChargeBatch         the pre-prepare; its batch; the request that is invalid,
//	                    or requests that are too large together
//	ChargeJunk          the frame
type Evidence struct {
	Charge  Charge
	Culprit int
	Frames  []*wire.Frame // at most maxExhibits
}

// Bounds of one item.
const (
	MaxEvidence = 2 << 20      // bytes of its encoding
	maxJunk     = 64 << 10     // bytes of a ChargeJunk
	maxExhibits = MaxBatch + 2 // frames
)

// evidenceMagic begins the encoding of an item.
var evidenceMagic = [4]byte{'T', 'G', 'E', 1}

// equivocation is evidence of two frames of one author, in either order.
func equivocation(culprit int, a, b *wire.Frame) *Evidence {
	x, y := a.Digest(), b.Digest()
	if string(x[:]) > string(y[:]) {
		a, b = b, a
	}
	return &Evidence{ChargeEquivocation, culprit, []*wire.Frame{a, b}}
}

// ID names the item. It covers what the accused itself signed or sent, and not
// what shows it to be wrong: that can differ between observers.
func (e *Evidence) ID() wire.Digest {
	var w wire.Writer
	w.Raw(evidenceMagic[:])
	w.U8(uint8(e.Charge))
	w.U16(uint16(e.Culprit))
	for _, f := range e.Frames[:e.Charge.own()] {
		d := f.Digest()
		w.Raw(d[:])
	}
	return sha256.Sum256(w.B)
}

// Ref is the item without its frames.
func (e *Evidence) Ref() EvidenceRef { return EvidenceRef{e.ID(), e.Charge, e.Culprit} }

// EvidenceRef names an item of evidence that a replica holds.
type EvidenceRef struct {
	ID      wire.Digest
	Charge  Charge
	Culprit int
}

// Place is the view and the slot that the accused's first frame speaks of, as
// far as its kind names them.
func (e *Evidence) Place() (view View, seq Seq) {
	f := e.Frames[0]
	r := wire.NewReader(f.Body)
	switch Kind(f.Kind) {
	case KindPrePrepare, KindPrepare, KindCommit:
		return View(r.U64()), Seq(r.U64())
	case KindViewChange, KindNewView:
		return View(r.U64()), 0
	case KindCheckpoint:
		return 0, Seq(r.U64())
	}
	return 0, 0
}

// Encode is the one byte form of the item: in reports and in files.
//
//	magic 4 | charge 1 | accused 2 | frames 2 + (4 + n) each
func (e *Evidence) Encode() []byte {
	w := wire.Writer{B: make([]byte, 0, e.size())}
	w.Raw(evidenceMagic[:])
	w.U8(uint8(e.Charge))
	w.U16(uint16(e.Culprit))
	encodeFrames(&w, e.Frames)
	return w.B
}

// size is the length of the encoding, in bytes.
func (e *Evidence) size() int {
	n := len(evidenceMagic) + 1 + 2 + 2
	for _, f := range e.Frames {
		n += 4 + len(f.Raw())
	}
	return n
}

// DecodeEvidence reads an item, which keeps b. It checks the form alone:
// Verify says whether the item proves anything. The error is wire.ErrMalformed.
func DecodeEvidence(b []byte) (*Evidence, error) {
	if len(b) > MaxEvidence {
		return nil, wire.ErrMalformed
	}
	r := wire.NewReader(b)
	if string(r.Raw(len(evidenceMagic))) != string(evidenceMagic[:]) {
		return nil, wire.ErrMalformed
	}
	e := &Evidence{Charge: Charge(r.U8()), Culprit: int(r.U16())}
	if e.Charge == 0 || e.Charge >= chargeEnd {
		return nil, wire.ErrMalformed
	}
	for range r.Count(maxExhibits, 4+wire.Overhead) {
		f, err := wire.Decode(r.Bytes(wire.MaxFrame))
		if err != nil {
			return nil, err
		}
		e.Frames = append(e.Frames, f)
	}
	if len(e.Frames) < e.Charge.own() {
		r.Fail()
	} else if e.Charge == ChargeEquivocation {
		x, y := e.Frames[0].Digest(), e.Frames[1].Digest()
		if string(x[:]) >= string(y[:]) {
			r.Fail()
		}
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	return e, nil
}
