package pbft

import (
	"testing"

	"github.com/tagma-db/tagma/wire"
)

func (w *world) replica(id int, p *Params) *Replica {
	if p != nil {
		w.cfg.Params = *p
	}
	r := newReplica(Options{Config: w.cfg, Self: id, Signer: w.signers[id], Judge: anyone{}, Counter: 1})
	r.joining = false
	return r
}

func (w *world) msg(t *testing.T, f *wire.Frame) Verified {
	t.Helper()
	m, err := Decode(w.cfg, f)
	if err != nil {
		t.Fatal(err)
	}
	return Verified{m}
}

// a null certificate of view 4 must win over a certificate of view 3.
func TestNullBatchOfAHigherViewWins(t *testing.T) {
	w := newWorld(4)
	x := wire.Digest{0xee}
	null4 := w.prepared(Vote{View: 4, Seq: 1})           // null batch, prepared (and maybe committed) in view 4
	old3 := w.prepared(Vote{View: 3, Seq: 1, Digest: x}) // of a replica that was cut off since view 3
	ch := func(id int, p Prepared) *change {
		return &change{ViewChange: &ViewChange{View: 5, Prepared: []Prepared{p}}, author: id}
	}
	_, picks := choose([]*change{ch(0, null4), ch(1, null4), ch(3, old3)}, 5)
	if picks[0].Digest != (wire.Digest{}) {
		t.Fatalf("I1: view 5 re-proposes %v of view 3 although the null batch is prepared in view 4", picks[0].Digest)
	}
}

// TestNewViewTakesTheHighestCertificate: X was prepared in view 1 by one
// replica, Y in view 2 by a quorum and perhaps committed; in whatever order
// the view-changes stand, view 3 must carry on with Y.
func TestNewViewTakesTheHighestCertificate(t *testing.T) {
	w := newWorld(4)
	x, y := wire.Digest{1}, wire.Digest{2}
	all := []Prepared{w.prepared(Vote{View: 1, Seq: 1, Digest: x}), w.prepared(Vote{View: 2, Seq: 1, Digest: y}), w.prepared(Vote{View: 2, Seq: 1, Digest: y})}
	for turn := range all {
		var changes []*change
		for id := range all {
			changes = append(changes, &change{ViewChange: &ViewChange{View: 3, Prepared: []Prepared{all[(id+turn)%len(all)]}}, author: id})
		}
		if _, picks := choose(changes, 3); len(picks) != 1 || picks[0].Digest != y {
			t.Fatalf("I1: view 3 carries on with %v of view 1, though view 2 prepared %v", picks, y)
		}
	}
}

// replica 3, Byzantine, alone, drives a correct replica out of its view.
func TestNewViewOfALaterViewDeposesNobody(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	// Its own view-change for view 2: any frame that the victim holds will do.
	vc := w.signed(KindViewChange, 3, (&ViewChange{View: 2}).encode())
	r.Step(Clock{Now: 1, Wall: 1}, &e)
	r.Step(Received{3, w.msg(t, vc)}, &e)
	if r.view != 0 || !r.active {
		t.Fatal("setup")
	}
	v := View(1<<32 - 5)
	for w.cfg.Primary(v) != 3 {
		v++
	}
	refs := []ChangeRef{{0, wire.Digest{1}}, {1, wire.Digest{2}}, {3, vc.Digest()}}
	nv := w.signed(KindNewView, 3, encodeNewView(v, refs, nil))
	m := w.msg(t, nv)
	if !r.Wants(3, m.Message) {
		t.Fatal("not wanted")
	}
	r.Step(Received{3, m}, &e)
	if r.view != 0 || !r.active {
		t.Fatalf("I9: one Byzantine replica moved a correct one from view 0 to view %d, active %v; records %d", r.view, r.active, len(e.Records))
	}
}

