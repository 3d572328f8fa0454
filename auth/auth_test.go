package auth

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"testing"
)

func TestSignVerify(t *testing.T) {
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := NewSigner(private)
	statement := []byte("tagma")
	signature := s.Sign(statement)
	v := Ed25519{}
	if CheckKey(s.Public()) != nil || !v.Verify(s.Public(), statement, signature) {
		t.Fatal("own signature refused")
	}
	for i := range signature {
		signature[i] ^= 1
		if v.Verify(s.Public(), statement, signature) {
			t.Fatalf("signature with byte %d changed accepted", i)
		}
		signature[i] ^= 1
	}
	if v.Verify(s.Public(), []byte("tagmb"), signature) || v.Verify(s.Public(), statement, signature[:63]) {
		t.Fatal("wrong statement or short signature accepted")
	}
}

// TestSmallOrderKeysAreDangerous shows that the listed keys accept one forged
// signature (R = identity, S = 0) for some messages, and are refused.
func TestSmallOrderKeysAreDangerous(t *testing.T) {
	forged := make([]byte, 64)
	forged[0] = 1
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			key := y
			key[31] |= sign
			if !errors.Is(CheckKey(key), ErrSmallOrder) {
				t.Errorf("%v not refused", key)
			}
			accepted := 0
			for i := range uint32(512) {
				if (Ed25519{}).Verify(key, binary.BigEndian.AppendUint32(nil, i), forged) {
					accepted++
				}
			}
			if accepted == 0 && y != (PublicKey{1}) && sign == 0 {
				t.Errorf("%v accepts no forgery: is it of small order?", key)
			}
		}
	}
}

func TestNonCanonicalKeys(t *testing.T) {
	for last := 0xed; last <= 0xff; last++ {
		var key PublicKey
		for i := range key {
			key[i] = 0xff
		}
		key[0] = byte(last)
		for _, top := range []byte{0x7f, 0xff} {
			key[31] = top
			if !errors.Is(CheckKey(key), ErrNonCanonical) {
				t.Errorf("%v accepted", key)
			}
		}
	}
}
