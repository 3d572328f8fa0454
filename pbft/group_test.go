package pbft

import (
	"encoding/binary"
	"testing"

	"github.com/tagma-db/tagma/wire"
)

// group is replicas whose disks are instant and whose links lose nothing but
// what drop says. A replica that is nil is gone.
type group struct {
	t    *testing.T
	w    *world
	all  []*Replica
	now  Ticks
	wall int64
	mail []parcel
	drop func(from, to int, kind Kind) bool
	done map[int]int // requests executed, by replica
}

type parcel struct {
	from, to int
	frame    *wire.Frame
}

func newGroup(t *testing.T, p *Params, wall int64) *group {
	w := newWorld(4)
	g := &group{t: t, w: w, all: make([]*Replica, 4), wall: wall, done: map[int]int{},
		drop: func(int, int, Kind) bool { return false }}
	for id := range g.all {
		g.all[id] = w.replica(id, p)
	}
	return g
}

func (g *group) step(id int, in Input) {
	r := g.all[id]
	if r == nil {
		return
	}
	var e Effects
	r.Step(in, &e)
	for _, s := range append(append([]Send(nil), e.Eager...), e.Sends...) {
		for to := range g.all {
			if to != id && (s.To == ToAll || s.To == to) && g.all[to] != nil && !g.drop(id, to, Kind(s.Frame.Kind)) {
				g.mail = append(g.mail, parcel{id, to, s.Frame})
			}
		}
	}
	if e.Halt != 0 {
		g.t.Fatalf("replica %d halted: %v", id, e.Halt)
	}
	for _, o := range e.Execute {
		g.done[id] += len(o.Requests)
		if o.Interval {
			e.Roots = append(e.Roots, o.Seq)
		}
	}
	for _, seq := range e.Roots {
		g.step(id, Rooted{Checkpoint{Seq: seq, Root: wire.Digest{5}}})
	}
	if r.appended > r.synced {
		g.step(id, Synced{r.appended})
	}
}

// give hands a replica one frame as its link would.
func (g *group) give(from, to int, f *wire.Frame) {
	m, err := Decode(g.w.cfg, f)
	if err != nil {
		g.t.Fatal(err)
	}
	if g.all[to] != nil && g.all[to].Wants(from, m) {
		g.step(to, Received{from, Verified{m}})
		g.step(to, Flush{})
	}
}

func (g *group) run(ticks int) {
	for range ticks {
		g.now++
		g.wall += 10
		for id := range g.all {
			g.step(id, Clock{g.now, g.wall})
			g.step(id, Flush{})
		}
		for n := 0; len(g.mail) > 0 && n < 100_000; n++ {
			p := g.mail[0]
			g.mail = g.mail[1:]
			g.give(p.from, p.to, p.frame)
		}
	}
}

func (g *group) ask(number uint64) {
	var s SessionID
	binary.BigEndian.PutUint64(s[:], 1)
	q := NewRequest(g.w.cfg, g.w.client, Request{Keyspace: []byte("k"), Session: s, Number: number}, [][]byte{[]byte("x")})
	for id := range g.all {
		g.step(id, Received{FromClient, Verified{&Message{Frame: q.frame, body: q}}})
		g.step(id, Flush{})
	}
}

// fable is a NewView of a view of replica by that names what does not exist
// and one digest that is wanted.
func (w *world) fable(view View, by int, d wire.Digest) *wire.Frame {
	refs := []ChangeRef{{0, d}, {1, wire.Digest{1}}, {2, wire.Digest{2}}}
	return w.signed(KindNewView, by, encodeNewView(view, refs, nil))
}

// A NewView that names a wanted batch as a view-change neither makes the
// replica forget whom it has asked nor whom it may ask.
func TestFetchIsNotStarved(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	now := Ticks(1)
	r.Step(Clock{now, 1}, &e)
	bf := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 1}).encode())
	v := Vote{Seq: 1, Digest: bf.Digest()}
	// Primary 0 told 1 only the batch's digest; the others executed it.
	r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))}, &e)
	for _, id := range []int{0, 2, 3} {
		r.Step(Received{id, w.msg(t, w.plain(KindCommit, id, v.encode()))}, &e)
	}
	view := View(4 << 20)
	for r.ordered == 0 {
		if now++; now > 1000 {
			t.Fatalf("I9: 10 s of false NewViews, and nobody but their author was asked for the batch; accused %v", e.Accused)
		}
		e.Reset()
		r.Step(Clock{now, 1}, &e)
		for _, s := range e.Eager {
			if Kind(s.Frame.Kind) == KindFetch && s.To >= 2 {
				r.Step(Received{s.To, w.msg(t, bf)}, &e)
				r.Step(Flush{}, &e)
			}
		}
		if now%3 == 0 {
			view -= 4
			if m := w.msg(t, w.fable(view, 0, v.Digest)); r.Wants(0, m.Message) {
				r.Step(Received{0, m}, &e)
			}
		}
	}
}

