package pbft

import (
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// what a replica one slot behind the stable checkpoint needs is dropped.
func TestOneSlotLateIsNotLost(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.eff = &e
	for seq := Seq(1); seq <= 84; seq++ {
		q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Number: uint64(seq), Session: SessionID{1}}, [][]byte{make([]byte, 1<<20)})
		b := &Batch{Time: int64(seq), Requests: []wire.Digest{q.frame.Digest()}}
		bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
		r.store.keepRequest(q)
		r.store.addBatch(bf, b)
		x := r.content(bf.Digest(), 0)
		r.deliver(seq, bf.Digest(), x)
		r.eff.Execute = nil
	}
	r.adopt(w.stable(64)) // IntervalSize = 64 MiB: a checkpoint every 64 such slots
	if r.store.archive.at(64) == nil {
		t.Fatalf("slot 64 is forgotten in the moment in which checkpoint 64 becomes stable, with 20 slots of 1 MiB executed above it: a replica that still lacks one body of slot 64 can never catch up")
	}
}

// pre-prepares sent ahead are never counted against a primary that starves.
func TestSlotsSentAheadCountAgainstThePrimary(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	now := Ticks(1)
	r.Step(Clock{now, 1}, &e)
	type slotOf struct {
		v  Vote
		bf *wire.Frame
	}
	var all []slotOf
	for seq := Seq(1); seq <= 480; seq++ {
		b := &Batch{Time: int64(seq % 900)}
		b.Requests = nil
		bf := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: int64(seq)}).encode())
		v := Vote{View: 0, Seq: seq, Digest: bf.Digest()}
		all = append(all, slotOf{v, bf})
		r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))}, &e)
	}
	q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Number: 1, Session: SessionID{1}}, [][]byte{[]byte("x")})
	r.Step(Received{FromClient, w.msg(t, q.frame)}, &e)
	for _, s := range all {
		for range 48 {
			now++
			r.Step(Clock{now, 1}, &e)
			if r.view != 0 {
				t.Logf("left after %d ticks", now)
				return
			}
		}
		r.Step(Received{0, w.msg(t, s.bf)}, &e)
		r.Step(Synced{r.appended}, &e)
		for _, id := range []int{0, 2, 3} {
			r.Step(Received{id, w.msg(t, w.plain(KindCommit, id, s.v.encode()))}, &e)
		}
		if r.ordered != s.v.Seq {
			t.Fatal("setup", r.ordered, s.v.Seq)
		}
	}
	t.Fatalf("a client was starved for %d ticks (T = %d); the view was not left", now, r.timeout)
}

// Done that is followed by Expired of the same replica.
func TestDoneIsNotTakenBack(t *testing.T) {
	w := newWorld(4)
	c := NewClient(w.cfg, ClientDefaults(), w.client, []byte("k"), SessionID{1})
	var e ClientEffects
	c.Submit(1, []byte("put"), 500)
	c.Flush(&e)
	done := &Reply{Session: SessionID{1}, Number: 1, Seq: 7, Status: Done, Digest: ResultDigest([]byte("r"))}
	over := &Reply{Session: SessionID{1}, Number: 1, Status: Expired}
	for _, id := range []int{2, 3} { // both executed it, then got the client's own frame late, after the session was evicted
		c.Receive(id, done, &e)
		c.Receive(id, over, &e)
	}
	for _, d := range e.Done {
		if d.Outcome == OutcomeNotDone {
			t.Fatalf("two correct replicas said Done at slot 7; the outcome is 'definitely not done' (%v), and package client sends it again", d.Status)
		}
	}
}

// NewViews that name nothing make wants without bound.
func TestForgedNewViewsLeaveNothing(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	for i := 1000; i > 0; i-- {
		v := View(4*i + 3)
		var refs []ChangeRef
		for id := 1; id < 4; id++ {
			refs = append(refs, ChangeRef{id, wire.Digest{byte(i), byte(i >> 8), byte(id)}})
		}
		m := w.msg(t, w.signed(KindNewView, 3, encodeNewView(v, refs, nil)))
		if r.Wants(3, m.Message) {
			r.Step(Received{3, m}, &e)
		}
		r.Step(Clock{Ticks(1002 - i), 1}, &e)
	}
	if len(r.store.wants) > 100 {
		t.Fatalf("1000 frames of one Byzantine replica left %d wants, each fetched for ever, the timer armed: %v", len(r.store.wants), r.armed())
	}
}

// a fable takes the view-changes of the accepted NewView away.
func TestForgedNewViewForgetsNoChanges(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	for _, id := range []int{2, 3} {
		r.Step(Received{id, w.msg(t, w.signed(KindViewChange, id, (&ViewChange{View: 1}).encode()))}, &e)
	}
	r.Step(Synced{r.appended}, &e)
	r.Step(Synced{r.appended}, &e)
	if !r.active || len(r.newChanges) != 3 {
		t.Fatal("setup", r.active, len(r.newChanges))
	}
	refs := []ChangeRef{{1, wire.Digest{1}}, {2, wire.Digest{2}}, {3, wire.Digest{3}}}
	r.Step(Received{3, w.msg(t, w.signed(KindNewView, 3, encodeNewView(7, refs, nil)))}, &e)
	var carry Effects
	r.Carry(0, &carry)
	n := 0
	for _, rec := range carry.Records {
		if rec[0] == recChange {
			n++
		}
	}
	if n != 3 || len(r.newChanges) != 3 {
		t.Fatalf("of the accepted NewView's 3 view-changes %d are kept, and %d go into the next log", len(r.newChanges), n)
	}
}

