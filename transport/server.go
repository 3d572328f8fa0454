package transport

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

const (
	maxUnproven = 256 // connections of a server that have not yet proven an allowed key
	maxPerKey   = 64  // connections of one key
)

// ServerOptions say what to accept. Opened, Closed, Drained and Event may be nil.
type ServerOptions struct {
	Listen   string    // "host:port"; port 0 lets the system choose
	Identity *Identity // who we are
	Inbox    *Inbox    // where the frames of all links go

	// Allow is asked for every connection, after the other end has proven its
	// key, by many goroutines at once. False closes the connection.
	Allow func(Key) bool

	// Opened is called for every link before its first frame is read, Closed
	// when it has ended, and Drained when its queue had refused frames and is
	// empty again.
	Opened, Closed, Drained func(*Link)

	Event func(Event)
}

// Server accepts connections and makes a Link of each that proves an allowed
// key. It has at most 256 connections that have not; further ones are closed at
// once. Of one key it keeps the 64 newest and closes the oldest, because the
// oldest are most likely the remains of a process or network that is gone.
type Server struct {
	options  ServerOptions
	listener net.Listener
	tls      *tls.Config
	closing  context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup // the accepting goroutine and one for each connection

	mu       sync.Mutex
	unproven int
	conns    map[*conn]struct{}
	links    map[Key][]*conn // proven; oldest first, 1 to maxPerKey of each key
}

// Serve listens and accepts until Close. The error is net's, wrapped, for
// instance because the port is in use.
func Serve(options ServerOptions) (*Server, error) {
	listener, err := net.Listen("tcp", options.Listen)
	if err != nil {
		return nil, fmt.Errorf("transport: %w", err)
	}
	return serve(options, listener), nil
}

func serve(options ServerOptions, listener net.Listener) *Server {
	options.Opened = orElse(options.Opened, ignoreLink)
	options.Closed = orElse(options.Closed, ignoreLink)
	options.Drained = orElse(options.Drained, ignoreLink)
	options.Event = orElse(options.Event, ignoreEvent)
	s := &Server{
		options:  options,
		listener: listener,
		tls:      options.Identity.serverConfig(),
		conns:    map[*conn]struct{}{},
		links:    map[Key][]*conn{},
	}
	s.closing, s.cancel = context.WithCancel(context.Background())
	s.running.Go(s.accept)
	return s
}

// Addr returns the address listened on, with the port the system chose.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Close stops accepting, closes all links and waits until their goroutines and
// callbacks have returned; so it must not be called by one of them, nor while
// holding a lock that one takes. The error is that of closing the listener; a
// second call returns nil.
func (s *Server) Close() error {
	s.mu.Lock()
	var err error
	if s.closing.Err() == nil {
		s.cancel()
		err = s.listener.Close()
	}
	for c := range s.conns {
		c.shut()
	}
	s.mu.Unlock()
	s.running.Wait()
	return err
}

func (s *Server) accept() {
	for {
		raw, err := s.listener.Accept()
		switch {
		case err == nil:
			s.admit(raw)
		case s.closing.Err() != nil:
			return
		default:
			// Out of file descriptors, most likely: let some be given back.
			s.options.Event(newEvent(AcceptFailed, Key{}, s.Addr().String(), err.Error()))
			if !sleep(s.closing.Done(), minPause) {
				return
			}
		}
	}
}

// admit starts a connection if there is room for one more unproven.
func (s *Server) admit(raw net.Conn) {
	c := newConn(raw, tls.Server, s.tls, s.options.Inbox)
	s.mu.Lock()
	closing, full := s.closing.Err() != nil, s.unproven == maxUnproven
	if !closing && !full {
		s.unproven++
		s.conns[c] = struct{}{}
		s.running.Go(func() { s.attend(c) })
	}
	s.mu.Unlock()
	if closing || full {
		c.shut()
	}
	if full {
		reason := fmt.Sprintf("%d connections have not proven a key", maxUnproven)
		s.options.Event(newEvent(TooManyConnections, Key{}, raw.RemoteAddr().String(), reason))
	}
}

// attend is the life of one connection.
func (s *Server) attend(c *conn) {
	key, kind, err := s.authenticate(c)
	addr := c.wire.RemoteAddr().String()
	if err == nil {
		s.proven(c, key, addr)
		link := &Link{
			key:     key,
			addr:    addr,
			opened:  s.options.Opened,
			closed:  s.options.Closed,
			drained: s.options.Drained,
			event:   s.options.Event,
			stop:    c.shut,
		}
		link.run(c)
	} else if !c.feed.hasEnded() { // else we broke the handshake off ourselves
		s.options.Event(newEvent(kind, key, addr, err.Error()))
	}
	s.forget(c, key)
}

var errNotAllowed = errors.New("key not allowed")

// authenticate does the handshake, asks Allow and greets. With an error comes
// the kind of event it is, and the key if it was proven.
func (s *Server) authenticate(c *conn) (Key, Kind, error) {
	defer func() {
		s.mu.Lock()
		s.unproven--
		s.mu.Unlock()
	}()
	if err := c.wire.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return Key{}, BadHandshake, err
	}
	if err := c.tls.Handshake(); err != nil {
		return Key{}, handshakeKind(err), err
	}
	key, err := provenKey(c.tls.ConnectionState())
	if err != nil {
		return Key{}, handshakeKind(err), err
	}
	if !s.options.Allow(key) {
		return key, RefusedKey, errNotAllowed
	}
	if _, err := c.tls.Write([]byte{greeting}); err != nil {
		return key, handshakeKind(err), err
	}
	return key, 0, c.wire.SetDeadline(time.Time{})
}

// proven counts the connection for its key and closes that key's oldest if
// there are too many.
func (s *Server) proven(c *conn, key Key, addr string) {
	s.mu.Lock()
	links := append(s.links[key], c)
	var oldest *conn
	if len(links) > maxPerKey {
		oldest = links[0]
		links = slices.Delete(links, 0, 1)
	}
	s.links[key] = links
	s.mu.Unlock()
	if oldest != nil {
		oldest.shut()
		reason := fmt.Sprintf("more than %d of this key: the oldest is closed", maxPerKey)
		s.options.Event(newEvent(TooManyConnections, key, addr, reason))
	}
}

// forget is the end of a connection, whether or not it was ever proven.
func (s *Server) forget(c *conn, key Key) {
	c.shut()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	links := s.links[key]
	if i := slices.Index(links, c); i >= 0 {
		links = slices.Delete(links, i, i+1)
	}
	if len(links) == 0 {
		delete(s.links, key)
	} else {
		s.links[key] = links
	}
}
