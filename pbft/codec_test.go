package pbft

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"flag"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

var rewrite = flag.Bool("rewrite", false, "write the golden vectors anew")

// world is a group of n with known keys.
type world struct {
	cfg     *Config
	signers []auth.Signer
	client  auth.Signer
}

func newWorld(n int) *world {
	w := &world{cfg: &Config{Cluster: wire.Digest{7}, Group: 1, Epoch: 1, Params: Defaults()}}
	for i := range n + 1 {
		s := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if i == n {
			w.client = s
			break
		}
		w.signers = append(w.signers, s)
		w.cfg.Members = append(w.cfg.Members, s.Public())
	}
	return w
}

func (w *world) signed(kind Kind, author int, body []byte) *wire.Frame {
	return wire.EncodeSigned(w.cfg.header(kind, author), body, w.signers[author].Sign)
}

func (w *world) plain(kind Kind, author int, body []byte) *wire.Frame {
	return wire.Encode(w.cfg.header(kind, author), body)
}

func (w *world) stable(seq Seq) *Stable {
	s := &Stable{Checkpoint: Checkpoint{Seq: seq, Time: 9, Root: wire.Digest{8}}}
	for i := range w.cfg.Size().Quorum() {
		s.frames = append(s.frames, w.signed(KindCheckpoint, i, s.Checkpoint.encode()))
	}
	return s
}

func (w *world) prepared(v Vote) Prepared {
	p := Prepared{Vote: v, proposal: w.signed(KindPrePrepare, w.cfg.Primary(v.View), v.encode())}
	for i := 0; len(p.prepares) < w.cfg.Size().Quorum()-1; i++ {
		if i != w.cfg.Primary(v.View) {
			p.prepares = append(p.prepares, w.signed(KindPrepare, i, v.encode()))
		}
	}
	return p
}

// messages is one frame of every kind, in order of kinds.
func (w *world) messages() []*wire.Frame {
	vote := Vote{View: 4, Seq: 6, Digest: wire.Digest{1}}
	q := NewRequest(w.cfg, w.client, Request{Keyspace: []byte("default"), Session: SessionID{1}, Number: 3, Acked: 1},
		[][]byte{[]byte("one"), []byte("two")})
	batch := &Batch{Time: 5, Requests: []wire.Digest{q.frame.Digest()}}
	change := &ViewChange{View: 5, Stable: w.stable(4), Prepared: []Prepared{w.prepared(vote)}}
	changeFrame := w.signed(KindViewChange, 1, change.encode())
	var refs []ChangeRef
	for i := range w.cfg.Size().Quorum() {
		refs = append(refs, ChangeRef{i, changeFrame.Digest()})
	}
	p := Vote{View: 5, Seq: 5}
	proposals := []*wire.Frame{w.signed(KindPrePrepare, w.cfg.Primary(5), p.encode())}
	reply := &Reply{Session: SessionID{1}, Number: 3, Seq: 6, View: 5, Digest: ResultDigest([]byte("r")), Full: true, Result: []byte("r")}
	status := &Status{View: 5, Active: true, Stable: 4, Executed: 8, History: wire.Digest{2}, Counter: 9, Ask: true, Base: 6,
		Claims: []wire.Digest{{3}, {4}}}
	item := equivocation(2, w.signed(KindPrepare, 2, vote.encode()), w.signed(KindPrepare, 2, Vote{View: 4, Seq: 6}.encode()))
	report := &Report{Nonce: 1, View: 5, Active: true, Stable: 4, Executed: 8, State: "well", Held: []EvidenceRef{item.Ref()},
		Shown: []*Evidence{item}}
	return []*wire.Frame{
		q.frame,
		w.plain(KindBatch, wire.NoAuthor, batch.encode()),
		w.signed(KindPrePrepare, w.cfg.Primary(vote.View), vote.encode()),
		w.signed(KindPrepare, 2, vote.encode()),
		w.plain(KindCommit, 2, vote.encode()),
		reply.Frame(w.cfg, 2),
		w.signed(KindCheckpoint, 2, Checkpoint{Seq: 4, Time: 9, Root: wire.Digest{8}}.encode()),
		changeFrame,
		w.signed(KindNewView, w.cfg.Primary(5), encodeNewView(5, refs, proposals)),
		w.plain(KindStatus, 3, status.encode()),
		w.plain(KindFetch, 3, (&Fetch{[]wire.Digest{{5}}}).encode()),
		(&Probe{7, []wire.Digest{item.ID()}}).Frame(w.cfg),
		report.Frame(w.cfg, 3),
		(&StateFetch{ID: 7, Seq: 4, Part: StateNodes, Tree: 9, Items: []StateItem{{2, []byte("key")}, {1, nil}}}).Frame(w.cfg, 3),
		(&StateBlob{ID: 7, Held: true, Items: [][]byte{[]byte("item"), {}}}).Frame(w.cfg, 2),
		(&Read{Nonce: 7, Full: 2, Keyspace: []byte("default"), Ops: [][]byte{[]byte("one"), []byte("two")}}).Frame(w.cfg),
		(&ReadAnswer{Nonce: 7, Seq: 6, Items: []ReadItem{{Kind: ReadRefused},
			{Version: 5, Digest: ResultDigest([]byte("r")), Full: true, Result: []byte("r")}}}).Frame(w.cfg, 2),
	}
}

