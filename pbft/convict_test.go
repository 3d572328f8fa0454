package pbft

import (
	"errors"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// changeOf is a view-change of a replica, with one certificate.
func (w *world) changeOf(author int, view View, salt byte) *wire.Frame {
	c := &ViewChange{View: view, Prepared: []Prepared{w.prepared(Vote{View: view - 1, Seq: 1, Digest: wire.Digest{salt}})}}
	return w.signed(KindViewChange, author, c.encode())
}

// newViewOf is a new-view of view 1 by its primary from view-changes of
// replicas 0 to 2, which propose the digest for slot 1.
func (w *world) newViewOf(digest wire.Digest, changes ...*wire.Frame) *wire.Frame {
	var refs []ChangeRef
	for i, f := range changes {
		refs = append(refs, ChangeRef{i, f.Digest()})
	}
	p := w.signed(KindPrePrepare, 1, Vote{View: 1, Seq: 1, Digest: digest}.encode())
	return w.signed(KindNewView, 1, encodeNewView(1, refs, []*wire.Frame{p}))
}

// resigned is a frame with another signature.
func resigned(f *wire.Frame) *wire.Frame {
	return wire.EncodeSigned(f.Header, f.Body, func([]byte) []byte { return make([]byte, 64) })
}

// moved is a message in another epoch, signed there.
func (w *world) moved(f *wire.Frame) *wire.Frame {
	h := f.Header
	h.Epoch++
	return wire.EncodeSigned(h, f.Body, w.signers[f.Author].Sign)
}

// trial is one item and whether it convicts.
type trial struct {
	name    string
	charge  Charge
	culprit int
	frames  []*wire.Frame
	want    error
}

func (w *world) hold(t *testing.T, trials []trial) {
	t.Helper()
	for _, x := range trials {
		e := &Evidence{x.charge, x.culprit, x.frames}
		if err := NewOpener(w.cfg, auth.Ed25519{}).Verify(e); !errors.Is(err, x.want) {
			t.Errorf("I6: %s: %v, want %v", x.name, err, x.want)
		}
	}
}

func TestEquivocationConvicts(t *testing.T) {
	w := newWorld(4)
	prepare := func(author int, view View, seq Seq, digest byte) *wire.Frame {
		return w.signed(KindPrepare, author, Vote{view, seq, wire.Digest{digest}}.encode())
	}
	propose := func(view View, seq Seq, digest byte) *wire.Frame {
		return w.signed(KindPrePrepare, w.cfg.Primary(view), Vote{view, seq, wire.Digest{digest}}.encode())
	}
	root := func(seq Seq, digest byte) *wire.Frame {
		return w.signed(KindCheckpoint, 2, Checkpoint{Seq: seq, Root: wire.Digest{digest}}.encode())
	}
	commit := func(digest byte) *wire.Frame {
		return w.plain(KindCommit, 2, Vote{0, 5, wire.Digest{digest}}.encode())
	}
	c0, c1, c2 := w.changeOf(0, 1, 1), w.changeOf(1, 1, 1), w.changeOf(2, 1, 1)
	two := func(name string, culprit int, want error, frames ...*wire.Frame) trial {
		return trial{name, ChargeEquivocation, culprit, frames, want}
	}
	a := prepare(2, 0, 5, 1)
	w.hold(t, []trial{
		two("two prepares", 2, nil, a, prepare(2, 0, 5, 2)),
		two("a prepare and one of the null batch", 2, nil, a, prepare(2, 0, 5, 0)),
		two("two pre-prepares", 1, nil, propose(1, 5, 1), propose(1, 5, 2)),
		two("two checkpoints", 2, nil, root(4, 1), root(4, 2)),
		two("two view-changes", 2, nil, c2, w.changeOf(2, 1, 2)),
		two("two new-views", 1, nil, w.newViewOf(wire.Digest{1}, c0, c1, c2), w.newViewOf(wire.Digest{2}, c0, c1, c2)),
		two("a frame sent again", 2, errSame, a, a),
		two("a view-change sent again", 2, errSame, c2, c2),
		two("another slot", 2, errApart, a, prepare(2, 0, 6, 2)),
		two("the slot again in another view", 2, errApart, a, prepare(2, 3, 5, 2)),
		two("proposed anew by a new-view", 1, errApart, propose(1, 5, 1), propose(5, 5, 2)),
		two("checkpoints of two slots", 2, errApart, root(4, 1), root(5, 2)),
		two("view-changes of two views", 2, errApart, c2, w.changeOf(2, 2, 1)),
		two("another kind", 1, errFrames, prepare(1, 0, 5, 1), propose(1, 5, 2)),
		two("another author", 2, errNotOwn, a, prepare(3, 0, 5, 2)),
		two("accused for others", 1, errNotOwn, a, prepare(2, 0, 5, 2)),
		two("another epoch", 2, errNotOwn, a, w.moved(prepare(2, 0, 5, 2))),
		two("a forged one", 2, errForged, a, resigned(prepare(2, 0, 5, 2))),
		two("commits are no evidence", 2, errNotSigned, commit(1), commit(2)),
		two("one frame", 2, errFrames, a),
		two("three frames", 2, errFrames, a, prepare(2, 0, 5, 2), prepare(2, 0, 5, 3)),
		two("nobody", 4, errNoMember, a, prepare(2, 0, 5, 2)),
		two("nobody at all", -1, errNoMember, a, prepare(2, 0, 5, 2)),
		{"junk", ChargeJunk, 2, []*wire.Frame{a}, ErrWitnessed},
	})
}

// yes takes every signature for a true one.
type yes struct{}

func (yes) Verify(auth.PublicKey, []byte, []byte) bool { return true }

// TestSigningTwiceIsNoLie: two signatures under one statement say one thing.
func TestSigningTwiceIsNoLie(t *testing.T) {
	w := newWorld(4)
	a := w.signed(KindPrepare, 2, Vote{0, 5, wire.Digest{1}}.encode())
	e := equivocation(2, a, resigned(a))
	if err := NewOpener(w.cfg, yes{}).Verify(e); err != errSame {
		t.Fatalf("I6: %v", err)
	}
}

func TestDivergedCheckpointConvicts(t *testing.T) {
	w := newWorld(4)
	own := func(seq Seq, root byte) *wire.Frame {
		return w.signed(KindCheckpoint, 3, Checkpoint{Seq: seq, Time: 9, Root: wire.Digest{root}}.encode())
	}
	cert := w.stable(4).frames
	item := func(name string, want error, first *wire.Frame, rest ...*wire.Frame) trial {
		return trial{name, ChargeDiverged, 3, append([]*wire.Frame{first}, rest...), want}
	}
	w.hold(t, []trial{
		item("another root", nil, own(4, 1), cert...),
		item("the same", errAgrees, own(4, 8), cert...),
		item("another slot", errOtherSlot, own(5, 1), cert...),
		item("a slot before", errOtherSlot, own(3, 1), cert...),
		item("too few", errNoCert, own(4, 1), cert[:2]...),
		item("none", errNoCert, own(4, 1)),
		item("one of them twice", errNoCert, own(4, 1), cert[0], cert[1], cert[1]),
		item("not in order", errNoCert, own(4, 1), cert[1], cert[0], cert[2]),
		item("another epoch's", errNoCert, own(4, 1), cert[0], cert[1], w.moved(cert[2])),
		item("one forged", errNoCert, own(4, 1), cert[0], cert[1], resigned(cert[2])),
		item("one that differs", errNoCert, own(4, 1), cert[0], cert[1], own(4, 1)),
		item("no checkpoint", errFrames, w.changeOf(3, 1, 1), cert...),
	})
}

func TestInvalidMessageConvicts(t *testing.T) {
	w := newWorld(4)
	p := w.prepared(Vote{View: 0, Seq: 1, Digest: wire.Digest{1}})
	p.prepares = []*wire.Frame{p.prepares[0], resigned(p.prepares[1])}
	false1 := w.signed(KindViewChange, 2, (&ViewChange{View: 1, Prepared: []Prepared{p}}).encode())
	good := w.changeOf(2, 1, 1)
	item := func(name string, want error, frames ...*wire.Frame) trial {
		return trial{name, ChargeInvalid, 2, frames, want}
	}
	w.hold(t, []trial{
		item("a false signature in a certificate", nil, false1),
		item("no body", nil, w.signed(KindViewChange, 2, nil)),
		item("a byte too many", nil, w.signed(KindViewChange, 2, append([]byte(nil), append(good.Body, 0)...))),
		item("a prepare of a primary", nil, w.signed(KindPrepare, 2, Vote{View: 2, Seq: 1}.encode())),
		item("a pre-prepare of a backup", nil, w.signed(KindPrePrepare, 2, Vote{View: 0, Seq: 1}.encode())),
		item("a good one", errValid, good),
		item("a prepare", errValid, w.signed(KindPrepare, 2, Vote{View: 0, Seq: 1}.encode())),
		item("not signed by it", errForged, resigned(false1)),
		item("another's", errNotOwn, w.signed(KindViewChange, 1, nil)),
		item("another epoch's", errNotOwn, w.moved(false1)),
		item("a malformed commit", errNotSigned, w.plain(KindCommit, 2, nil)),
		item("two", errFrames, false1, false1),
	})
}

func TestBadNewViewConvicts(t *testing.T) {
	w := newWorld(4)
	c0, c1, c2 := w.changeOf(0, 1, 1), w.changeOf(1, 1, 1), w.changeOf(2, 1, 1)
	other := w.changeOf(2, 1, 2)
	later := w.changeOf(2, 2, 1)
	p := w.prepared(Vote{View: 0, Seq: 1, Digest: wire.Digest{1}})
	p.prepares = []*wire.Frame{p.prepares[0], resigned(p.prepares[1])}
	false1 := w.signed(KindViewChange, 2, (&ViewChange{View: 1, Prepared: []Prepared{p}}).encode())
	bad, good := w.newViewOf(wire.Digest{2}, c0, c1, c2), w.newViewOf(wire.Digest{1}, c0, c1, c2)
	var refs []ChangeRef
	for _, id := range []int{0, 2, 3} {
		refs = append(refs, ChangeRef{id, w.changeOf(id, 1, 1).Digest()})
	}
	without := w.signed(KindNewView, 1, encodeNewView(1, refs, nil))
	item := func(name string, want error, frames ...*wire.Frame) trial {
		return trial{name, ChargeNewView, 1, frames, want}
	}
	w.hold(t, []trial{
		item("another digest", nil, bad, c0, c1, c2),
		item("one of a later view", nil, w.newViewOf(wire.Digest{1}, c0, c1, later), later),
		item("one of another author", nil, w.newViewOf(wire.Digest{1}, c0, c1, c0), c0),
		item("not its own", nil, without),
		item("it follows", errFollows, good, c0, c1, c2),
		item("one is missing", errOtherFrom, bad, c0, c1),
		item("all are missing", errOtherFrom, bad),
		item("not the one", errOtherFrom, bad, c0, c1, other),
		item("one too many", errOtherFrom, bad, c0, c1, c2, c2),
		item("one is invalid", errOtherFrom, w.newViewOf(wire.Digest{1}, c0, c1, false1), c0, c1, false1),
		item("no new-view", errFrames, w.changeOf(1, 1, 1), c0, c1, c2),
		item("forged", errForged, resigned(bad), c0, c1, c2),
	})
}

func TestBadBatchConvicts(t *testing.T) {
	w := newWorld(4)
	w.cfg.Params.BatchSize = 2250
	request := func(number uint64, size int) *wire.Frame {
		return NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Number: number}, [][]byte{make([]byte, size)}).frame
	}
	batch := func(requests ...*wire.Frame) *wire.Frame {
		b := &Batch{Time: 1}
		for _, q := range requests {
			b.Requests = append(b.Requests, q.Digest())
		}
		return w.plain(KindBatch, wire.NoAuthor, b.encode())
	}
	propose := func(b *wire.Frame) *wire.Frame {
		return w.signed(KindPrePrepare, 0, Vote{View: 0, Seq: 1, Digest: b.Digest()}.encode())
	}
	q, big, lone, false1 := request(1, 10), request(2, 1900), request(3, 5000), resigned(request(4, 10))
	good, large, one, wrong := batch(q), batch(q, big), batch(lone), batch(q, false1)
	none := w.plain(KindBatch, wire.NoAuthor, []byte("no batch"))
	item := func(name string, want error, frames ...*wire.Frame) trial {
		return trial{name, ChargeBatch, 0, frames, want}
	}
	w.hold(t, []trial{
		item("a request with a false signature", nil, propose(wrong), wrong, false1),
		item("too large together", nil, propose(large), large, q, big),
		item("no batch", nil, propose(none), none),
		item("a good request", errGoodBatch, propose(wrong), wrong, q),
		item("a good batch", errGoodBatch, propose(good), good, q),
		item("a large request alone", errGoodBatch, propose(one), one, lone),
		item("not all that is too large", errGoodBatch, propose(large), large, big),
		item("nothing shown", errGoodBatch, propose(wrong), wrong),
		item("another batch", errOtherBody, propose(good), wrong, false1),
		item("a request of no batch", errOtherBody, propose(good), good, false1),
		item("a request shown beside", errOtherBody, propose(good), good, q, big),
		item("something behind no batch", errFrames, propose(none), none, q),
		item("no batch shown", errFrames, propose(none)),
		item("no pre-prepare", errFrames, w.signed(KindCheckpoint, 0, Checkpoint{Seq: 1}.encode()), good),
	})
}

