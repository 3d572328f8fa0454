package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"math/rand/v2"
	"testing"

	"github.com/tagma-db/tagma/auth"
)

func testSigner(b byte) auth.Signer {
	return auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)))
}

// smallOrder is a key under which the standard library accepts some forgeries.
func smallOrder() (k auth.PublicKey) {
	b, _ := hex.DecodeString("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")
	copy(k[:], b)
	return k
}

// TestTables: the same verdict as the standard library on good signatures,
// on damaged ones, on S not reduced, and on keys of small order.
func TestTables(t *testing.T) {
	a, b := testSigner(1), testSigner(2)
	v, std := newTables([]auth.PublicKey{a.Public(), smallOrder()}), auth.Ed25519{}
	same := func(key auth.PublicKey, statement, signature []byte) bool {
		want := std.Verify(key, statement, signature)
		if got := v.Verify(key, statement, signature); got != want {
			t.Fatalf("key %v, message %x, signature %x: %v, the standard library says %v", key, statement, signature, got, want)
		}
		return want
	}
	random := rand.New(rand.NewPCG(1, 2))
	accepted := 0
	for i := range 300 {
		statement := bytes.Repeat([]byte{byte(i)}, i)
		for _, s := range []auth.Signer{a, b} { // b has no table
			signature := s.Sign(statement)
			if !same(s.Public(), statement, signature) {
				t.Fatal("a true signature is refused")
			}
			signature[random.IntN(64)] ^= 1 << random.IntN(8)
			same(s.Public(), statement, signature)
			same(s.Public(), statement, signature[:63])
		}
		forged := append([]byte{1}, make([]byte, 63)...)
		if same(smallOrder(), statement, forged) {
			accepted++
		}
	}
	if accepted == 0 {
		t.Fatal("no forgery under a key of small order was accepted: the case is not tested")
	}
	// S + L is the same scalar, not reduced: refused by both.
	order, _ := hex.DecodeString("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	signature := a.Sign([]byte("m"))
	carry := 0
	for i := range order {
		sum := int(signature[32+i]) + int(order[i]) + carry
		signature[32+i], carry = byte(sum), sum>>8
	}
	if same(a.Public(), []byte("m"), signature) {
		t.Fatal("S that is not reduced was accepted")
	}
}

func FuzzTables(f *testing.F) {
	a := testSigner(1)
	v := newTables([]auth.PublicKey{a.Public(), smallOrder()})
	f.Add([]byte("m"), a.Sign([]byte("m")))
	f.Fuzz(func(t *testing.T, statement, signature []byte) {
		for _, key := range []auth.PublicKey{a.Public(), smallOrder()} {
			if v.Verify(key, statement, signature) != (auth.Ed25519{}).Verify(key, statement, signature) {
				t.Fatalf("key %v, message %x, signature %x", key, statement, signature)
			}
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	a := testSigner(1)
	statement := bytes.Repeat([]byte{7}, 128)
	signature := a.Sign(statement)
	for name, v := range map[string]auth.Verifier{"tables": newTables([]auth.PublicKey{a.Public()}), "standard": auth.Ed25519{}} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if !v.Verify(a.Public(), statement, signature) {
					b.Fatal("refused")
				}
			}
		})
	}
}
