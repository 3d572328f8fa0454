package transport

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"sync"
	"time"
)

const (
	// handshakeTimeout bounds a dialer's TCP connect, and then, on both sides,
	// everything up to and including the greeting.
	handshakeTimeout = 5 * time.Second
	// stallTimeout is how long the other end may take nothing while we write.
	stallTimeout = 10 * time.Second

	readBuffer  = 16 << 10 // one TLS record
	writeBuffer = chunkBytes

	// greeting is the byte by which a server says that it allows the key.
	greeting = 1
)

// conn is one connection, from TCP to its end. A link has one at a time.
type conn struct {
	raw   net.Conn
	tls   *tls.Conn
	feed  feed
	queue queue
}

func newConn(raw net.Conn, wrapped *tls.Conn, inbox *Inbox) *conn {
	c := &conn{raw: raw, tls: wrapped, feed: feed{inbox: inbox}}
	c.queue.init()
	return c
}

// shut ends the connection and wakes whatever waits for it. It does not wait,
// and may be called at any time, by anyone, more than once. TLS is not closed
// politely, as that could block on a peer that does not read.
func (c *conn) shut() {
	c.raw.Close()
	c.queue.close()
	c.feed.end()
}

// carry moves frames for link, in both directions, until the connection ends.
func (c *conn) carry(link *Link) {
	c.feed.begin(link.key)
	defer c.feed.leave()
	var writer sync.WaitGroup
	writer.Go(func() {
		c.write(link)
		c.shut()
	})
	c.read(link)
	c.shut()
	writer.Wait()
	if dropped, _ := c.queue.wait(); dropped > 0 {
		link.reportDropped(dropped, "queue full until the connection was lost")
	}
}

// read delivers frames to the inbox until the connection ends.
func (c *conn) read(link *Link) {
	r := bufio.NewReaderSize(c.tls, readBuffer)
	header := make([]byte, headerBytes)
	for {
		frame, err := readFrame(r, header)
		if err != nil {
			if errors.Is(err, errFrameLength) {
				link.report(BadFrame, err.Error())
			}
			return
		}
		if !c.feed.put(Received{From: link, Frame: frame}) {
			return
		}
	}
}

// write empties the queue into one buffer, flushes whenever the queue is empty,
// and returns when the connection ends.
func (c *conn) write(link *Link) {
	w := bufio.NewWriterSize(pieces{c.tls}, writeBuffer)
	header := make([]byte, headerBytes)
	batch := make([][]byte, 0, batchFrames)
	for {
		frames := c.queue.take(batch)
		err := writeFrames(w, header, frames)
		if err == nil && len(frames) == 0 {
			err = c.flush(w)
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				link.report(Stalled, "took nothing for "+stallTimeout.String())
			}
			return
		}
		if len(frames) > 0 {
			clear(frames) // written: do not keep them alive
			continue
		}
		dropped, open := c.queue.wait()
		if dropped > 0 {
			link.reportDropped(dropped, "queue full")
		}
		if !open {
			return
		}
		if dropped > 0 {
			link.drained(link)
		}
	}
}

// flush sends what is buffered and takes the deadline away, which would be a
// timer on an idle link (T5).
func (c *conn) flush(w *bufio.Writer) error {
	if w.Buffered() > 0 {
		if err := w.Flush(); err != nil {
			return err
		}
	}
	return c.raw.SetWriteDeadline(time.Time{})
}

func writeFrames(w *bufio.Writer, header []byte, frames [][]byte) error {
	for _, frame := range frames {
		binary.BigEndian.PutUint32(header, uint32(len(frame)))
		if _, err := w.Write(header); err != nil {
			return err
		}
		if _, err := w.Write(frame); err != nil {
			return err
		}
	}
	return nil
}

// pieces writes at most chunkBytes under one deadline, so that the deadline
// bounds how long the other end takes nothing, not how long a frame takes.
type pieces struct{ conn net.Conn }

func (p pieces) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		if err = p.conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
			break
		}
		var n int
		n, err = p.conn.Write(b[:min(len(b), chunkBytes)])
		written += n
		b = b[n:]
	}
	return written, err
}