// encodeBody encodes a decoded body again.
func encodeBody(w *world, m *Message) []byte {
	switch b := m.body.(type) {
	case *Request:
		return b.encode()
	case *Batch:
		return b.encode()
	case *Vote:
		return b.encode()
	case *Reply:
		return b.Frame(w.cfg, m.Author()).Body
	case *Checkpoint:
		return b.encode()
	case *ViewChange:
		return b.encode()
	case *NewView:
		var frames []*wire.Frame
		for _, p := range b.Proposals {
			frames = append(frames, p.Frame)
		}
		return encodeNewView(b.View, b.Changes, frames)
	case *Status:
		return b.encode()
	case *Fetch:
		return b.encode()
	case *Probe:
		return b.Frame(w.cfg).Body
	case *StateFetch:
		return b.Frame(w.cfg, m.Author()).Body
	case *StateBlob:
		return b.Frame(w.cfg, m.Author()).Body
	case *Read:
		return b.Frame(w.cfg).Body
	case *ReadAnswer:
		return b.Frame(w.cfg, m.Author()).Body
	default:
		return b.(*Report).Frame(w.cfg, m.Author()).Body
	}
}

func TestGoldenMessages(t *testing.T) {
	const path = "testdata/messages.txt"
	w := newWorld(4)
	var out strings.Builder
	for _, f := range w.messages() {
		out.WriteString(Kind(f.Kind).String() + " " + hex.EncodeToString(f.Raw()) + "\n")
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != out.String() {
		t.Fatal("the byte form of messages changed: this breaks every cluster")
	}
}

func TestEveryKindOpens(t *testing.T) {
	for n := 4; n <= 7; n++ {
		w := newWorld(n)
		o := NewOpener(w.cfg, auth.Ed25519{})
		frames := w.messages()
		if len(frames) != int(kindEnd)-1 {
			t.Fatalf("%d kinds, %d messages", kindEnd-1, len(frames))
		}
		for i, f := range frames {
			if int(f.Kind) != i+1 {
				t.Fatalf("message %d is a %v", i, Kind(f.Kind))
			}
			m, err := Decode(w.cfg, f)
			if err != nil {
				t.Fatalf("n=%d %v: %v", n, Kind(f.Kind), err)
			}
			if _, err := o.Open(m); err != nil {
				t.Fatalf("n=%d %v: %v", n, Kind(f.Kind), err)
			}
			if !bytes.Equal(encodeBody(w, m), f.Body) {
				t.Fatalf("%v does not survive its encoding", Kind(f.Kind))
			}
		}
	}
}

// TestScope: no signature is valid in another cluster, group or epoch, or of
// another kind or author.
func TestScope(t *testing.T) {
	w := newWorld(4)
	for _, f := range w.messages() {
		for name, change := range map[string]func(*Config){
			"cluster": func(c *Config) { c.Cluster[3]++ },
			"group":   func(c *Config) { c.Group++ },
			"epoch":   func(c *Config) { c.Epoch++ },
		} {
			c := *w.cfg
			change(&c)
			_, err := Decode(&c, f)
			if wantErr := Kind(f.Kind) != KindRequest || name == "cluster"; (err != nil) != wantErr {
				t.Errorf("%v in another %s: %v", Kind(f.Kind), name, err)
			}
		}
	}
	votes := w.messages()[2:4]
	moved := wire.EncodeSigned(w.cfg.header(KindPrepare, 3), votes[1].Body, func([]byte) []byte { return votes[1].Signature })
	m, err := Decode(w.cfg, moved)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewOpener(w.cfg, auth.Ed25519{}).Open(m); err != ErrSignature {
		t.Fatalf("a prepare under another author's name: %v", err)
	}
}

// TestFailuresAreNotCached: a frame that failed does not make the same vote
// with its true signature fail, nor the other way round.
func TestFailuresAreNotCached(t *testing.T) {
	w := newWorld(4)
	good := w.messages()[3]
	bad := wire.EncodeSigned(good.Header, good.Body, func([]byte) []byte { return make([]byte, 64) })
	o := NewOpener(w.cfg, auth.Ed25519{})
	for i, f := range []*wire.Frame{bad, good, bad, good} {
		m, err := Decode(w.cfg, f)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := o.Open(m); (err != nil) != (f == bad) {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

// damaged calls add with b cut and changed in many places: seeds that reach the
// refusals of a decoder.
func damaged(b []byte, add func([]byte)) {
	for _, n := range []int{0, 1, len(b) / 3, len(b) / 2, max(len(b)-1, 0)} {
		add(bytes.Clone(b[:min(n, len(b))]))
	}
	add(append(bytes.Clone(b), 0))
	for i := 0; i < len(b); i += 1 + len(b)/192 {
		for _, flip := range []byte{0x01, 0x80} {
			c := bytes.Clone(b)
			c[i] ^= flip
			add(c)
		}
	}
}

func FuzzOpen(f *testing.F) {
	w := newWorld(4)
	for _, g := range w.messages() {
		f.Add(g.Raw())
		damaged(g.Raw(), func(b []byte) { f.Add(b) })
	}
	o := NewOpener(w.cfg, auth.Ed25519{})
	runs := 0
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := wire.Decode(raw)
		if err != nil {
			return
		}
		m, err := Decode(w.cfg, g)
		if runs++; runs%64 == 1 { // measuring stops the world
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			Decode(w.cfg, g)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 16*uint64(len(raw))+64<<10 {
				t.Fatalf("decoding %d bytes allocated %d", len(raw), used)
			}
		}
		if err != nil {
			return
		}
		if !bytes.Equal(encodeBody(w, m), g.Body) {
			t.Fatalf("%v %x is not canonical", Kind(g.Kind), g.Body)
		}
		_, _ = o.Open(m)
	})
}

// FuzzBody reaches the bodies without passing a frame's header.
func FuzzBody(f *testing.F) {
	w := newWorld(4)
	for _, g := range w.messages() {
		f.Add(g.Kind, g.Author, g.Body)
		f.Add(g.Kind+1, g.Author+1, g.Body)
		damaged(g.Body, func(b []byte) { f.Add(g.Kind, g.Author, b) })
	}
	f.Fuzz(func(t *testing.T, kind uint8, author uint16, body []byte) {
		if len(body) > 1<<20 {
			return
		}
		h := w.cfg.header(Kind(kind), int(author))
		var g *wire.Frame
		if Kind(kind).signed() {
			g = wire.EncodeSigned(h, body, func([]byte) []byte { return make([]byte, 64) })
		} else {
			g = wire.Encode(h, body)
		}
		m, err := Decode(w.cfg, g)
		if err == nil && !bytes.Equal(encodeBody(w, m), body) {
			t.Fatalf("%v %x is not canonical", Kind(kind), body)
		}
	})
}
