package sim

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/tagma-db/tagma/auth"
)

// ideal models signatures that nobody can forge: a keyed hash whose key only
// the package knows. Who holds a Signer can sign for its own identity alone.
type ideal struct{}

type idealSigner struct{ public auth.PublicKey }

// Public implements auth.Signer.
func (s idealSigner) Public() auth.PublicKey { return s.public }

// Sign implements auth.Signer.
func (s idealSigner) Sign(statement []byte) []byte {
	out := make([]byte, auth.SignatureSize)
	binary.BigEndian.PutUint64(out, keyed(s.public, statement))
	return out
}

// Verify implements auth.Verifier.
func (ideal) Verify(key auth.PublicKey, statement, signature []byte) bool {
	if len(signature) != auth.SignatureSize || binary.BigEndian.Uint64(signature) != keyed(key, statement) {
		return false
	}
	for _, b := range signature[8:] {
		if b != 0 {
			return false
		}
	}
	return true
}

func keyed(key auth.PublicKey, statement []byte) uint64 {
	const odd = 0x9e3779b97f4a7c15
	h := binary.BigEndian.Uint64(key[:]) ^ uint64(len(statement))*odd
	for len(statement) >= 8 {
		hi, lo := bits.Mul64(h^binary.BigEndian.Uint64(statement), odd)
		h = hi ^ bits.RotateLeft64(lo, 23)
		statement = statement[8:]
	}
	for _, b := range statement {
		hi, lo := bits.Mul64(h^uint64(b), odd)
		h = hi ^ bits.RotateLeft64(lo, 23)
	}
	return h
}

// signerOf makes the keys of identity id of one run: ideal ones or real ones.
func signerOf(seed uint64, id string, real bool) auth.Signer {
	secret := sha256.Sum256(binary.BigEndian.AppendUint64([]byte("tagma sim key "+id), seed))
	if real {
		return auth.NewSigner(ed25519.NewKeyFromSeed(secret[:]))
	}
	return idealSigner{auth.PublicKey(secret)}
}

func verifierOf(real bool) auth.Verifier {
	if real {
		return auth.Ed25519{}
	}
	return ideal{}
}
