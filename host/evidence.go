package host

import (
	"errors"

	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// accuse files evidence that is new and that its frames prove, or that this
// replica has seen on a link. It starts no sync: what is lost in a crash is made
// again, or somebody else has it.
func (h *Host) accuse(e *pbft.Evidence) {
	if e == nil || e.Culprit == h.o.Self || !h.book.Wants(e) {
		return
	}
	if err := h.opener.Verify(e); err != nil && !errors.Is(err, pbft.ErrWitnessed) {
		h.event(pbft.Event{Kind: pbft.EventIgnored, Reason: pbft.ReasonUnproven, Peer: e.Culprit, Of: pbft.Kind(e.Frames[0].Kind)})
		return
	}
	dropped := h.book.Add(e)
	view, seq := e.Place()
	h.event(pbft.Event{Kind: pbft.EventEvidence, Reason: e.Charge.Reason(), Peer: e.Culprit, View: view, Seq: seq, Digest: e.ID()})
	if h.o.Record != nil {
		h.o.Record(e, dropped)
	}
}

// blame finds out whom a frame accuses that did not decode or open: whoever
// signed it, and who sent it over its own link. A frame of a kind that is not
// known here may be of another version, and accuses nobody.
func (h *Host) blame(from int, f *wire.Frame, err error) {
	if errors.Is(err, pbft.ErrKind) {
		return
	}
	if kind := pbft.Kind(f.Kind); !errors.Is(err, pbft.ErrSignature) || kind == pbft.KindViewChange || kind == pbft.KindNewView {
		if e := h.opener.Accuse(f); e != nil {
			h.accuse(e)
			if e.Culprit == from {
				return
			}
		}
	}
	h.accuse(pbft.Junk(from, f))
}

// report is where the replica stands and what evidence it holds. p is what was
// asked.
func (h *Host) report(p *pbft.Probe) *pbft.Report {
	r := h.replica.Report(p.Nonce)
	h.book.Answer(p, r)
	return r
}
