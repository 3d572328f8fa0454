package transport

import (
	"errors"
	"net"
	"sync"
	"time"
)

// maxSpill bounds the bytes of a connection that are encrypted and wait for
// the other end: a chunk, its records' overhead, and TLS's own answers.
const maxSpill = 4 * chunkBytes

var errSpill = errors.New("the other end takes nothing and asks for more")

// socket is the connection under TLS. Once begin has been called its writes
// never block: what the system does not take at once is kept, in order, for
// drain. So a peer that reads nothing holds up only who calls drain.
type socket struct {
	net.Conn
	raw *raw // nil if the system offers none

	mu       sync.Mutex
	begun    bool
	spill    []byte // at most maxSpill
	draining bool   // drain is writing what stood in spill before
}

func newSocket(conn net.Conn) *socket { return &socket{Conn: conn, raw: newRaw(conn)} }

// begin ends the time in which writes block, that of the handshake.
func (s *socket) begin() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.begun = true
}

// Read implements net.Conn.
func (s *socket) Read(b []byte) (int, error) {
	if s.raw == nil || len(b) == 0 {
		return s.Conn.Read(b)
	}
	return s.raw.read(b)
}

// Write implements net.Conn.
func (s *socket) Write(b []byte) (n int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		return s.Conn.Write(b)
	}
	if s.raw != nil && len(s.spill) == 0 && !s.draining {
		if n, err = s.raw.write(b); err != nil {
			return n, err
		}
	}
	if len(s.spill)+len(b)-n > maxSpill { // T3
		return n, errSpill
	}
	if n < len(b) {
		s.spill = append(s.spill, b[n:]...)
	}
	return len(b), nil
}

// spilled tells whether there is something to drain.
func (s *socket) spilled() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.spill) > 0 || s.draining
}

// drain waits until the other end has taken all that was written. It fails
// with os.ErrDeadlineExceeded if that takes nothing for stallTimeout.
func (s *socket) drain() error {
	armed := false
	for {
		b := s.undrained()
		if b == nil {
			break
		}
		// Little at a time: the deadline bounds how long nothing is taken.
		for armed = true; len(b) > 0; {
			if err := s.Conn.SetWriteDeadline(time.Now().Add(stallTimeout)); err != nil {
				return err
			}
			n, err := s.Conn.Write(b[:min(len(b), chunkBytes/4)])
			if err != nil {
				return err
			}
			b = b[n:]
		}
	}
	if !armed {
		return nil
	}
	return s.Conn.SetWriteDeadline(time.Time{}) // else an idle link would hold a timer (T5)
}

// undrained takes what has spilled, or returns nil and lets writes try again.
func (s *socket) undrained() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.spill
	s.spill, s.draining = nil, len(b) > 0
	return b
}
