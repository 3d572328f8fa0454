package transport

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"testing"
	"time"
)

// patience is how long a test waits for what must come; in a synctest bubble it
// is fake time.
const patience = time.Minute

// party is a process in a test: an identity, an inbox, and a record of all
// callbacks.
type party struct {
	t       testing.TB
	id      *Identity
	inbox   *Inbox
	up      chan *Link // Up of dialed links, Opened of accepted ones
	down    chan *Link
	drained chan *Link
	events  chan Event
}

func newParty(t testing.TB, seed byte) *party {
	t.Helper()
	id, err := NewIdentity(privateKey(seed))
	if err != nil {
		t.Fatal(err)
	}
	return &party{
		t: t, id: id, inbox: NewInbox(0),
		up: make(chan *Link, 1024), down: make(chan *Link, 1024), drained: make(chan *Link, 1024),
		events: make(chan Event, 1024),
	}
}

func privateKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func (p *party) serverOptions(allowed ...*party) ServerOptions {
	return ServerOptions{
		Listen: "127.0.0.1:0", Identity: p.id, Inbox: p.inbox,
		Allow: func(k Key) bool {
			for _, a := range allowed {
				if a.id.Key() == k {
					return true
				}
			}
			return false
		},
		Opened:  func(l *Link) { p.up <- l },
		Closed:  func(l *Link) { p.down <- l },
		Drained: func(l *Link) { p.drained <- l },
		Event:   func(e Event) { p.events <- e },
	}
}

func (p *party) serve(allowed ...*party) *Server {
	p.t.Helper()
	s, err := Serve(p.serverOptions(allowed...))
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { s.Close() })
	return s
}

func (p *party) dialOptions(address string, want Key) DialOptions {
	return DialOptions{
		Address: address, Want: want, Identity: p.id, Inbox: p.inbox,
		Up:    func(l *Link) { p.up <- l },
		Down:  func(l *Link) { p.down <- l },
		Event: func(e Event) { p.events <- e },
	}
}

func (p *party) dial(s *Server, want *party) *Link {
	l := Dial(p.dialOptions(s.Addr().String(), want.id.Key()))
	p.t.Cleanup(l.Close)
	return l
}

// receive waits for n frames and returns them in order of arrival.
func (p *party) receive(n int) (got []Received) {
	p.t.Helper()
	deadline := time.After(patience)
	for len(got) < n {
		select {
		case <-p.inbox.Ready():
			got = p.inbox.Drain(got, n-len(got))
		case <-deadline:
			p.t.Fatalf("%d of %d frames came", len(got), n)
		}
	}
	return got
}

func (p *party) expectEvent(kind Kind) Event {
	p.t.Helper()
	if e := next(p.t, p.events); e.Kind != kind {
		p.t.Fatalf("event %+v (%v), want a %v", e, e.Kind, kind)
	} else if len(e.Reason) > maxReason || e.Reason == "" || e.Count < 1 {
		p.t.Fatalf("malformed event %+v", e)
	} else {
		return e
	}
	panic("unreachable")
}

func next[T any](t testing.TB, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("no %T came", *new(T))
		panic("unreachable")
	}
}

// connected returns the two ends of a fresh link over loopback.
func connected(t testing.TB) (a, b *party, dialed, accepted *Link) {
	a, b = newParty(t, 1), newParty(t, 2)
	dialed = a.dial(b.serve(a), b)
	next(t, a.up)
	return a, b, dialed, next(t, b.up)
}

// pipes is a network in memory, for synctest. It refuses who dials after Close.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes"} }

func (p *pipes) dial(ctx context.Context, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// foreignClient is a client of another make: it connects to a server with a
// changed TLS configuration and returns the error of the handshake, or of
// reading the greeting.
func (p *party) foreignClient(raw net.Conn, want Key, change func(*tls.Config)) (*tls.Conn, error) {
	config := p.id.clientConfig(want)
	if change != nil {
		change(config)
	}
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		return conn, err
	}
	_, err := conn.Read(make([]byte, 1))
	return conn, err
}

// foreignServer greets one connection and then leaves it to the test.
func (p *party) foreignServer(raw net.Conn, change func(*tls.Config)) (*tls.Conn, error) {
	config := p.id.serverConfig()
	if change != nil {
		change(config)
	}
	conn := tls.Server(raw, config)
	if err := conn.Handshake(); err != nil {
		return conn, err
	}
	_, err := conn.Write([]byte{greeting})
	return conn, err
}
