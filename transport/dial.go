package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// The pause between two attempts to connect: doubled from minPause to maxPause,
// and begun anew after a connection that held for maxPause. Half of each pause
// is random, lest all links of a cluster return at once.
const (
	minPause = 50 * time.Millisecond
	maxPause = 5 * time.Second
)

// DialOptions say what to connect to. Up, Down and Event may be nil.
type DialOptions struct {
	Address  string    // "host:port"; the name is resolved anew at every attempt
	Want     Key       // the only key the server may have
	Identity *Identity // who we are
	Inbox    *Inbox    // where the link's frames go, as those of the key Want

	// Up is called whenever the connection has been made, and again when a
	// queue that had refused frames has drained: the moments to say again what
	// the other end may have missed. Down is called when the connection is
	// lost or closed, once for each time it was made.
	Up, Down func(*Link)

	// Event is told once in an outage of each kind of failure in a row, and of
	// frames refused: when the queue has drained, the link is made or lost.
	Event func(Event)
}

// dialer keeps one link connected.
type dialer struct {
	link    *Link
	want    Key
	inbox   *Inbox
	tls     *tls.Config
	connect func(ctx context.Context, address string) (net.Conn, error)

	ctx    context.Context // ended by close
	cancel context.CancelFunc
	done   chan struct{} // closed when run has returned

	mu   sync.Mutex
	held *conn // what close must shut; nil between connections

	told Kind // the kind of failure last reported in this outage; only run uses it
}

// Dial makes a lasting link to one address: it connects, and reconnects for
// ever, until Link.Close. It returns at once; the link is not yet connected.
// While it is not connected it refuses frames, so that nothing stale piles up.
func Dial(options DialOptions) *Link {
	return dial(options, func(ctx context.Context, address string) (net.Conn, error) {
		// The defaults of net suit us: no delay, and the kernel's keep-alive
		// probes, which find a peer that vanished while the link is idle.
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	})
}

func dial(options DialOptions, connect func(context.Context, string) (net.Conn, error)) *Link {
	d := &dialer{
		want:    options.Want,
		inbox:   options.Inbox,
		tls:     options.Identity.clientConfig(options.Want),
		connect: connect,
		done:    make(chan struct{}),
	}
	d.ctx, d.cancel = context.WithCancel(context.Background())
	up := orElse(options.Up, ignoreLink)
	d.link = &Link{
		key:     options.Want,
		addr:    options.Address,
		opened:  up,
		closed:  orElse(options.Down, ignoreLink),
		drained: up,
		event:   orElse(options.Event, ignoreEvent),
		stop:    d.close,
	}
	go d.run()
	return d.link
}

func (d *dialer) run() {
	defer close(d.done)
	pause := minPause
	for {
		began := time.Now()
		if d.attempt() && time.Since(began) >= maxPause {
			pause = minPause
		}
		if !sleep(d.ctx.Done(), pause/2+rand.N(pause/2)) {
			return
		}
		pause = min(2*pause, maxPause)
	}
}

// attempt makes one connection and, if it comes up, carries it to its end.
func (d *dialer) attempt() (wasUp bool) {
	ctx, cancel := context.WithTimeout(d.ctx, handshakeTimeout)
	raw, err := d.connect(ctx, d.link.addr)
	cancel()
	if err != nil {
		d.failed(Unreachable, err)
		return false
	}
	c := newConn(raw, tls.Client, d.tls, d.inbox)
	defer c.shut()
	if !d.hold(c) {
		return false
	}
	if kind, err := awaitWelcome(c); err != nil {
		d.failed(kind, err)
		return false
	}
	d.told = 0
	if missed := d.link.missed.Swap(0); missed > 0 {
		d.link.reportDropped(int(missed), "not connected")
	}
	d.link.run(c)
	return true
}

// awaitWelcome does the handshake and reads the greeting.
func awaitWelcome(c *conn) (Kind, error) {
	if err := c.wire.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return BadHandshake, err
	}
	if err := c.tls.Handshake(); err != nil {
		return handshakeKind(err), err
	}
	var got [1]byte
	if _, err := c.tls.Read(got[:]); err != nil {
		kind := handshakeKind(err)
		if kind == BadHandshake {
			kind, err = Unwelcome, fmt.Errorf("no greeting: %w", err)
		}
		return kind, err
	}
	if got[0] != greeting {
		return BadHandshake, errors.New("greeting unknown")
	}
	return 0, c.wire.SetDeadline(time.Time{})
}

// hold lets close shut the connection; false if close has been called already.
func (d *dialer) hold(c *conn) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held = c
	return d.ctx.Err() == nil
}

func (d *dialer) close() {
	d.cancel()
	d.mu.Lock()
	if d.held != nil {
		d.held.shut()
	}
	d.mu.Unlock()
	<-d.done
}

func (d *dialer) failed(kind Kind, err error) {
	if d.ctx.Err() != nil || kind == d.told {
		return
	}
	d.told = kind
	d.link.report(kind, err.Error())
}

// sleep waits for pause; false if done was closed before.
func sleep(done <-chan struct{}, pause time.Duration) bool {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}
