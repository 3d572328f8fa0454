package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"math/big"
	mathrand "math/rand/v2"
	"net"
	"testing"
)

// T1: a server with another key than wanted is never up.
func TestWrongServerKeyIsRefused(t *testing.T) {
	a, b, other := newParty(t, 1), newParty(t, 2), newParty(t, 3)
	link := a.dial(b.serve(a), other)
	if e := a.expectEvent(RefusedKey); e.Key != other.id.Key() {
		t.Fatalf("event %+v does not name the key wanted", e)
	}
	b.expectEvent(BadHandshake) // told by an alert, it cannot know why
	if link.Send([]byte("x")) {
		t.Fatal("Send to a stranger")
	}
	link.Close()
	if len(a.up) != 0 || len(b.up) != 0 {
		t.Fatal("a link was up")
	}
}

// T1: Allow decides, and the dialer is not deceived by its finished handshake.
func TestUnknownClientIsRefused(t *testing.T) {
	a, b, friend := newParty(t, 1), newParty(t, 2), newParty(t, 3)
	link := a.dial(b.serve(friend), b)
	if e := b.expectEvent(RefusedKey); e.Key != a.id.Key() {
		t.Fatalf("event %+v does not name the key", e)
	}
	a.expectEvent(Unwelcome)
	link.Close()
	if len(a.up) != 0 || len(b.up) != 0 {
		t.Fatal("a link was up")
	}
}

func ecdsaCertificate(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func TestForeignClientsAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		want   Kind
	}{
		{"another version of the wire", func(c *tls.Config) {
			c.NextProtos, c.VerifyConnection = []string{"tagma/2"}, nil
		}, BadALPN},
		{"no version", func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }, BadALPN},
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, BadHandshake},
		{"no certificate", func(c *tls.Config) { c.Certificates = nil }, BadHandshake},
		{"an ECDSA key", func(c *tls.Config) { c.Certificates = []tls.Certificate{ecdsaCertificate(t)} }, RefusedKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newParty(t, 1), newParty(t, 2)
			raw, err := net.Dial("tcp", b.serve(a).Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			if _, err := a.foreignClient(raw, b.id.Key(), c.change); err == nil {
				t.Fatal("welcomed")
			}
			if e := b.expectEvent(c.want); e.Key != (Key{}) || e.Addr != raw.LocalAddr().String() {
				t.Fatalf("event %+v", e)
			}
			if len(b.up) != 0 {
				t.Fatal("opened")
			}
		})
	}
}

func TestForeignServersAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*tls.Config)
		want   Kind
	}{
		{"another version of the wire", func(c *tls.Config) {
			c.NextProtos, c.VerifyConnection = []string{"tagma/2"}, nil
		}, BadALPN},
		{"no version", func(c *tls.Config) { c.NextProtos, c.VerifyConnection = nil, nil }, BadALPN},
		{"TLS 1.2", func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12 }, BadHandshake},
		{"an ECDSA key", func(c *tls.Config) { c.Certificates = []tls.Certificate{ecdsaCertificate(t)} }, RefusedKey},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := newParty(t, 1), newParty(t, 2)
			listener, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer listener.Close()
			link := Dial(a.dialOptions(listener.Addr().String(), b.id.Key()))
			raw, err := listener.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer raw.Close()
			b.foreignServer(raw, c.change)
			a.expectEvent(c.want)
			link.Close()
			if len(a.up) != 0 {
				t.Fatal("up")
			}
		})
	}
}

func TestUnknownGreetingIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		link := dial(a.dialOptions("", b.id.Key()), network.dial)
		raw, _ := network.Accept()
		tls.Server(raw, b.id.serverConfig()).Write([]byte{greeting + 1})
		a.expectEvent(BadHandshake)
		link.Close()
		if len(a.up) != 0 {
			t.Fatal("up")
		}
	})
}

func TestBadFrameLengthIsRefused(t *testing.T) {
	for _, length := range []uint32{0, MaxFrame + 1, 1<<31 - 1, 1<<32 - 1} {
		a, b := newParty(t, 1), newParty(t, 2)
		raw, err := net.Dial("tcp", b.serve(a).Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		conn, err := a.foreignClient(raw, b.id.Key(), nil)
		if err != nil {
			t.Fatal(err)
		}
		conn.Write([]byte{0, 0, 0, 2, 'o', 'k'})
		conn.Write(binary.BigEndian.AppendUint32(nil, length))
		if got := b.receive(1); string(got[0].Frame) != "ok" {
			t.Fatal("the frame before was lost")
		}
		if e := b.expectEvent(BadFrame); e.Key != a.id.Key() {
			t.Fatalf("event %+v", e)
		}
		next(t, b.down)
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Fatal("the connection is open")
		}
		raw.Close()
	}
}

func TestRandomBytesDoNoHarm(t *testing.T) {
	a, b := newParty(t, 1), newParty(t, 2)
	server := b.serve(a)
	random := mathrand.NewChaCha8([32]byte{1})
	for i := range 32 {
		raw, err := net.Dial("tcp", server.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		junk := make([]byte, 1+i*100)
		random.Read(junk)
		if i%2 == 1 {
			copy(junk, []byte{22, 3, 1, 0, 80, 1}) // looks like a ClientHello
		}
		raw.Write(junk)
		raw.(*net.TCPConn).CloseWrite()
		io.Copy(io.Discard, raw)
		raw.Close()
		b.expectEvent(BadHandshake)
	}
	link := a.dial(server, b)
	next(t, a.up)
	link.Send([]byte("well"))
	b.receive(1)
}
