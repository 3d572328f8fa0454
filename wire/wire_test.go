package wire

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the golden vectors anew")

func golden() map[string]*Frame {
	h := Header{Kind: 3, Cluster: Digest{1, 2, 3}, Group: 4, Epoch: 5, Author: 6}
	sign := func(statement []byte) []byte { return bytes.Repeat([]byte{0xab}, SignatureSize) }
	return map[string]*Frame{
		"empty":  Encode(Header{}, nil),
		"plain":  Encode(h, []byte("body")),
		"signed": EncodeSigned(h, []byte("body"), sign),
	}
}

func TestGoldenFrames(t *testing.T) {
	const path = "testdata/frames.txt"
	var out strings.Builder
	for _, name := range []string{"empty", "plain", "signed"} {
		f := golden()[name]
		d := f.Digest()
		out.WriteString(name + " " + hex.EncodeToString(f.Raw()) + " " + hex.EncodeToString(d[:]) + "\n")
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
		t.Fatalf("the byte form of frames changed: this breaks every cluster.\n%s", out.String())
	}
}

func TestFrameStatement(t *testing.T) {
	f := golden()["signed"]
	if !bytes.HasPrefix(f.Raw(), f.Statement()) || len(f.Raw())-len(f.Statement()) != 2+trailerSize {
		t.Fatal("the statement is not all before the trailer")
	}
	again, err := Decode(f.Raw())
	if err != nil || again.Header != f.Header || !bytes.Equal(again.Signature, f.Signature) || again.Digest() != f.Digest() {
		t.Fatal("a frame does not survive its encoding")
	}
}

// TestEveryByteMatters: no change of a byte, and no cut or longer form, leaves
// a frame that decodes to the same digest; the trailer counts too.
func TestEveryByteMatters(t *testing.T) {
	f := golden()["signed"]
	for i := range f.Raw() {
		raw := bytes.Clone(f.Raw())
		raw[i] ^= 0x40
		if g, err := Decode(raw); err == nil && g.Digest() == f.Digest() {
			t.Fatalf("byte %d is not covered by the digest", i)
		}
		if _, err := Decode(f.Raw()[:i]); err == nil {
			t.Fatalf("a frame cut at %d decodes", i)
		}
	}
	if _, err := Decode(append(bytes.Clone(f.Raw()), 0)); err == nil {
		t.Fatal("trailing byte accepted")
	}
	withPath := bytes.Clone(f.Raw())
	withPath[len(withPath)-1] = 1
	if _, err := Decode(withPath); err == nil {
		t.Fatal("version 1 accepts a hash path")
	}
}

func TestReaderBounds(t *testing.T) {
	var w Writer
	w.U16(3)
	w.Bytes([]byte("abc"))
	r := NewReader(w.B)
	if r.Count(3, 4) != 0 || r.Err() == nil {
		t.Fatal("a count of more elements than bytes is accepted")
	}
	r = NewReader(w.B)
	if r.Count(3, 2) != 3 || string(r.Bytes(3)) != "abc" || r.Done() != nil {
		t.Fatal("a correct value is refused")
	}
	r = NewReader(w.B[2:])
	if r.Bytes(2) != nil || r.Err() == nil {
		t.Fatal("a string longer than its bound is accepted")
	}
	r = NewReader([]byte{2})
	if r.Bool() || r.Err() == nil {
		t.Fatal("a boolean of 2 is accepted")
	}
	r = NewReader([]byte{1, 2})
	if r.U8(); r.Done() == nil {
		t.Fatal("bytes left over are accepted")
	}
	r = NewReader(nil)
	if r.U64() != 0 || r.U32() != 0 || !r.Digest().IsZero() || r.Err() != ErrMalformed {
		t.Fatal("reading beyond the end is not an error")
	}
}

func TestWriterReader(t *testing.T) {
	var w Writer
	w.U8(1)
	w.U16(2)
	w.U32(3)
	w.U64(4)
	w.I64(-5)
	w.Bool(true)
	w.Raw([]byte("xy"))
	r := NewReader(w.B)
	if r.U8() != 1 || r.U16() != 2 || r.U32() != 3 || r.U64() != 4 || r.I64() != -5 || !r.Bool() ||
		string(r.Raw(2)) != "xy" || r.Left() != 0 || r.Done() != nil {
		t.Fatal("values do not survive")
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range golden() {
		f.Add(g.Raw())
		for i := range g.Raw() {
			f.Add(g.Raw()[:i])
			raw := bytes.Clone(g.Raw())
			raw[i] ^= 0x81
			f.Add(raw)
		}
	}
	f.Add(make([]byte, MaxFrame+1))
	f.Fuzz(func(t *testing.T, raw []byte) {
		g, err := Decode(raw)
		if err != nil {
			return
		}
		var again *Frame
		if g.Signature == nil {
			again = Encode(g.Header, g.Body)
		} else {
			again = EncodeSigned(g.Header, g.Body, func([]byte) []byte { return g.Signature })
		}
		if !bytes.Equal(again.Raw(), raw) {
			t.Fatalf("%x decodes, but encodes to %x", raw, again.Raw())
		}
	})
}