// a wanted executable check that the far jump cuts a correct replica off for ever.
func TestNobodyIsDrivenFarAhead(t *testing.T) {
	w := newWorld(4)
	a, c := w.replica(1, nil), w.replica(2, nil)
	var e Effects
	a.Step(Clock{1, 1}, &e)
	c.Step(Clock{1, 1}, &e)
	vc := w.signed(KindViewChange, 3, (&ViewChange{View: 2}).encode())
	a.Step(Received{3, w.msg(t, vc)}, &e)
	for range 2 {
		v := a.view + 1<<32 - 8
		for w.cfg.Primary(v) != 3 {
			v++
		}
		refs := []ChangeRef{{0, wire.Digest{1}}, {1, wire.Digest{2}}, {3, vc.Digest()}}
		a.Step(Received{3, w.msg(t, w.signed(KindNewView, 3, encodeNewView(v, refs, nil)))}, &e)
	}
	e.Reset()
	if a.change == nil {
		return
	}
	c.Step(Received{1, w.msg(t, a.change.frame)}, &e)
	for _, ev := range e.Events {
		if ev.Reason == ReasonFarView {
			t.Fatalf("two frames moved replica 1 to view %d; replica 2 in view %d refuses its view-change: %v", a.view, c.view, ev.Reason)
		}
	}
}

// consequence of 1 at a correct replica that executed the null batch of view 4.
func TestExecutedNullIsNotContradicted(t *testing.T) {
	w := newWorld(4)
	r := w.replica(0, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	r.view, r.active = 4, true
	null4 := w.prepared(Vote{View: 4, Seq: 1})
	old3 := w.prepared(Vote{View: 3, Seq: 1, Digest: wire.Digest{0xee}})
	r.eff = &e
	s := r.slot(1)
	s.cert = &null4
	r.deliver(1, wire.Digest{}, r.store.null) // committed and executed in view 4
	r.logExecuted(1, wire.Digest{})
	r.leave(5, ReasonTimeout)
	r.eff = nil
	c1 := w.signed(KindViewChange, 1, (&ViewChange{View: 5, Prepared: []Prepared{null4}}).encode())
	c3 := w.signed(KindViewChange, 3, (&ViewChange{View: 5, Prepared: []Prepared{old3}}).encode()) // correct, was cut off in view 4
	r.Step(Received{1, w.msg(t, c1)}, &e)
	r.Step(Received{3, w.msg(t, c3)}, &e)
	// what the correct primary 1 of view 5 builds
	used := []*change{r.change, r.changes[1], r.changes[3]}
	_, picks := choose(used, 5)
	var refs []ChangeRef
	for _, c := range used {
		refs = append(refs, ChangeRef{c.author, c.frame.Digest()})
	}
	frames := []*wire.Frame{w.signed(KindPrePrepare, 1, picks[0].encode())}
	r.Step(Received{1, w.msg(t, w.signed(KindNewView, 1, encodeNewView(5, refs, frames)))}, &e)
	if r.halted {
		t.Fatalf("all replicas but one silent are correct, and replica 0 halts: %v", e.Halt)
	}
}

// TestJoin: one replica in a higher view moves nobody, f+1 move everybody, by
// whatever they make their view known.
func TestJoin(t *testing.T) {
	for _, kind := range []Kind{KindViewChange, KindStatus} {
		w := newWorld(4)
		r := w.replica(1, nil)
		var e Effects
		r.Step(Clock{1, 1}, &e)
		tell := func(id int) {
			if kind == KindViewChange {
				r.Step(Received{id, w.msg(t, w.signed(kind, id, (&ViewChange{View: 2}).encode()))}, &e)
			} else {
				r.Step(Received{id, w.msg(t, w.plain(kind, id, (&Status{View: 2}).encode()))}, &e)
			}
		}
		tell(2)
		if r.view != 0 || !r.active {
			t.Fatalf("I9: %v of one replica moved another to view %d", kind, r.view)
		}
		tell(3)
		if r.view != 2 || r.active {
			t.Fatalf("I9: after %v of f+1 replicas in view 2 a replica stays in view %d", kind, r.view)
		}
	}
}

// A prepare beyond the quorum is not paid for, and yet convicts its author
// once it says something else.
func TestSparePrepareConvicts(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	bf := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 1}).encode())
	v := Vote{Seq: 1, Digest: bf.Digest()}
	for _, in := range []Received{
		{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))},
		{0, w.msg(t, bf)},
		{2, w.msg(t, w.signed(KindPrepare, 2, v.encode()))},
	} {
		r.Step(in, &e)
	}
	spare := w.msg(t, w.signed(KindPrepare, 3, v.encode()))
	if !r.Wants(0, spare.Message) {
		t.Fatal("relayed by another, so it proves nothing unchecked: it must be wanted")
	}
	if r.Wants(3, spare.Message) {
		t.Fatal("a prepare that agrees with the certificate is checked all the same")
	}
	v.Digest[0]++
	other := w.msg(t, w.signed(KindPrepare, 3, v.encode()))
	if !r.Wants(2, other.Message) {
		t.Fatal("a prepare against the certificate is not wanted")
	}
	r.Step(Received{2, other}, &e)
	if len(e.Accused) != 1 || e.Accused[0].Culprit != 3 || NewOpener(w.cfg, auth.Ed25519{}).Verify(e.Accused[0]) != nil {
		t.Fatalf("I6: no evidence of two prepares by one author: %+v", e.Accused)
	}
}