// One faulty primary that keeps content from one replica, and then all from
// all, stops the group for no longer than a view change takes.
func TestOneCannotStopAll(t *testing.T) {
	p := newWorld(4).cfg.Params
	p.Interval, p.Log, p.Window = 4, 8, 4
	g := newGroup(t, &p, 1000)
	g.drop = func(from, to int, kind Kind) bool { return from == 0 && to == 1 && kind == KindBatch }
	view := View(4 << 20)
	lie := func() {
		if x := g.all[2].store.archive.at(g.all[1].ordered + 1); x != nil {
			view -= 4
			g.give(0, 1, g.w.fable(view, 0, x.digest))
		}
	}
	const first, all = 200, 240
	for n := range all {
		if n == first {
			g.all[0] = nil // from here on it sends but fables
		}
		g.ask(uint64(n + 1))
		for range 2 {
			g.run(3)
			lie()
		}
	}
	for range 400 {
		g.run(3)
		lie()
	}
	for _, id := range []int{1, 2, 3} {
		if g.done[id] < all {
			t.Fatalf("of %d requests executed: %v", all, g.done)
		}
	}
}

// What is fetched for NewViews that are never accepted is forgotten.
func TestFetchedChangesAreForgotten(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	for i := range 1000 {
		e.Reset()
		r.Step(Clock{Ticks(i + 2), 1}, &e)
		view := View(4*5000 + 3 - 4*i)
		vc := w.signed(KindViewChange, 3, (&ViewChange{View: view}).encode())
		refs := []ChangeRef{{0, wire.Digest{1}}, {2, wire.Digest{2}}, {3, vc.Digest()}}
		for _, f := range []*wire.Frame{w.signed(KindNewView, 3, encodeNewView(view, refs, nil)), vc} {
			if m := w.msg(t, f); r.Wants(3, m.Message) {
				r.Step(Received{3, m}, &e)
			}
		}
	}
	if n := len(r.newChanges) + len(r.fetched); n > 2*int(r.n) || len(r.store.asked) > 8 {
		t.Fatalf("%d view-changes and %d wants are left of 1000 NewViews", n, len(r.store.asked))
	}
}

// A batch is known to be too large before all of it is here.
func TestOversizedBatchIsRefusedEarly(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	b := &Batch{Time: 1}
	var bodies []*Request
	for i := range 64 {
		q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Session: SessionID{1}, Number: uint64(i + 1)}, [][]byte{make([]byte, 1<<20)})
		bodies = append(bodies, q)
		b.Requests = append(b.Requests, q.frame.Digest())
	}
	bf := w.plain(KindBatch, wire.NoAuthor, b.encode())
	r.Step(Received{0, w.msg(t, bf)}, &e)
	r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, Vote{Seq: 1, Digest: bf.Digest()}.encode()))}, &e)
	for i, q := range bodies {
		r.Step(Received{0, Verified{&Message{Frame: q.frame, body: q}}}, &e)
		r.Step(Flush{}, &e)
		if r.view == 1 {
			if i > 2 || len(e.Accused) != 1 || e.Accused[0].Charge != ChargeBatch {
				t.Fatalf("left after %d bodies, accused %v", i+1, e.Accused)
			}
			return
		}
	}
	t.Fatal("I7: a batch of 64 MiB was taken")
}

// upTo is a judge for whom numbers up to it have executed.
type upTo uint64

func (j *upTo) Judge(q *Request, _ int64) Admission {
	if q.Number <= uint64(*j) {
		return Executed
	}
	return Admissible
}

// Bodies of requests that leave the pending ones without executing go too.
func TestBodiesLeaveWithTheirRequests(t *testing.T) {
	w := newWorld(4)
	var over upTo
	r := newReplica(Options{Config: w.cfg, Self: 2, Signer: w.signers[2], Judge: &over, Counter: 1})
	r.joining = false
	var e Effects
	r.Step(Clock{1, 1}, &e)
	number := uint64(0)
	for i := range 20 {
		for range 7 {
			number++
			q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Session: SessionID{1}, Number: number}, [][]byte{make([]byte, 1<<20)})
			r.Step(Received{FromClient, Verified{&Message{Frame: q.frame, body: q}}}, &e)
		}
		over = upTo(number) // a request that acknowledges them all executed
		r.Step(Clock{Ticks(i + 2), 1}, &e)
		r.Step(Flush{}, &e)
		e.Reset()
	}
	held := 0
	for _, q := range r.store.requests {
		held += len(q.frame.Raw())
	}
	if held > 3*w.cfg.Params.ClientSize {
		t.Fatalf("%d MiB of bodies of one client are held, and nothing is pending", held>>20)
	}
}

