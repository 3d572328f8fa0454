package auth

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
)

// SignatureSize is the length of a signature in bytes.
const SignatureSize = ed25519.SignatureSize

// PublicKey names a replica or a client.
type PublicKey [ed25519.PublicKeySize]byte

// String is the key in hexadecimal.
func (k PublicKey) String() string { return hex.EncodeToString(k[:]) }

// Signer signs with one key. Keys are made and kept elsewhere.
type Signer interface {
	Public() PublicKey
	// Sign returns a signature of SignatureSize bytes.
	Sign(statement []byte) []byte
}

// Verifier is the verification predicate. There is one implementation, Ed25519,
// and the simulator's model of an ideal one.
type Verifier interface {
	Verify(key PublicKey, statement, signature []byte) bool
}

// Ed25519 is the verification predicate of every real cluster.
type Ed25519 struct{}

// Verify is the standard library's predicate.
func (Ed25519) Verify(key PublicKey, statement, signature []byte) bool {
	return len(signature) == SignatureSize && ed25519.Verify(key[:], statement, signature)
}

type signer struct{ private ed25519.PrivateKey }

// NewSigner signs with an Ed25519 private key (64 bytes, RFC 8032 seed and public key).
func NewSigner(private ed25519.PrivateKey) Signer { return signer{private} }

func (s signer) Public() (k PublicKey) {
	copy(k[:], s.private[32:])
	return k
}

func (s signer) Sign(statement []byte) []byte { return ed25519.Sign(s.private, statement) }

// Reasons for which CheckKey refuses a key.
var (
	ErrSmallOrder   = errors.New("public key has small order: signatures under it prove nothing")
	ErrNonCanonical = errors.New("public key is not in canonical form")
)

// smallOrder lists the y coordinates, little-endian, of the points whose order
// divides 8, the cofactor [RFC 8032 section 5.1].
var smallOrder = [...]PublicKey{
	{},
	{0x01},
	mustKey("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
	mustKey("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
	mustKey("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}

func mustKey(s string) (k PublicKey) {
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(k) {
		panic("auth: bad constant " + s)
	}
	copy(k[:], b)
	return k
}

// CheckKey refuses keys that must not be registered: y ≥ 2²⁵⁵−19, and points
// of small order. It is asked once for every key that a genesis, a
// configuration or an access rule names.
func CheckKey(key PublicKey) error {
	y := key
	y[31] &= 0x7f
	high := y[31] == 0x7f
	for _, b := range y[1:31] {
		high = high && b == 0xff
	}
	if high && y[0] >= 0xed {
		return ErrNonCanonical
	}
	for _, small := range smallOrder {
		if y == small {
			return ErrSmallOrder
		}
	}
	return nil
}