// a primary's pre-prepares of an unsynced NewView leave.
func TestUnsyncedNewViewDoesNotLeak(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil) // primary of view 1
	x := wire.Digest{}
	var e Effects
	r.Step(Clock{Now: 1, Wall: 1}, &e)
	_ = x
	// view-changes of 2 and 3; 2's has slot 2 prepared as null? use slot 1,2 with null cert of view 0 impossible for a correct one: use real digest
	b := &Batch{Time: 1}
	bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
	r.store.addBatch(bf, b)
	cert := w.prepared(Vote{View: 0, Seq: 1, Digest: bf.Digest()})
	r.Step(Received{2, w.msg(t, w.signed(KindViewChange, 2, (&ViewChange{View: 1, Prepared: []Prepared{cert}}).encode()))}, &e)
	r.Step(Received{3, w.msg(t, w.signed(KindViewChange, 3, (&ViewChange{View: 1}).encode()))}, &e)
	e.Reset()
	if r.view != 1 {
		t.Fatal("setup: not joined")
	}
	r.tryNewViewForTest(&e)
	if !r.active || r.synced >= r.votable {
		t.Fatalf("setup: active %v synced %d votable %d", r.active, r.synced, r.votable)
	}
	for _, s := range e.Eager {
		if Kind(s.Frame.Kind) == KindPrePrepare {
			t.Fatal("left early already")
		}
	}
	e.Reset()
	bad := w.signed(KindPrepare, 3, Vote{View: 1, Seq: 1, Digest: wire.Digest{9}}.encode())
	r.Step(Received{3, w.msg(t, bad)}, &e)
	for _, s := range e.Eager {
		if Kind(s.Frame.Kind) == KindPrePrepare && int(s.Frame.Author) == 1 {
			t.Fatalf("I6: own pre-prepare of view 1 left although NewView(1) is not durable (synced %d < votable %d)", r.synced, r.votable)
		}
	}
}

func (r *Replica) tryNewViewForTest(e *Effects) {
	r.eff = e
	r.tryNewView()
	r.eff = nil
}

// a cut loses D of unsynced votes of a view that was left, memory does not.
func TestCutKeepsD(t *testing.T) {
	w := newWorld(4)
	r := w.replica(2, nil)
	var e Effects
	r.Step(Clock{Now: 1, Wall: 1}, &e)
	b := &Batch{Time: 1}
	bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
	r.Step(Received{0, w.msg(t, bf)}, &e)
	r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, Vote{View: 0, Seq: 32, Digest: bf.Digest()}.encode()))}, &e)
	if s := r.peek(32); s == nil || !s.voted {
		t.Fatal("setup: no vote")
	}
	// two others leave view 0: joined before any sync
	r.Step(Received{1, w.msg(t, w.signed(KindViewChange, 1, (&ViewChange{View: 1}).encode()))}, &e)
	r.Step(Received{3, w.msg(t, w.signed(KindViewChange, 3, (&ViewChange{View: 1}).encode()))}, &e)
	if r.view != 1 {
		t.Fatal("setup: view")
	}
	var carry Effects
	r.Carry(0, &carry) // the flush is over: the log is cut
	r.Step(Synced{r.appended}, &e)
	s := Restore{Config: w.cfg}
	for _, rec := range carry.Records {
		if err := s.Record(rec); err != nil {
			t.Fatal(err)
		}
	}
	if s.mark < r.mark {
		t.Fatalf("I6: D in memory is %d (votes up to %d are allowed), D of the log %d (abstains up to %d)", r.mark, r.mark+r.p.Window, s.mark, s.mark+r.p.Window)
	}
}