// Rounds that each take more than half the time-out do not keep a primary.
func TestSlowRoundsDeposeASilentPrimary(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	now := Ticks(1)
	r.Step(Clock{now, 1}, &e)
	q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Number: 1, Session: SessionID{1}}, [][]byte{[]byte("x")})
	r.Step(Received{FromClient, w.msg(t, q.frame)}, &e)
	for i := range 10 {
		now += r.timeout/2 + 1
		r.Step(Clock{now, 1}, &e)
		if r.view != 0 {
			if i < 2 {
				t.Fatalf("left after %d pauses, which are nobody's fault", i+1)
			}
			return
		}
	}
	t.Fatalf("I9: a request is pending for %d ticks, the primary is silent, and the view is not left", now)
}

// Clocks that are all set back delay nothing; agreed time stands still.
func TestClocksSetBack(t *testing.T) {
	g := newGroup(t, nil, 10_000_000)
	g.run(1)
	g.ask(1)
	g.run(50)
	agreed := g.all[2].agreed
	g.wall -= 3_600_000
	g.run(1)
	g.ask(2)
	g.run(50)
	if g.done[2] != 2 || g.all[2].agreed != agreed || g.all[2].view != 0 {
		t.Fatalf("I9: executed %v, agreed time %d, was %d, view %d", g.done, g.all[2].agreed, agreed, g.all[2].view)
	}
}

// A replica that votes on nothing because of its clock says so.
func TestWrongClockIsTold(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	wall := int64(8_000) // all others stand at 10,000
	r.Step(Clock{1, wall}, &e)
	offer := func(seq Seq) {
		bf := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 10_000 + int64(seq)}).encode())
		v := Vote{Seq: seq, Digest: bf.Digest()}
		r.Step(Received{0, w.msg(t, bf)}, &e)
		r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, v.encode()))}, &e)
		for _, id := range []int{0, 2, 3} {
			r.Step(Received{id, w.msg(t, w.plain(KindCommit, id, v.encode()))}, &e)
		}
	}
	offer(1)
	told := 0
	for _, ev := range e.Events {
		if ev.Reason == ReasonTime {
			told++
		}
	}
	if r.ordered != 1 || told != 1 || r.Report(1).State == "" {
		t.Fatalf("executed %d, told %d times, report %+v", r.ordered, told, r.Report(1))
	}
	r.Step(Clock{2, 10_000}, &e) // the clock is set right
	offer(2)
	if state := r.Report(1).State; state != "" {
		t.Fatalf("still %q", state)
	}
}

// An echo of an own pre-prepare of a NewView, above D + W because the disk is
// slow and below h because the others are not, is no amnesia.
func TestEchoIsNoAmnesia(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil) // primary of view 1, cut off since slot 0
	var e Effects
	r.Step(Clock{1, 1}, &e)
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
	echo := r.newView.body.(*NewView).Proposals[39].Frame
	for seq := Seq(1); seq <= 40; seq++ {
		for _, id := range []int{0, 2, 3} {
			r.Step(Received{id, w.msg(t, w.plain(KindCommit, id, Vote{View: 1, Seq: seq, Digest: bf.Digest()}.encode()))}, &e)
		}
	}
	for _, id := range []int{0, 2, 3} {
		r.Step(Received{id, w.msg(t, w.signed(KindCheckpoint, id, w.stable(40).Checkpoint.encode()))}, &e)
	}
	if r.ordered != 40 || r.low != 40 {
		t.Fatal("setup", r.ordered, r.low)
	}
	r.Step(Received{3, w.msg(t, echo)}, &e)
	if r.halted {
		t.Fatalf("halted: %v", e.Halt)
	}
}

// A view-change whose batch is still missing is waited for across a sweep,
// which forgets all wants but those that matter.
func TestSweepKeepsWantsOfAViewChange(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil) // primary of view 1
	var e Effects
	r.Step(Clock{1, 1}, &e)
	bf := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 1}).encode())
	cert := w.prepared(Vote{View: 0, Seq: 1, Digest: bf.Digest()})
	for _, id := range []int{2, 3} {
		r.Step(Received{id, w.msg(t, w.signed(KindViewChange, id, (&ViewChange{View: 1, Prepared: []Prepared{cert}}).encode()))}, &e)
	}
	r.Step(Synced{r.appended}, &e)
	r.eff = &e
	r.sweep() // as when a checkpoint becomes stable meanwhile
	e.Reset()
	for now := Ticks(2); now < 20 && r.newView == nil; now++ {
		r.Step(Clock{now, 1}, &e)
		for _, s := range e.Eager {
			if Kind(s.Frame.Kind) == KindFetch && s.To != r.self {
				r.Step(Received{s.To, w.msg(t, bf)}, &e)
				r.Step(Flush{}, &e)
				r.Step(Synced{r.appended}, &e)
			}
		}
	}
	if r.newView == nil {
		t.Fatalf("I9: the batch that both view-changes name is not asked for any more; wants %d", len(r.store.wants))
	}
}
