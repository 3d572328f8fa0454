package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// The tests of this file run in bubbles: time passes only when all goroutines
// wait, and a goroutine left behind at the end fails the test (T6).

func bubble(t *testing.T, test func(t *testing.T, a, b *party, network *pipes)) {
	synctest.Test(t, func(t *testing.T) {
		test(t, newParty(t, 1), newParty(t, 2), newPipes())
	})
}

func mustDial(t *testing.T, network *pipes) net.Conn {
	t.Helper()
	raw, err := network.dial(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// heldUp makes a link from a to a b that has greeted and does not read, and
// fills its queue until it has refused two frames.
func heldUp(t *testing.T, a, b *party, network *pipes) (*Link, *tls.Conn) {
	t.Helper()
	link := dial(a.dialOptions("", b.id.Key()), network.dial)
	raw, _ := network.Accept()
	peer, err := b.foreignServer(raw, nil)
	if err != nil {
		t.Fatal(err)
	}
	next(t, a.up)
	fill(t, link)
	return link, peer
}

func fill(t *testing.T, link *Link) {
	t.Helper()
	frame, n := make([]byte, 1<<20), 0
	for link.Send(frame) {
		n++
	}
	if n < 30 || n > 32 {
		t.Fatalf("a queue of 32 MiB took %d MiB", n)
	}
	link.Send(frame)
}

func TestSilentClientsAreBoundedAndTimeOut(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		server := serve(b.serverOptions(a), network)
		for range maxUnproven {
			mustDial(t, network)
		}
		began := time.Now()
		if _, err := mustDial(t, network).Read(make([]byte, 1)); err != io.EOF {
			t.Fatalf("read %v, want EOF", err)
		}
		b.expectEvent(TooManyConnections)
		if time.Since(began) != 0 {
			t.Fatal("not refused at once")
		}
		for range maxUnproven {
			b.expectEvent(HandshakeTimeout)
		}
		if time.Since(began) != handshakeTimeout {
			t.Fatalf("timed out after %v", time.Since(began))
		}
		link := dial(a.dialOptions("", b.id.Key()), network.dial) // there is room again
		next(t, a.up)
		link.Close()
		server.Close()
	})
}

// A server that accepts and is silent, and one that shakes hands but does not greet.
func TestDialerTimesOut(t *testing.T) {
	for name, handshake := range map[string]bool{"silent": false, "no greeting": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, a, b *party, network *pipes) {
				began := time.Now()
				link := dial(a.dialOptions("", b.id.Key()), network.dial)
				raw, _ := network.Accept()
				if handshake {
					if err := tls.Server(raw, b.id.serverConfig()).Handshake(); err != nil {
						t.Fatal(err)
					}
				}
				a.expectEvent(HandshakeTimeout)
				if time.Since(began) != handshakeTimeout {
					t.Fatalf("timed out after %v", time.Since(began))
				}
				network.Accept() // the next attempt hangs as well
				began = time.Now()
				link.Close()
				if time.Since(began) != 0 {
					t.Fatal("Close waited for the timeout")
				}
			})
		})
	}
}

// Send does not block on a peer that does not read, which is closed in the end.
func TestStalledPeerIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		began := time.Now()
		link, _ := heldUp(t, a, b, network)
		if time.Since(began) != 0 {
			t.Fatal("Send blocked")
		}
		a.expectEvent(Stalled)
		if time.Since(began) != stallTimeout {
			t.Fatalf("stalled after %v", time.Since(began))
		}
		if e := a.expectEvent(DroppedFrames); e.Count != 2 {
			t.Fatalf("%d frames dropped, want 2", e.Count)
		}
		next(t, a.down)
		link.Close()
	})
}

// A peer that reads slowly is not stalled, however long one frame takes.
func TestSlowPeerIsNotClosed(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		link := dial(a.dialOptions("", b.id.Key()), network.dial)
		raw, _ := network.Accept()
		peer, err := b.foreignServer(raw, nil)
		if err != nil {
			t.Fatal(err)
		}
		next(t, a.up)
		link.Send(make([]byte, 1<<20-headerBytes))
		for range 1 << 20 / chunkBytes {
			<-time.After(stallTimeout * 9 / 10)
			if _, err := io.ReadFull(peer, make([]byte, chunkBytes)); err != nil {
				t.Fatal(err)
			}
		}
		link.Close()
		if len(a.events) != 0 {
			t.Fatalf("event %+v", <-a.events)
		}
	})
}

func TestUpAgainWhenQueueHasDrained(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		link, peer := heldUp(t, a, b, network)
		synctest.Wait()
		if len(a.up) != 0 || len(a.events) != 0 {
			t.Fatal("drained before the peer read")
		}
		go io.Copy(io.Discard, peer)
		next(t, a.up)
		if e := a.expectEvent(DroppedFrames); e.Count != 2 {
			t.Fatalf("%d frames dropped, want 2", e.Count)
		}
		fill(t, link) // there is room again, and the next run of refusals is told again
		next(t, a.up)
		a.expectEvent(DroppedFrames)
		link.Close()
		if next(t, a.down); len(a.down)+len(a.up) != 0 {
			t.Fatal("Up or Down once too often")
		}
	})
}

func TestDrainedOnAcceptedLink(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		server := serve(b.serverOptions(a), network)
		peer, err := a.foreignClient(mustDial(t, network), b.id.Key(), nil)
		if err != nil {
			t.Fatal(err)
		}
		link := next(t, b.up)
		fill(t, link)
		go io.Copy(io.Discard, peer)
		if next(t, b.drained) != link {
			t.Fatal("another link drained")
		}
		b.expectEvent(DroppedFrames)
		server.Close()
		next(t, b.down)
	})
}

