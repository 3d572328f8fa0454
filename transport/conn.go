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
	wire  *socket
	tls   *tls.Conn
	feed  feed
	queue queue

	// writing is held by whoever takes from the queue and writes: the writer,
	// or a flush. It guards what follows.
	writing sync.Mutex
	out     *bufio.Writer
	batch   [][]byte
	header  [headerBytes]byte
}

// newConn wraps a TCP connection; protect is tls.Client or tls.Server.
func newConn(tcp net.Conn, protect func(net.Conn, *tls.Config) *tls.Conn, config *tls.Config, inbox *Inbox) *conn {
	c := &conn{wire: newSocket(tcp), feed: feed{inbox: inbox}, batch: make([][]byte, 0, batchFrames)}
	c.tls = protect(c.wire, config)
	c.out = bufio.NewWriterSize(c.tls, writeBuffer)
	c.queue.init()
	return c
}

// shut ends the connection and wakes whatever waits for it. It does not wait,
// and may be called at any time, by anyone, more than once. TLS is not closed
// politely, as that could block on a peer that does not read.
func (c *conn) shut() {
	c.wire.Close()
	c.queue.close()
	c.feed.end()
}

// carry moves frames for link, in both directions, until the connection ends.
func (c *conn) carry(link *Link) {
	c.feed.begin(link.key)
	c.wire.begin()
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

// write is the writer: it empties the queue whenever it is woken, and returns
// when the connection ends.
func (c *conn) write(link *Link) {
	for {
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
		c.writing.Lock()
		err := c.empty()
		c.writing.Unlock()
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				link.report(Stalled, "took nothing for "+stallTimeout.String())
			}
			return
		}
	}
}

// empty writes all that is queued and waits until the other end has it.
func (c *conn) empty() error {
	for {
		frames := c.queue.take(c.batch[:0])
		err := c.encode(frames)
		if err == nil && len(frames) == 0 {
			err = c.out.Flush()
		}
		if err == nil {
			err = c.wire.drain()
		}
		if err != nil || len(frames) == 0 {
			return err
		}
	}
}

// flush writes what is queued if it is little and the system takes it at once,
// and leaves the rest to the writer. It never blocks.
func (c *conn) flush() {
	if !c.writing.TryLock() {
		return // whoever writes looks at the queue again afterwards
	}
	var err error
	if !c.wire.spilled() {
		if frames := c.queue.takeFew(c.batch[:0]); len(frames) > 0 {
			if err = c.encode(frames); err == nil {
				err = c.out.Flush()
			}
			c.queue.written()
		}
	}
	left := c.wire.spilled()
	c.writing.Unlock()
	if err != nil {
		c.shut()
	}
	c.queue.wake(left)
}

// encode writes frames to the buffer and forgets them.
func (c *conn) encode(frames [][]byte) error {
	for _, frame := range frames {
		binary.BigEndian.PutUint32(c.header[:], uint32(len(frame)))
		if _, err := c.out.Write(c.header[:]); err != nil {
			return err
		}
		for len(frame) > chunkBytes { // the writer's alone: takeFew gives no such frame
			if _, err := c.out.Write(frame[:chunkBytes]); err != nil {
				return err
			}
			if err := c.wire.drain(); err != nil {
				return err
			}
			frame = frame[chunkBytes:]
		}
		if _, err := c.out.Write(frame); err != nil {
			return err
		}
	}
	clear(frames) // written: do not keep them alive
	return nil
}
