package client

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// accusers is a group whose keys are known.
type accusers struct {
	cfg     *pbft.Config
	signers []auth.Signer
}

func newAccusers() *accusers {
	g := &accusers{cfg: &pbft.Config{Params: pbft.Defaults()}}
	for id := range 4 {
		s := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(id + 1)}, 32)))
		g.signers = append(g.signers, s)
		g.cfg.Members = append(g.cfg.Members, s.Public())
	}
	return g
}

// item is evidence of a message without a body, signed by signer.
func (g *accusers) item(culprit, signer, size int) *pbft.Evidence {
	h := wire.Header{Kind: uint8(pbft.KindViewChange), Cluster: g.cfg.Cluster, Author: uint16(culprit)}
	f := wire.EncodeSigned(h, make([]byte, size), g.signers[signer].Sign)
	return &pbft.Evidence{Charge: pbft.ChargeInvalid, Culprit: culprit, Frames: []*wire.Frame{f}}
}

func held(id int, refs ...pbft.EvidenceRef) Probe {
	return Probe{ID: id, Report: &pbft.Report{Held: refs}}
}

// TestGather: each item is listed once, with all that name it, and a name that
// two replicas give to different things is two.
func TestGather(t *testing.T) {
	g := newAccusers()
	a, b := g.item(2, 2, 1).Ref(), g.item(1, 1, 2).Ref()
	twisted := a
	twisted.Culprit = 0
	all := gather([]Probe{held(0, a), {ID: 1}, held(2, b, b), held(3, a, twisted)})
	if len(all) != 3 || all[0].EvidenceRef != twisted || all[1].EvidenceRef != b || all[2].EvidenceRef != a ||
		!slices.Equal(all[2].Seen, []int{0, 3}) || !slices.Equal(all[1].Seen, []int{2}) {
		t.Errorf("%+v", all)
	}
}

// TestNobodyMakesEvidenceUp: what a replica shows counts only if it was named,
// fits its id, holds, and is no more than a replica may keep.
func TestNobodyMakesEvidenceUp(t *testing.T) {
	g := newAccusers()
	good, false1 := g.item(2, 2, 1), g.item(1, 3, 1)
	opener := pbft.NewOpener(g.cfg, auth.Ed25519{})
	all := gather([]Probe{held(0, good.Ref(), false1.Ref()), held(3, good.Ref())})
	show := func(items ...*pbft.Evidence) int {
		return exhibit(all, opener, &pbft.Report{Shown: items}, pbft.MaxBook)
	}
	if show(false1) != pbft.MaxBook || show(g.item(2, 2, 3)) != pbft.MaxBook || show() != pbft.MaxBook || exhibit(all, opener, nil, 7) != 7 {
		t.Error("a replica that shows nothing of use is asked again")
	}
	for _, x := range all {
		if x.Item != nil || x.Proven() {
			t.Errorf("%v against %d is made up", x.Charge, x.Culprit)
		}
	}
	if exhibit(all, opener, &pbft.Report{Shown: []*pbft.Evidence{good}}, 10) != 10 || all[1].Item != nil {
		t.Error("a replica shows more than it may hold")
	}
	if used := show(false1, good); used <= 0 || used >= pbft.MaxBook || !all[1].Proven() || all[0].Proven() {
		t.Errorf("used %d, %+v", used, all)
	}
	if show(good) != pbft.MaxBook {
		t.Error("the same again is news")
	}
}
