package transport

import (
	"fmt"
	"sync/atomic"
)

// Link is a way to one other process whose key is proven: one accepted
// connection, or, from Dial, a succession of connections to one address.
//
// The callbacks of a link are called one at a time, on goroutines of the link:
// while one runs, the link stands still. They may Send, and must not close
// anything that waits for them (see Close).
type Link struct {
	key  Key
	addr string

	conn   atomic.Pointer[conn] // nil while not connected
	missed atomic.Int64         // frames refused for want of a connection

	batched bool // in the Batch that the link belongs to

	opened, closed, drained func(*Link)
	event                   func(Event)
	stop                    func()
}

// Key returns the key of the process at the other end: for an accepted link
// the one it has proven, for a dialed link the one it must prove.
func (l *Link) Key() Key { return l.key }

// Connected tells whether there is a connection on which the other end has
// proven its key and, for a dialed link, has welcomed ours.
func (l *Link) Connected() bool { return l.conn.Load() != nil }

// Send queues all the frames, in this order and with nothing in between, or
// none of them. It never blocks. It returns false, and the frames are lost, if
// the link is not connected, or if they would take a queue that is not empty
// beyond 32 MiB, where a frame counts for its length and 64. True is no promise
// of delivery: what is queued is lost when the connection breaks.
//
// What is little leaves on the caller's goroutine, as far as the system takes
// it at once; all else is written by a goroutine of the link.
//
// The caller must not change the bytes of the frames afterwards; it may send
// the same frame on many links. Send panics if a frame is empty or longer than
// MaxFrame, which the other end would take for an attack.
func (l *Link) Send(frames ...[]byte) bool {
	ok := l.put(frames)
	l.flush()
	return ok
}

func (l *Link) put(frames [][]byte) bool {
	for _, frame := range frames {
		if len(frame) == 0 || len(frame) > MaxFrame {
			panic(fmt.Sprintf("transport: Send of a frame of %d bytes, allowed are 1 to %d", len(frame), MaxFrame))
		}
	}
	c := l.conn.Load()
	if c == nil {
		l.missed.Add(int64(len(frames)))
		return false
	}
	return c.queue.push(frames)
}

func (l *Link) flush() {
	if c := l.conn.Load(); c != nil {
		c.flush()
	}
}

// Batch is sends on many links that leave together: what goes to one link in
// one batch is one write. It is for one goroutine at a time, and a link may be
// in one Batch only. The zero value is ready for use.
type Batch struct{ links []*Link }

// Send is Link.Send, except that the frames may wait until Flush.
func (b *Batch) Send(l *Link, frames ...[]byte) bool {
	ok := l.put(frames)
	if !l.batched {
		l.batched = true
		b.links = append(b.links, l)
	}
	return ok
}

// Flush lets leave what has been sent. It never blocks.
func (b *Batch) Flush() {
	for _, l := range b.links {
		l.batched = false
		l.flush()
	}
	clear(b.links)
	b.links = b.links[:0]
}

// Close ends the link for ever; frames not yet written are lost. It may be
// called more than once.
//
// On a dialed link it waits until the link's goroutines and callbacks have
// returned, so it must not be called by a callback of the link, nor while
// holding a lock that one takes. On an accepted link, whose goroutines belong
// to the server, it only begins: ServerOptions.Closed tells the end, and
// Server.Close waits for it.
func (l *Link) Close() { l.stop() }

// run carries one authenticated connection, on the caller's goroutine, until
// it ends (T1: nothing else makes a link connected or calls opened).
func (l *Link) run(c *conn) {
	l.conn.Store(c)
	l.opened(l)
	c.carry(l)
	l.conn.Store(nil)
	l.closed(l)
}

func (l *Link) report(kind Kind, reason string) {
	l.event(newEvent(kind, l.key, l.addr, reason))
}

func (l *Link) reportDropped(count int, reason string) {
	e := newEvent(DroppedFrames, l.key, l.addr, reason)
	e.Count = count
	l.event(e)
}

func ignoreLink(*Link)  {}
func ignoreEvent(Event) {}

// orElse returns f, or fallback if f is nil: the callbacks of options are optional.
func orElse[T any](f, fallback func(T)) func(T) {
	if f == nil {
		return fallback
	}
	return f
}
