package pbft

import (
	"bytes"
	"encoding/hex"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// exhibits is one proven item of every signed charge, and a witnessed one.
func (w *world) exhibits() []*Evidence {
	c0, c1, c2 := w.changeOf(0, 1, 1), w.changeOf(1, 1, 1), w.changeOf(2, 1, 1)
	none := w.plain(KindBatch, wire.NoAuthor, []byte("no batch"))
	p := w.signed(KindPrePrepare, 0, Vote{View: 0, Seq: 1, Digest: none.Digest()}.encode())
	return []*Evidence{
		equivocation(2, w.signed(KindPrepare, 2, Vote{0, 5, wire.Digest{1}}.encode()), w.signed(KindPrepare, 2, Vote{0, 5, wire.Digest{2}}.encode())),
		{ChargeDiverged, 3, append([]*wire.Frame{w.signed(KindCheckpoint, 3, Checkpoint{Seq: 4}.encode())}, w.stable(4).frames...)},
		{ChargeInvalid, 2, []*wire.Frame{w.signed(KindViewChange, 2, nil)}},
		{ChargeNewView, 1, []*wire.Frame{w.newViewOf(wire.Digest{2}, c0, c1, c2), c0, c1, c2}},
		{ChargeBatch, 0, []*wire.Frame{p, none}},
		Junk(3, w.plain(KindCommit, 2, nil)),
	}
}

func TestGoldenEvidence(t *testing.T) {
	const path = "testdata/evidence.txt"
	w := newWorld(4)
	var out strings.Builder
	for i, e := range w.exhibits() {
		if int(e.Charge) != i+1 {
			t.Fatalf("item %d is a charge of %v", i, e.Charge)
		}
		if err := NewOpener(w.cfg, auth.Ed25519{}).Verify(e); (err == nil) != e.Charge.Signed() {
			t.Fatalf("%v: %v", e.Charge, err)
		}
		id := e.ID()
		out.WriteString(strings.ReplaceAll(e.Charge.String(), " ", "-") + " " + hex.EncodeToString(id[:]) + " " + hex.EncodeToString(e.Encode()) + "\n")
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
		t.Fatal("the byte form of evidence changed: what was exported proves nothing any more")
	}
}

// TestEvidenceIsTheSameForAll: the order in which an observer saw two frames,
// and what else it holds, make no other item.
func TestEvidenceIsTheSameForAll(t *testing.T) {
	w := newWorld(7)
	a := w.signed(KindPrepare, 2, Vote{0, 5, wire.Digest{1}}.encode())
	b := w.signed(KindPrepare, 2, Vote{0, 5, wire.Digest{2}}.encode())
	if x, y := equivocation(2, a, b), equivocation(2, b, a); !bytes.Equal(x.Encode(), y.Encode()) || x.ID() != y.ID() {
		t.Error("two observers record one equivocation as two")
	}
	k := w.signed(KindCheckpoint, 6, Checkpoint{Seq: 4}.encode())
	cert := w.stable(4).frames
	other := append(append([]*wire.Frame(nil), cert[:4]...), w.signed(KindCheckpoint, 5, cert[0].Body))
	x, y := &Evidence{ChargeDiverged, 6, append([]*wire.Frame{k}, cert...)}, &Evidence{ChargeDiverged, 6, append([]*wire.Frame{k}, other...)}
	if o := NewOpener(w.cfg, auth.Ed25519{}); o.Verify(x) != nil || o.Verify(y) != nil || x.ID() != y.ID() {
		t.Error("two observers with different certificates record one checkpoint as two")
	}
	if x.ID() == (&Evidence{ChargeInvalid, 6, x.Frames}).ID() || x.ID() == (&Evidence{ChargeDiverged, 5, x.Frames}).ID() {
		t.Error("the id does not cover charge and accused")
	}
}

func TestEvidenceBounds(t *testing.T) {
	w := newWorld(4)
	good := w.exhibits()[0]
	swapped := *good
	swapped.Frames = []*wire.Frame{good.Frames[1], good.Frames[0]}
	one := *good
	one.Frames = one.Frames[:1]
	twice := *good
	twice.Frames = []*wire.Frame{good.Frames[0], good.Frames[0]}
	for name, b := range map[string][]byte{
		"nothing":          nil,
		"a cut item":       good.Encode()[:len(good.Encode())-1],
		"a byte too many":  append(good.Encode(), 0),
		"in another order": swapped.Encode(),
		"one frame of two": one.Encode(),
		"one frame twice":  twice.Encode(),
		"too large":        make([]byte, MaxEvidence+1),
		"no charge":        append([]byte("TGE\x01\x00"), good.Encode()[5:]...),
		"an unknown one":   append([]byte("TGE\x01\x07"), good.Encode()[5:]...),
		"another version":  append([]byte("TGE\x02"), good.Encode()[4:]...),
	} {
		if _, err := DecodeEvidence(b); err == nil {
			t.Errorf("%s is taken for evidence", name)
		}
	}
}

func FuzzEvidence(f *testing.F) {
	w := newWorld(4)
	for _, e := range w.exhibits() {
		f.Add(e.Encode())
		damaged(e.Encode(), func(b []byte) { f.Add(b) })
	}
	o := NewOpener(w.cfg, auth.Ed25519{})
	runs := 0
	f.Fuzz(func(t *testing.T, raw []byte) {
		e, err := DecodeEvidence(raw)
		if runs++; runs%64 == 1 { // measuring stops the world
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			DecodeEvidence(raw)
			runtime.ReadMemStats(&after)
			if used := after.TotalAlloc - before.TotalAlloc; used > 16*uint64(len(raw))+64<<10 {
				t.Fatalf("decoding %d bytes allocated %d", len(raw), used)
			}
		}
		if err != nil {
			return
		}
		if !bytes.Equal(e.Encode(), raw) {
			t.Fatalf("%x is not canonical", raw)
		}
		e.Place()
		if o.Verify(e) == nil && !e.Charge.Signed() {
			t.Fatalf("%v is proven", e.Charge)
		}
	})
}
