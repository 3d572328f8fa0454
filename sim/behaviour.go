package sim

import (
	"fmt"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Behaviours are the names that Behaviour knows.
func Behaviours() []string { return []string{"mute", "lie", "equivocate"} }

// Behaviour makes a replica Byzantine by standing between its host and its
// links: next is where an honest replica would send. The same wrappers serve
// the simulator and demonstrations. They hold one key, that of replica self.
//
//	mute        sends nothing
//	lie         false results in replies and answers to reads, false roots in checkpoints,
//	            false content and false states in answers to fetches; votes otherwise
//	equivocate  as primary two batches a slot to two halves, as backup
//	            different prepares to different replicas, all validly signed
//
// The error names an unknown behaviour.
func Behaviour(name string, cfg *pbft.Config, self int, signer auth.Signer, next host.Outbox) (host.Outbox, error) {
	a := adversary{cfg: cfg, self: self, signer: signer, next: next}
	switch name {
	case "mute":
		return mute{}, nil
	case "lie":
		return &liar{adversary: a}, nil
	case "equivocate":
		return &equivocator{adversary: a, other: map[wire.Digest]*wire.Frame{}}, nil
	}
	return nil, fmt.Errorf("no behaviour is called %q; there are mute, lie and equivocate", name)
}

// adversary is what all wrappers have.
type adversary struct {
	cfg    *pbft.Config
	self   int
	signer auth.Signer
	next   host.Outbox
}

// own reports whether f is of a kind and by this replica.
func (a *adversary) own(f *wire.Frame, kind pbft.Kind) bool {
	return pbft.Kind(f.Kind) == kind && int(f.Author) == a.self
}

// signed is f with another body, signed again.
func (a *adversary) signed(f *wire.Frame, body []byte) *wire.Frame {
	if f.Signature == nil {
		return wire.Encode(f.Header, body)
	}
	return wire.EncodeSigned(f.Header, body, a.signer.Sign)
}

// flipped is a copy of body with one byte changed.
func flipped(body []byte, at int) []byte {
	out := append([]byte(nil), body...)
	out[at] ^= 0x5a
	return out
}

// Offsets in the bodies of votes, checkpoints and batches.
const (
	voteView, voteSeq, voteDigest = 0, 8, 16
	checkpointRoot                = 16
	batchTime                     = 7
)

type mute struct{}

// ToReplica implements host.Outbox.
func (mute) ToReplica(int, *wire.Frame) {}

// ToClient implements host.Outbox.
func (mute) ToClient(auth.PublicKey, *wire.Frame) {}

type liar struct {
	adversary
	leads bool // the last vote was a pre-prepare: batches are its own proposals
}

// ToReplica implements host.Outbox.
func (a *liar) ToReplica(id int, f *wire.Frame) {
	switch kind := pbft.Kind(f.Kind); {
	case a.own(f, pbft.KindPrePrepare), a.own(f, pbft.KindPrepare):
		a.leads = kind == pbft.KindPrePrepare
	case a.own(f, pbft.KindCheckpoint):
		f = a.signed(f, flipped(f.Body, checkpointRoot))
	case kind == pbft.KindBatch && !a.leads:
		f = wire.Encode(f.Header, flipped(f.Body, batchTime))
	case a.own(f, pbft.KindStateBlob):
		f = wire.Encode(f.Header, flipped(f.Body, len(f.Body)-1))
	case kind == pbft.KindRequest: // its signature no longer fits
		f = wire.EncodeSigned(f.Header, flipped(f.Body, len(f.Body)-1), a.signer.Sign)
	}
	a.next.ToReplica(id, f)
}

// ToClient implements host.Outbox.
func (a *liar) ToClient(key auth.PublicKey, f *wire.Frame) {
	if m, err := pbft.Decode(a.cfg, f); err == nil {
		if p, ok := m.Reply(); ok && p.Status == pbft.Done {
			lie := *p
			lie.Digest[0] ^= 0x5a
			if p.Full && len(p.Result) > 0 {
				lie.Result = flipped(p.Result, len(p.Result)-1)
				lie.Digest = pbft.ResultDigest(lie.Result)
			}
			f = lie.Frame(a.cfg, a.self)
		} else if p, ok := m.ReadAnswer(); ok {
			for i := range p.Items {
				lieOf(&p.Items[i])
			}
			f = p.Frame(a.cfg, a.self)
		}
	}
	a.next.ToClient(key, f)
}

// lieOf puts a false result in the place of what was read.
func lieOf(x *pbft.ReadItem) {
	if x.Kind != pbft.ReadRows {
		return
	}
	x.Digest[0] ^= 0x5a
	if x.Full && len(x.Result) > 0 {
		x.Result = flipped(x.Result, len(x.Result)-1)
		x.Digest = pbft.ResultDigest(x.Result)
	}
}

type equivocator struct {
	adversary
	other map[wire.Digest]*wire.Frame // the second batch of a slot, by the first; at most maxOther
}

const maxOther = 1024

// half reports whether replica id is told the second story.
func (a *equivocator) half(id int) bool {
	n := len(a.cfg.Members)
	return 2*((id-a.self+n)%n) > n
}

// ToReplica implements host.Outbox.
func (a *equivocator) ToReplica(id int, f *wire.Frame) {
	switch {
	case pbft.Kind(f.Kind) == pbft.KindBatch && a.half(id):
		f = a.second(f)
	case a.own(f, pbft.KindPrePrepare) && a.half(id):
		if b := a.other[vote(f).Digest]; b != nil {
			d := b.Digest()
			f = a.signed(f, append(append([]byte(nil), f.Body[:voteDigest]...), d[:]...))
		}
	case a.own(f, pbft.KindPrepare) && a.half(id):
		f = a.signed(f, flipped(f.Body, voteDigest))
	}
	a.next.ToReplica(id, f)
}

// second is another batch of the same requests.
func (a *equivocator) second(f *wire.Frame) *wire.Frame {
	b := a.other[f.Digest()]
	if b == nil {
		if len(a.other) >= maxOther {
			clear(a.other)
		}
		b = wire.Encode(f.Header, flipped(f.Body, batchTime))
		a.other[f.Digest()] = b
	}
	return b
}

// ToClient implements host.Outbox.
func (a *equivocator) ToClient(key auth.PublicKey, f *wire.Frame) { a.next.ToClient(key, f) }