// TestReplicaShowsABadBatch: what a replica says of an invalid batch is proven,
// and it leaves the view at once.
func TestReplicaShowsABadBatch(t *testing.T) {
	w := newWorld(4)
	false1 := resigned(NewRequest(w.cfg, w.client, Request{Keyspace: []byte("k"), Number: 1}, [][]byte{[]byte("x")}).frame)
	named := w.plain(KindBatch, wire.NoAuthor, (&Batch{Time: 1, Requests: []wire.Digest{false1.Digest()}}).encode())
	none := w.plain(KindBatch, wire.NoAuthor, []byte("no batch"))
	for _, b := range []*wire.Frame{named, none} {
		r := w.replica(1, nil)
		var e Effects
		r.Step(Clock{1, 1}, &e)
		r.Step(Received{0, w.msg(t, w.signed(KindPrePrepare, 0, Vote{Seq: 1, Digest: b.Digest()}.encode()))}, &e)
		if b == named {
			r.Step(Received{0, w.msg(t, b)}, &e)
			r.Step(Flush{}, &e)
			r.Step(Invalid{0, false1}, &e)
		} else {
			r.Step(Invalid{0, b}, &e)
		}
		if r.view != 1 || len(e.Accused) != 1 || NewOpener(w.cfg, auth.Ed25519{}).Verify(e.Accused[0]) != nil {
			t.Errorf("I6: view %d, accused %v", r.view, e.Accused)
		}
	}
}