// a report does not fit into a frame.
func TestReportFitsAFrame(t *testing.T) {
	w := newWorld(7)
	r := w.replica(0, nil)
	var e Effects
	r.Step(Clock{Now: 1, Wall: 1}, &e)
	build := func(author int, view View, salt byte, own wire.Digest) *wire.Frame {
		var props []*wire.Frame
		for i := range int(w.cfg.Params.Log) {
			props = append(props, w.signed(KindPrePrepare, author, Vote{View: view, Seq: Seq(i + 1), Digest: wire.Digest{salt}}.encode()))
		}
		var refs []ChangeRef
		for i := 7 - w.cfg.Size().Quorum(); i < 7; i++ {
			ref := ChangeRef{i, wire.Digest{salt, byte(i)}}
			if i == author && !own.IsZero() {
				ref.Digest = own
			}
			refs = append(refs, ref)
		}
		return w.signed(KindNewView, author, encodeNewView(view, refs, props))
	}
	give := func(p int, f *wire.Frame) {
		m := w.msg(t, f)
		r.Step(Received{p, m}, &e)
	}
	for _, p := range []int{5, 6} { // two Byzantine replicas, f = 2
		v := r.view + 1
		for w.cfg.Primary(v) != p {
			v++
		}
		give(p, build(p, v, 1, wire.Digest{}))
		give(p, build(p, v, 2, wire.Digest{}))
		vc := w.signed(KindViewChange, p, (&ViewChange{View: v + 3}).encode())
		give(p, vc)
		r.wantedNew = nil
		give(p, build(p, v, 3, vc.Digest()))
	}
	size, book, probe := 0, NewBook(w.cfg), &Probe{Nonce: 1}
	for _, x := range e.Accused {
		size += x.size()
		book.Add(x)
		probe.Wanted = append(probe.Wanted, x.ID())
		t.Logf("culprit %d %v", x.Culprit, x.Charge)
	}
	t.Logf("evidence %d bytes, MaxFrame %d", size, wire.MaxFrame)
	defer func() {
		if x := recover(); x != nil {
			t.Fatalf("a probe crashes a correct replica: %v", x)
		}
	}()
	report := r.Report(1)
	book.Answer(probe, report)
	report.Frame(w.cfg, 0)
}

// a view-change of a group of 64.
func TestViewChangeOf64FitsAFrame(t *testing.T) {
	for _, n := range []int{31, 40, 64} {
		w := newWorld(n)
		c := &ViewChange{View: 1, Stable: nil}
		p := w.prepared(Vote{View: 0, Seq: 1, Digest: wire.Digest{1}})
		for seq := 1; seq <= int(w.cfg.Params.Log); seq++ {
			p.Seq = Seq(seq)
			c.Prepared = append(c.Prepared, p)
		}
		t.Logf("n %d: q %d, view-change body %d bytes of %d", n, w.cfg.Size().Quorum(), len(c.encode()), wire.MaxFrame)
	}
}

// a batch that is only in the archive is forgotten while a certificate names it.
func TestArchiveKeepsWhatACertificateNames(t *testing.T) {
	w := newWorld(4)
	p := w.cfg.Params
	r := w.replica(1, &p)
	var e Effects
	r.eff = &e
	old := &Batch{Time: 1}
	of := w.plain(KindBatch, wire.NoAuthor, old.encode())
	r.store.addBatch(of, old)
	r.deliver(1, of.Digest(), r.store.batch(of.Digest()))
	last := 16*p.Log + p.Interval // 8448
	for seq := Seq(2); seq <= last; seq++ {
		if seq%p.Interval == 1 {
			r.adopt(w.stable(seq - 1))
		}
		r.deliver(seq, wire.Digest{}, r.store.null)
	}
	r.eff = nil
	r.mark = last
	if r.store.find(of.Digest()) == nil {
		t.Fatal("setup: dropped already")
	}
	// The faulty primary orders the batch of slot 1 once more, in slot last+2; it is prepared here.
	v := Vote{View: 0, Seq: last + 2, Digest: of.Digest()}
	r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))}, &e)
	r.Step(Received{2, w.msg(t, w.signed(KindPrepare, 2, v.encode()))}, &e)
	if s := r.peek(last + 2); s == nil || !s.certain {
		t.Fatal("setup: not prepared")
	}
	// The checkpoint at last becomes stable.
	for id := range 3 {
		id = []int{0, 2, 3}[id]
		k := w.signed(KindCheckpoint, id, w.stable(last).Checkpoint.encode())
		r.Step(Received{id, w.msg(t, k)}, &e)
	}
	if r.low != last {
		t.Fatal("setup: low", r.low)
	}
	r.eff = &e
	if r.content(of.Digest(), 0) == nil {
		t.Fatal("I9: the batch of a prepared certificate above the low watermark is forgotten (everywhere): slot 8450 never executes, no view-change with its certificate is complete")
	}
}

