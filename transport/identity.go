package transport

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"os"
	"strings"
	"time"
)

// Key is an Ed25519 public key, the only name a process has in this package.
type Key = [ed25519.PublicKeySize]byte

// wireVersion is the ALPN name. A process refuses every other one.
const wireVersion = "tagma/1"

var (
	errKeyType = errors.New("the certificate's key is not of type Ed25519")
	errKey     = errors.New("not the key wanted")
	errALPN    = errors.New("no application protocol agreed, need " + wireVersion)
)

// Identity is a private key with the certificate that TLS needs around it.
// It is immutable and may be shared by servers and links.
type Identity struct {
	key         Key
	certificate tls.Certificate
}

// NewIdentity makes a self-signed certificate for key, in memory. The
// certificate is never a source of trust, only the key in it, so it names
// nobody and does not expire. It fails if key is not 64 bytes, or if its public
// half does not belong to its private half. The identity keeps key.
func NewIdentity(key ed25519.PrivateKey) (*Identity, error) {
	if len(key) != ed25519.PrivateKeySize {
		return nil, fmt.Errorf("transport: a private key has %d bytes, not %d", ed25519.PrivateKeySize, len(key))
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		NotBefore:    time.Unix(0, 0),
		NotAfter:     time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no expiration
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("transport: making a certificate: %w", err)
	}
	return &Identity{
		key:         Key(key.Public().(ed25519.PublicKey)),
		certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key},
	}, nil
}

// Key returns the public key of the identity.
func (id *Identity) Key() Key { return id.key }

// serverConfig asks for some Ed25519 key; whether it is allowed is asked after
// the handshake, because only then is possession proven.
func (id *Identity) serverConfig() *tls.Config {
	config := id.config()
	config.ClientAuth = tls.RequireAnyClientCert
	config.VerifyConnection = func(state tls.ConnectionState) error {
		_, err := provenKey(state)
		return err
	}
	return config
}

func (id *Identity) clientConfig(want Key) *tls.Config {
	config := id.config()
	// There is no authority to verify a chain against: VerifyConnection, which
	// unlike VerifyPeerCertificate is never skipped, pins the key instead.
	config.InsecureSkipVerify = true
	config.VerifyConnection = func(state tls.ConnectionState) error {
		got, err := provenKey(state)
		if err == nil && got != want {
			err = fmt.Errorf("%w: %x", errKey, got)
		}
		return err
	}
	return config
}

func (id *Identity) config() *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{id.certificate},
		MinVersion:   tls.VersionTLS13,
		MaxVersion:   tls.VersionTLS13,
		NextProtos:   []string{wireVersion},
		// A resumed session would skip the proof of possession.
		SessionTicketsDisabled: true,
		// Small first records help whoever uses a page before it is whole; a
		// frame is useless until it is.
		DynamicRecordSizingDisabled: true,
	}
}

// provenKey returns the key of the other end. It also insists on the protocol,
// because crypto/tls lets a peer pass that offers none.
func provenKey(state tls.ConnectionState) (Key, error) {
	if state.NegotiatedProtocol != wireVersion {
		return Key{}, errALPN
	}
	if len(state.PeerCertificates) == 0 {
		return Key{}, errKeyType
	}
	key, ok := state.PeerCertificates[0].PublicKey.(ed25519.PublicKey)
	if !ok || len(key) != ed25519.PublicKeySize {
		return Key{}, errKeyType
	}
	return Key(key), nil
}

// handshakeKind tells why a handshake failed.
func handshakeKind(err error) Kind {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return HandshakeTimeout
	case errors.Is(err, errKey), errors.Is(err, errKeyType):
		return RefusedKey
	case errors.Is(err, errALPN), strings.Contains(err.Error(), "application protocol"):
		// crypto/tls has no typed error for a mismatch, neither for its own
		// finding nor for the other end's alert; both texts hold these words.
		return BadALPN
	}
	return BadHandshake
}