// TestReplicaShowsABadNewView: so is what it says of each kind of NewView that
// does not follow.
func TestReplicaShowsABadNewView(t *testing.T) {
	w := newWorld(4)
	c0, c1, c2 := w.changeOf(0, 1, 1), w.changeOf(1, 1, 1), w.changeOf(2, 1, 1)
	later := w.changeOf(2, 2, 1)
	var refs []ChangeRef
	for _, f := range []*wire.Frame{c0, c2, w.changeOf(3, 1, 1)} {
		refs = append(refs, ChangeRef{int(f.Author), f.Digest()})
	}
	for name, frames := range map[string][]*wire.Frame{
		"another digest":      {c0, c1, c2, w.newViewOf(wire.Digest{2}, c0, c1, c2)},
		"one of a later view": {c0, c1, later, w.newViewOf(wire.Digest{1}, c0, c1, later)},
		"not its own":         {c0, c2, w.changeOf(3, 1, 1), w.signed(KindNewView, 1, encodeNewView(1, refs, nil))},
	} {
		r := w.replica(3, nil)
		var e Effects
		r.Step(Clock{1, 1}, &e)
		for _, f := range frames {
			if int(f.Author) != r.self {
				r.Step(Received{int(f.Author), w.msg(t, f)}, &e)
			} else {
				r.changes[r.self] = &change{ViewChange: w.msg(t, f).body.(*ViewChange), frame: f, author: r.self}
			}
		}
		if len(e.Accused) != 1 || e.Accused[0].Charge != ChargeNewView || NewOpener(w.cfg, auth.Ed25519{}).Verify(e.Accused[0]) != nil {
			t.Errorf("I6: %s: accused %v", name, e.Accused)
		}
	}
}
