package sim

import (
	"bytes"
	"strconv"

	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// court holds evidence against the run (I6). What replicas record must be
// proven, and true; a prosecutor makes every charge that it can think of out of
// what correct replicas send, and none may be proven; and whoever told two
// correct replicas two stories must be on record. Its size is bounded by the
// run's.
type court struct {
	w        *World
	opener   *pbft.Opener
	changes  map[wire.Digest]*wire.Frame // view-changes that anyone sent
	contents map[wire.Digest]*wire.Frame // batches and requests
	last     map[ballot]*wire.Frame      // of correct replicas, the newest of each kind: seq and view are 0
	roots    map[pbft.Seq][]*wire.Frame  // their checkpoints by slot, each author once
	cert     []*wire.Frame               // the newest q of them of one slot
	told     map[ballot]telling          // of Byzantine authors: what a correct replica heard first
	twofold  []bool                      // by replica: two correct ones heard different votes of it
	recorded []bool                      // by replica: a correct one has signed evidence against it
}

// telling is a vote as one replica heard it.
type telling struct {
	to   int
	body []byte
}

func newCourt(w *World) court {
	return court{w: w, opener: pbft.NewOpener(w.cfg, w.verifier), changes: map[wire.Digest]*wire.Frame{},
		contents: map[wire.Digest]*wire.Frame{}, last: map[ballot]*wire.Frame{}, roots: map[pbft.Seq][]*wire.Frame{},
		told: map[ballot]telling{}, twofold: make([]bool, w.plan.n), recorded: make([]bool, w.plan.n)}
}

// record judges an item that a replica, correct or not, has recorded. The word
// of a Byzantine one counts for nothing, its frames do.
func (c *court) record(n *node, e *pbft.Evidence) {
	err := c.opener.Verify(e)
	if n.correct() && err != nil && e.Charge.Signed() {
		c.w.violate(n, "I6", "recorded evidence of "+e.Charge.String()+" that does not hold: "+err.Error())
	}
	if c.w.nodes[e.Culprit].correct() && (n.correct() || err == nil) {
		c.w.violate(n, "I6", "accuses the correct replica "+strconv.Itoa(e.Culprit)+" of "+e.Charge.String())
	}
	if again, err := pbft.DecodeEvidence(e.Encode()); err != nil || again.ID() != e.ID() {
		c.w.violate(n, "I6", "evidence of "+e.Charge.String()+" does not survive its encoding")
	}
	if n.correct() && e.Charge.Signed() {
		c.recorded[e.Culprit] = true
	}
}

// noted keeps what anyone sends and what charges are made of.
func (c *court) noted(f *wire.Frame) {
	switch pbft.Kind(f.Kind) {
	case pbft.KindViewChange:
		c.changes[f.Digest()] = f
	case pbft.KindBatch, pbft.KindRequest:
		c.contents[f.Digest()] = f
	}
}

// heard notes a vote that reaches a correct replica.
func (c *court) heard(n *node, f *wire.Frame) {
	kind, author := pbft.Kind(f.Kind), int(f.Author)
	if !n.correct() || kind != pbft.KindPrePrepare && kind != pbft.KindPrepare || author >= len(c.twofold) || c.w.nodes[author].correct() {
		return
	}
	m, err := pbft.Decode(c.w.cfg, f)
	if err != nil {
		return
	}
	if _, err := c.opener.Open(m); err != nil {
		return
	}
	v, _ := m.Vote()
	b := ballot{f.Author, kind, v.View, v.Seq}
	have, ok := c.told[b]
	if !ok {
		c.told[b] = telling{n.id, f.Body}
	} else if have.to != n.id && !bytes.Equal(have.body, f.Body) {
		c.twofold[author] = true
	}
}

// prosecute makes charges out of a frame that a correct replica sends.
func (c *court) prosecute(f *wire.Frame) {
	kind := pbft.Kind(f.Kind)
	b := ballot{author: f.Author, kind: kind}
	if have := c.last[b]; have != nil {
		c.charge(pbft.ChargeEquivocation, have, f)
	}
	c.last[b] = f
	c.charge(pbft.ChargeEquivocation, f, f)
	c.charge(pbft.ChargeInvalid, f)
	switch kind {
	case pbft.KindPrePrepare:
		c.chargeBatch(f)
	case pbft.KindCheckpoint:
		c.chargeCheckpoint(f)
	case pbft.KindNewView:
		c.chargeNewView(f)
	}
}

// charge accuses the author of the first frame, in vain.
func (c *court) charge(of pbft.Charge, frames ...*wire.Frame) {
	e := &pbft.Evidence{Charge: of, Culprit: int(frames[0].Author), Frames: frames}
	if c.opener.Verify(e) == nil {
		c.w.violate(c.w.nodes[e.Culprit], "I6", "what a correct replica signed convicts it of "+of.String())
	}
}

func (c *court) chargeBatch(f *wire.Frame) {
	batch := c.contents[vote(f).Digest]
	if batch == nil {
		return // the null batch, or one from before
	}
	c.charge(pbft.ChargeBatch, f, batch)
	m, err := pbft.Decode(c.w.cfg, batch)
	if err != nil {
		return
	}
	all := []*wire.Frame{f, batch}
	b, _ := m.Batch()
	for _, d := range b.Requests {
		if q := c.contents[d]; q != nil {
			c.charge(pbft.ChargeBatch, f, batch, q)
			all = append(all, q)
		}
	}
	c.charge(pbft.ChargeBatch, all...)
}

// chargeCheckpoint holds a checkpoint against the certificate of its own slot
// and of another.
func (c *court) chargeCheckpoint(f *wire.Frame) {
	r := wire.NewReader(f.Body)
	seq := pbft.Seq(r.U64())
	list, at := c.roots[seq], 0
	for at < len(list) && list[at].Author < f.Author {
		at++
	}
	if at == len(list) || list[at].Author != f.Author {
		list = append(list[:at:at], append([]*wire.Frame{f}, list[at:]...)...)
		c.roots[seq] = list
	}
	if q := c.w.cfg.Size().Quorum(); len(list) >= q {
		c.cert = list[:q]
	}
	if c.cert != nil {
		c.charge(pbft.ChargeDiverged, append([]*wire.Frame{f}, c.cert...)...)
	}
	for id := range c.w.cfg.Members {
		if other := c.last[ballot{author: uint16(id), kind: pbft.KindCheckpoint}]; other != nil && c.cert != nil {
			c.charge(pbft.ChargeDiverged, append([]*wire.Frame{other}, c.cert...)...)
		}
	}
}

// chargeNewView holds a new-view against each view-change that it names, and
// against all.
func (c *court) chargeNewView(f *wire.Frame) {
	c.charge(pbft.ChargeNewView, f)
	r := wire.NewReader(f.Body)
	r.U64()
	all := []*wire.Frame{f}
	for range r.U16() {
		r.U16()
		if x := c.changes[r.Digest()]; x != nil {
			c.charge(pbft.ChargeNewView, f, x)
			all = append(all, x)
		}
	}
	c.charge(pbft.ChargeNewView, all...)
}

// close asks for those who told two stories. Votes that come too late to matter
// are compared by nobody; where no message is lost, equivocators have none.
func (c *court) close() {
	for id, twice := range c.twofold {
		switch {
		case !twice:
		case c.recorded[id]:
			c.w.mark("two stories, on record")
		default:
			c.w.mark("two stories, not on record")
			if c.w.o.Calm && c.w.nodes[id].kind == "equivocate" {
				c.w.violate(c.w.nodes[id], "I6", "told two correct replicas two stories, and nobody recorded it")
			}
		}
	}
}