// a primary that lags is killed with its own pre-prepare.
func TestOwnPrePrepareIsNoAmnesia(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil) // primary of view 1; was cut off since slot 0
	var e Effects
	r.Step(Clock{Now: 1, Wall: 1}, &e)
	b := &Batch{Time: 1}
	bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
	r.store.addBatch(bf, b)
	var certs []Prepared
	for seq := Seq(1); seq <= 40; seq++ {
		certs = append(certs, w.prepared(Vote{View: 0, Seq: seq, Digest: bf.Digest()}))
	}
	for _, id := range []int{2, 3} {
		r.Step(Received{id, w.msg(t, w.signed(KindViewChange, id, (&ViewChange{View: 1, Prepared: certs}).encode()))}, &e)
	}
	r.Step(Synced{r.appended}, &e)
	r.Step(Synced{r.appended}, &e)
	if !r.active || r.view != 1 || r.synced < r.votable {
		t.Fatal("setup", r.active, r.view)
	}
	nv := r.newView.body.(*NewView)
	echo := nv.Proposals[39].Frame
	r.Step(Received{3, w.msg(t, echo)}, &e)
	if r.halted {
		t.Fatalf("I6: a Byzantine replica sent replica 1 its own pre-prepare of slot 40 back: halted for %v (D %d, W %d)", e.Halt, r.mark, r.p.Window)
	}
}

// a primary makes itself ever more time.
func TestPrimaryCannotStretchTheTimeout(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	now := Ticks(1)
	r.Step(Clock{now, 1}, &e)
	var seen []Ticks
	for seq := Seq(1); seq <= 5; seq++ {
		b := &Batch{Time: 1}
		if seq > 0 {
			b.Requests = nil
			b.Time = int64(seq)
		}
		bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
		v := Vote{View: 0, Seq: seq, Digest: bf.Digest()}
		r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))}, &e)
		for range r.timeout - 2 { // the primary withholds the batch
			now++
			r.Step(Clock{now, 1}, &e)
		}
		r.Step(Received{0, w.msg(t, bf)}, &e)
		for _, id := range []int{0, 2, 3} {
			r.Step(Received{id, w.msg(t, w.plain(KindCommit, id, v.encode()))}, &e)
		}
		if r.ordered != seq || r.view != 0 {
			t.Fatal("setup", r.ordered, r.view)
		}
		for _, id := range []int{0, 2, 3} {
			r.Step(Received{id, w.msg(t, w.signed(KindCheckpoint, id, w.stable(seq).Checkpoint.encode()))}, &e)
		}
		seen = append(seen, r.timeout)
	}
	if r.timeout > 2*w.cfg.Params.ViewTimeout {
		t.Fatalf("I9: view 0 was never left; its time-out grew from %d ticks to %v", w.cfg.Params.ViewTimeout, seen)
	}
}

// own root differs from the stable one that was adopted before.
func TestDivergedLaggardHalts(t *testing.T) {
	w := newWorld(4)
	r := w.replica(3, nil)
	var e Effects
	r.eff = &e
	r.deliver(1, wire.Digest{}, r.store.null)
	r.adopt(w.stable(1))
	r.eff = nil
	r.Step(Rooted{Checkpoint{Seq: 1, Time: 9, Root: wire.Digest{0xbb}}}, &e)
	if !r.halted {
		t.Fatalf("I4: own root of slot 1 differs from the stable certificate of slot 1, and the replica goes on")
	}
}
