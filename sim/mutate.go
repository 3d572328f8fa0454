package sim

import (
	"encoding/binary"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// behaviour makes the outbox of a Byzantine node.
func (w *World) behaviour(n *node, next host.Outbox) (host.Outbox, error) {
	a := adversary{cfg: w.cfg, self: n.id, signer: w.signers[n.id], next: next}
	switch n.kind {
	case "mutate":
		return &mutator{adversary: a, w: w, rate: w.c.Scale(2, 64)}, nil
	case "replay":
		return &replayer{adversary: a, w: w, rate: w.c.Scale(2, 64)}, nil
	case "stale":
		return &stale{adversary: a, w: w, seen: map[string][]pbft.ReadItem{}}, nil
	}
	return Behaviour(n.kind, w.cfg, n.id, w.signers[n.id], next)
}

// mutator changes one in rate of its host's messages a little: ByzzFuzz's
// small scope. What it changes it signs again.
type mutator struct {
	adversary
	w     *World
	rate  int
	told  *wire.Frame // the frame that is being changed, the same for all
	story *wire.Frame // and what became of it
	old   []*wire.Frame
}

// oldFrames bounds what mutator and replayer remember.
const oldFrames = 64

func remember(w *World, old []*wire.Frame, f *wire.Frame) []*wire.Frame {
	if len(old) < oldFrames {
		return append(old, f)
	}
	old[w.c.Choose(oldFrames)] = f
	return old
}

// ToReplica implements host.Outbox.
func (a *mutator) ToReplica(id int, f *wire.Frame) {
	c := a.w.c
	a.old = remember(a.w, a.old, f)
	if c.Choose(a.rate) > 0 {
		a.next.ToReplica(id, f)
		return
	}
	switch c.Choose(7) {
	case 0: // dropped
	case 1:
		a.next.ToReplica(id, f)
		a.next.ToReplica(id, f)
	case 2:
		a.next.ToReplica(id, a.old[c.Choose(len(a.old))])
	case 3: // the same lie to all that are told one
		if a.told != f {
			a.told, a.story = f, a.change(f)
		}
		a.next.ToReplica(id, a.story)
	case 4:
		a.next.ToReplica(id, a.fable(f))
	default:
		a.next.ToReplica(id, a.change(f))
	}
}

// fable is a NewView of a view far ahead, whose view-changes nobody sent.
func (a *mutator) fable(f *wire.Frame) *wire.Frame {
	c, n := a.w.c, len(a.cfg.Members)
	var w wire.Writer
	v := pbft.View(c.Choose(40))
	for a.cfg.Primary(v) != a.self || v == 0 {
		v++
	}
	w.U64(uint64(v))
	q := a.cfg.Size().Quorum()
	w.U16(uint16(q))
	for i := range q {
		w.U16(uint16(i + n - q))
		d := f.Digest()
		d[0] = byte(i)
		w.Raw(d[:])
	}
	w.U16(0)
	h := f.Header
	h.Kind, h.Author = uint8(pbft.KindNewView), uint16(a.self)
	return wire.EncodeSigned(h, w.B, a.signer.Sign)
}

// ToClient implements host.Outbox.
func (a *mutator) ToClient(key auth.PublicKey, f *wire.Frame) {
	if a.w.c.Choose(a.rate) == 0 {
		f = wire.Encode(f.Header, flipped(f.Body, a.w.c.Choose(len(f.Body))))
	}
	a.next.ToClient(key, f)
}

// change makes another message of f. Where that makes no sense, or f is not
// one's own, it stays.
func (a *mutator) change(f *wire.Frame) *wire.Frame {
	c := a.w.c
	if int(f.Author) != a.self {
		return f
	}
	body := append([]byte(nil), f.Body...)
	switch pbft.Kind(f.Kind) {
	case pbft.KindPrePrepare, pbft.KindPrepare, pbft.KindCommit:
		switch c.Choose(3) {
		case 0:
			shift(body[voteView:], c)
		case 1:
			shift(body[voteSeq:], c)
		default:
			a.digest(body[voteDigest:])
		}
	case pbft.KindCheckpoint:
		if c.Choose(2) == 0 {
			shift(body, c)
		} else {
			a.digest(body[checkpointRoot : checkpointRoot+32])
		}
	case pbft.KindViewChange:
		if c.Choose(2) == 0 {
			shift(body, c)
		} else {
			body = forget(body, c)
		}
	case pbft.KindNewView:
		body = a.renew(body)
	case pbft.KindStatus:
		if len(body) > 100 && c.Choose(2) == 0 { // the null batch was executed last
			clear(body[len(body)-32:])
			break
		}
		body[c.Choose(len(body))] ^= byte(1 << c.Choose(8))
	default:
		return f
	}
	return a.signed(f, body)
}

// shift adds or takes one from the number at the start of b.
func shift(b []byte, c *Chooser) {
	v := binary.BigEndian.Uint64(b)
	if c.Choose(2) == 0 {
		v++
	} else {
		v--
	}
	binary.BigEndian.PutUint64(b, v)
}

// digest puts another digest into b: none, a wrong one, or that of a batch.
func (a *mutator) digest(b []byte) {
	c := a.w.c
	switch c.Choose(3) {
	case 0:
		clear(b)
	case 1:
		b[c.Choose(len(b))] ^= 0x5a
	default:
		for _, f := range a.old {
			if pbft.Kind(f.Kind) == pbft.KindBatch || a.own(f, pbft.KindPrePrepare) {
				d := f.Digest()
				if a.own(f, pbft.KindPrePrepare) {
					d = vote(f).Digest
				}
				copy(b, d[:])
			}
		}
	}
}

// forget takes one prepared certificate out of a view-change.
func forget(body []byte, c *Chooser) []byte {
	r := wire.NewReader(body)
	r.U64()
	for range r.U16() {
		r.Bytes(wire.MaxFrame)
	}
	head := len(body) - r.Left()
	n := int(r.U16())
	if n == 0 {
		return body
	}
	gone := c.Choose(n)
	w := wire.Writer{B: append([]byte(nil), body[:head]...)}
	w.U16(uint16(n - 1))
	for i := range n {
		from := len(body) - r.Left()
		r.Bytes(wire.MaxFrame)
		for range r.U16() {
			r.Bytes(wire.MaxFrame)
		}
		if i != gone {
			w.Raw(body[from : len(body)-r.Left()])
		}
	}
	return w.B
}

// renew changes one proposal of a NewView, or takes the last away.
func (a *mutator) renew(body []byte) []byte {
	c := a.w.c
	r := wire.NewReader(body)
	r.U64()
	r.Raw(34 * int(r.U16()))
	head := len(body) - r.Left()
	n := int(r.U16())
	if n == 0 {
		return body
	}
	w := wire.Writer{B: append([]byte(nil), body[:head]...)}
	drop, other := c.Choose(3) == 0, c.Choose(n)
	if drop {
		w.U16(uint16(n - 1))
	} else {
		w.U16(uint16(n))
	}
	for i := range n {
		raw := r.Bytes(wire.MaxFrame)
		if drop && i == n-1 {
			break
		}
		if f, err := wire.Decode(raw); err == nil && i == other && !drop {
			b := append([]byte(nil), f.Body...)
			a.digest(b[voteDigest:])
			raw = a.signed(f, b).Raw()
		}
		w.Bytes(raw)
	}
	return w.B
}

// replayer behaves, but sends old messages again, to anyone.
type replayer struct {
	adversary
	w    *World
	rate int
	old  []*wire.Frame
}

// ToReplica implements host.Outbox.
func (a *replayer) ToReplica(id int, f *wire.Frame) {
	c := a.w.c
	a.old = remember(a.w, a.old, f)
	a.next.ToReplica(id, f)
	if c.Choose(a.rate) == 0 {
		for range 1 + c.Choose(4) {
			a.next.ToReplica(c.Choose(len(a.cfg.Members)), a.old[c.Choose(len(a.old))])
		}
	}
}

// ToClient implements host.Outbox.
func (a *replayer) ToClient(key auth.PublicKey, f *wire.Frame) {
	a.next.ToClient(key, f)
	if a.w.c.Choose(a.rate) == 0 {
		a.next.ToClient(key, f)
	}
}
