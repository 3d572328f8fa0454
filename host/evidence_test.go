package host

import (
	"bytes"
	"crypto/ed25519"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// member is replica 1 of four, whose links a test plays.
type member struct {
	t        *testing.T
	cfg      *pbft.Config
	signers  []auth.Signer
	host     *Host
	log      memLog
	recorded []*pbft.Evidence
	events   []pbft.Event
	reports  []*pbft.Report
}

func newMember(t *testing.T, known ...*pbft.Evidence) *member {
	m := &member{t: t, cfg: &pbft.Config{Cluster: wire.Digest{1}, Group: 1, Epoch: 1, Params: pbft.Defaults()}}
	for id := range 4 {
		s := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(id + 1)}, 32)))
		m.signers = append(m.signers, s)
		m.cfg.Members = append(m.cfg.Members, s.Public())
	}
	h, err := Open(Options{Config: m.cfg, Self: 1, Signer: m.signers[1], Verifier: auth.Ed25519{}, Machine: counter{},
		Store: storage.NewMemRows(), Log: &m.log, Outbox: m, Sessions: DefaultSessions(),
		Allowed:  func(auth.PublicKey) bool { return true },
		Event:    func(e pbft.Event) { m.events = append(m.events, e) },
		Evidence: known, Record: func(e *pbft.Evidence, _ []wire.Digest) { m.recorded = append(m.recorded, e) },
	}, Recovery{Clean: true, Boot: 7, Next: 1, Records: func(func([]byte) error) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	m.host = h
	h.Begin(1, 1000)
	return m
}

func (m *member) ToReplica(int, *wire.Frame) {}

func (m *member) ToClient(_ auth.PublicKey, f *wire.Frame) {
	x, err := pbft.Decode(m.cfg, f)
	if err != nil {
		m.t.Fatal(err)
	}
	if r, ok := x.Report(); ok {
		m.reports = append(m.reports, r)
	}
}

func (m *member) header(kind pbft.Kind, author int) wire.Header {
	return wire.Header{Kind: uint8(kind), Cluster: m.cfg.Cluster, Group: m.cfg.Group, Epoch: m.cfg.Epoch, Author: uint16(author)}
}

func (m *member) signed(kind pbft.Kind, author int, body []byte) *wire.Frame {
	return wire.EncodeSigned(m.header(kind, author), body, m.signers[author].Sign)
}

func (m *member) give(from int, f *wire.Frame) { m.host.Receive(Source{Replica: from}, f) }

// probe asks as a client does.
func (m *member) probe(wanted ...wire.Digest) *pbft.Report {
	m.reports = nil
	m.host.Receive(Source{Replica: pbft.FromClient}, (&pbft.Probe{Nonce: 3, Wanted: wanted}).Frame(m.cfg))
	if len(m.reports) != 1 {
		m.t.Fatalf("%d reports", len(m.reports))
	}
	return m.reports[0]
}

func vote(seq uint64, d wire.Digest) []byte {
	w := wire.Writer{}
	w.U64(0)
	w.U64(seq)
	w.Raw(d[:])
	return w.B
}

// forged is a frame whose signature is false.
func forged(f *wire.Frame) *wire.Frame {
	return wire.EncodeSigned(f.Header, f.Body, func([]byte) []byte { return make([]byte, 64) })
}

// TestInvalidMessagesAreFiled: who signed what is no message is accused of it,
// whoever brought it; who brought it over its own link is accused of junk.
func TestInvalidMessagesAreFiled(t *testing.T) {
	m := newMember(t)
	bad := m.signed(pbft.KindViewChange, 2, []byte("no view-change"))
	good := m.signed(pbft.KindPrepare, 2, vote(5, wire.Digest{1}))
	m.give(3, bad)          // relayed
	m.give(2, bad)          // from itself
	m.give(2, bad)          // again
	m.give(0, forged(good)) // in another's name
	m.give(3, wire.Encode(m.header(99, 3), nil))
	other := m.header(pbft.KindPrepare, 3)
	other.Epoch++
	m.give(3, wire.Encode(other, nil))
	m.give(3, forged(m.signed(pbft.KindPrepare, 1, vote(5, wire.Digest{1})))) // in this replica's name
	type of struct {
		charge  pbft.Charge
		culprit int
	}
	var got []of
	for _, e := range m.recorded {
		got = append(got, of{e.Charge, e.Culprit})
	}
	want := []of{{pbft.ChargeInvalid, 2}, {pbft.ChargeJunk, 3}, {pbft.ChargeJunk, 0}, {pbft.ChargeJunk, 3}}
	if len(got) != len(want) {
		t.Fatalf("I6: recorded %v, want %v", got, want)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("I6: recorded %v, want %v", got, want)
		}
	}
	id := m.recorded[0].ID()
	r := m.probe(id)
	if r.Nonce != 3 || len(r.Held) != 4 || len(r.Shown) != 1 || r.Shown[0].ID() != id {
		t.Errorf("reports %+v", r)
	}
	again := newMember(t, m.recorded...)
	again.give(2, bad)
	if r := again.probe(); len(r.Held) != 4 || len(r.Shown) != 0 || len(again.recorded) != 0 {
		t.Errorf("after a restart: held %v, shown %d, recorded anew %d", r.Held, len(r.Shown), len(again.recorded))
	}
}

// TestOnlyWhatHoldsIsFiled: a prepare that was kept unchecked accuses nobody if
// its signature is false, whatever its author says besides.
func TestOnlyWhatHoldsIsFiled(t *testing.T) {
	m := newMember(t)
	for _, id := range []int{0, 2} { // ends the status round
		w := wire.Writer{}
		w.U64(0)
		w.Bool(true)
		w.U64(0)
		w.U64(0)
		w.Raw(make([]byte, 32))
		w.U64(7)
		w.Bool(false)
		w.U64(0)
		w.U16(0)
		m.give(id, wire.Encode(m.header(pbft.KindStatus, id), w.B))
	}
	w := wire.Writer{}
	w.I64(1000)
	w.U16(0)
	batch := wire.Encode(m.header(pbft.KindBatch, wire.NoAuthor), w.B)
	m.give(0, batch)
	m.give(0, m.signed(pbft.KindPrePrepare, 0, vote(1, batch.Digest())))
	m.give(2, m.signed(pbft.KindPrepare, 2, vote(1, batch.Digest())))
	m.give(3, forged(m.signed(pbft.KindPrepare, 3, vote(1, batch.Digest())))) // beyond the quorum: unchecked
	m.give(3, m.signed(pbft.KindPrepare, 3, vote(1, wire.Digest{9})))
	last := m.events[len(m.events)-1]
	if len(m.recorded) != 0 || last.Reason != pbft.ReasonUnproven || last.Peer != 3 {
		t.Errorf("I6: recorded %v, last event %+v", m.recorded, last)
	}
}