// watched counts what is written and remembers the deadlines that are set.
type watched struct {
	net.Conn
	written   atomic.Int64
	deadlines [2]atomic.Int64 // read, write: Unix time in ns, 0 for none
}

func (w *watched) Write(b []byte) (int, error) {
	w.written.Add(int64(len(b)))
	return w.Conn.Write(b)
}

func (w *watched) SetDeadline(t time.Time) error {
	w.note(0, t)
	w.note(1, t)
	return w.Conn.SetDeadline(t)
}

func (w *watched) SetWriteDeadline(t time.Time) error {
	w.note(1, t)
	return w.Conn.SetWriteDeadline(t)
}

func (w *watched) note(which int, t time.Time) {
	w.deadlines[which].Store(0)
	if !t.IsZero() {
		w.deadlines[which].Store(t.UnixNano())
	}
}

// T5: after an hour of idleness nothing was written and no deadline is set.
func TestIdleLinkIsQuiet(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		server := serve(b.serverOptions(a), network)
		var conn *watched
		link := dial(a.dialOptions("", b.id.Key()), func(ctx context.Context, _ string) (net.Conn, error) {
			raw, err := network.dial(ctx, "")
			conn = &watched{Conn: raw}
			return conn, err
		})
		next(t, a.up)
		link.Send([]byte("one frame"))
		b.receive(1)
		synctest.Wait()
		before := conn.written.Load()
		<-time.After(time.Hour)
		if conn.written.Load() != before {
			t.Fatal("an idle link wrote")
		}
		if conn.deadlines[0].Load() != 0 || conn.deadlines[1].Load() != 0 {
			t.Fatal("an idle link has a deadline")
		}
		if !link.Connected() || len(a.down)+len(b.down) != 0 {
			t.Fatal("an idle link was lost")
		}
		link.Close()
		server.Close()
	})
}

// T6: Close ends links whose reader waits for the inbox and whose writer waits
// for the peer, in either order of closing.
func TestCloseWhileEverythingIsBlocked(t *testing.T) {
	for name, serverFirst := range map[string]bool{"server first": true, "link first": false} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, a, b *party, network *pipes) {
				a.inbox, b.inbox = NewInbox(1), NewInbox(1)
				server := serve(b.serverOptions(a), network)
				link := dial(a.dialOptions("", b.id.Key()), network.dial)
				next(t, a.up)
				fill(t, link)
				fill(t, next(t, b.up))
				synctest.Wait()
				if serverFirst {
					server.Close()
					link.Close()
				} else {
					link.Close()
					server.Close()
				}
				if len(a.down) != len(a.up)+1 || len(b.down) != 1 {
					t.Fatal("a callback is missing after Close")
				}
			})
		})
	}
}

// An outage is told once, however many attempts fail.
func TestUnreachableIsToldOnce(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		network.Close()
		link := dial(a.dialOptions("there", b.id.Key()), network.dial)
		if e := a.expectEvent(Unreachable); e.Addr != "there" || e.Key != b.id.Key() {
			t.Fatalf("event %+v", e)
		}
		<-time.After(10 * maxPause)
		link.Close()
		if len(a.events)+len(a.up)+len(a.down) != 0 {
			t.Fatal("another event, or a callback")
		}
	})
}

func TestPausesBetweenAttempts(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		attempts := make(chan time.Time)
		link := dial(a.dialOptions("", b.id.Key()), func(ctx context.Context, _ string) (net.Conn, error) {
			attempts <- time.Now()
			return nil, errors.New("refused")
		})
		last, pause := next(t, attempts), minPause
		for range 12 {
			now := next(t, attempts)
			if d := now.Sub(last); d < pause/2 || d > pause {
				t.Fatalf("paused for %v, want %v to %v", d, pause/2, pause)
			}
			last, pause = now, min(2*pause, maxPause)
		}
		link.Close()
	})
}

func TestConnectionsOfOneKeyAreBounded(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		server := serve(b.serverOptions(a), network)
		var first *Link
		for range maxPerKey + 1 {
			peer, err := a.foreignClient(mustDial(t, network), b.id.Key(), nil)
			if err != nil {
				t.Fatal(err)
			}
			go io.Copy(io.Discard, peer)
			if l := next(t, b.up); first == nil {
				first = l
			}
		}
		if e := b.expectEvent(TooManyConnections); e.Key != a.id.Key() {
			t.Fatalf("event %+v", e)
		}
		if next(t, b.down) != first || len(b.down) != 0 {
			t.Fatal("not the oldest was closed")
		}
		server.Close()
		if len(server.conns)+len(server.links)+server.unproven != 0 {
			t.Fatal("the server remembers connections")
		}
	})
}

// short is a listener that fails once, as for want of file descriptors.
type short struct {
	*pipes
	failed atomic.Bool
}

func (s *short) Accept() (net.Conn, error) {
	if s.failed.CompareAndSwap(false, true) {
		return nil, errors.New("too many open files")
	}
	return s.pipes.Accept()
}

func TestAcceptingGoesOnAfterFailure(t *testing.T) {
	bubble(t, func(t *testing.T, a, b *party, network *pipes) {
		server := serve(b.serverOptions(a), &short{pipes: network})
		b.expectEvent(AcceptFailed)
		link := dial(a.dialOptions("", b.id.Key()), network.dial)
		next(t, a.up)
		link.Close()
		server.Close()
	})
}
