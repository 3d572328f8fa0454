package node

import (
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/transport"
	"github.com/tagma-db/tagma/wire"
)

// cluster is n node folders on loopback, and a client's key.
type cluster struct {
	t       testing.TB
	genesis *client.Genesis
	dirs    []string
	nodes   []*Node
	key     ed25519.PrivateKey
}

func newCluster(t testing.TB, n int) *cluster {
	t.Helper()
	c := &cluster{t: t, nodes: make([]*Node, n)}
	_, c.key, _ = ed25519.GenerateKey(rand.Reader)
	c.genesis = &client.Genesis{Format: client.GenesisFormat, Name: "test", Created: "2026-01-01T00:00:00Z", Demo: true,
		Protocol: client.ProtocolVersion, Clients: []string{fmt.Sprintf("%x", []byte(c.key.Public().(ed25519.PublicKey)))},
		Operators: []string{}, Params: client.NewGenesisParams(pbft.Defaults())}
	keys := make([]ed25519.PrivateKey, n)
	var listeners []net.Listener
	for i := range n {
		_, keys[i], _ = ed25519.GenerateKey(rand.Reader)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
		c.genesis.Nodes = append(c.genesis.Nodes, client.GenesisNode{ID: i, Key: fmt.Sprintf("%x", []byte(keys[i].Public().(ed25519.PublicKey))),
			Address: l.Addr().String()})
	}
	for _, l := range listeners {
		l.Close()
	}
	dir := t.TempDir()
	for i := range n {
		c.dirs = append(c.dirs, filepath.Join(dir, fmt.Sprintf("node-%d", i)))
		if err := Create(c.dirs[i], c.genesis, i, keys[i]); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

func (c *cluster) start(ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		n, err := Start(Options{Dir: c.dirs[id]})
		if err != nil {
			c.t.Fatal(err)
		}
		c.nodes[id] = n
		c.t.Cleanup(n.Stop)
	}
}

func (c *cluster) stop(ids ...int) {
	c.t.Helper()
	for _, id := range ids {
		c.nodes[id].Stop()
		if err := c.nodes[id].Wait(); err != nil {
			c.t.Fatalf("node %d: %v", id, err)
		}
	}
}

// session drives one pbft.Client over real links, one operation at a time.
type session struct {
	t     testing.TB
	core  *pbft.Client
	inbox *transport.Inbox
	links []*transport.Link
	began time.Time
	token uint64
}

func (c *cluster) open() *session {
	c.t.Helper()
	cfg, err := c.genesis.Config()
	if err != nil {
		c.t.Fatal(err)
	}
	identity, err := transport.NewIdentity(c.key)
	if err != nil {
		c.t.Fatal(err)
	}
	var id pbft.SessionID
	w := wire.Writer{}
	w.I64(time.Now().UnixMilli())
	copy(id[:], w.B)
	rand.Read(id[8:])
	s := &session{t: c.t, inbox: transport.NewInbox(0), began: time.Now(),
		core: pbft.NewClient(cfg, pbft.ClientDefaults(), auth.NewSigner(c.key), []byte("default"), id)}
	for i, n := range c.genesis.Nodes {
		s.links = append(s.links, transport.Dial(transport.DialOptions{Address: n.Address, Want: transport.Key(cfg.Members[i]),
			Identity: identity, Inbox: s.inbox}))
	}
	c.t.Cleanup(func() {
		for _, l := range s.links {
			l.Close()
		}
	})
	return s
}

func (s *session) do(op kv.Op) kv.Result {
	s.t.Helper()
	var out pbft.ClientEffects
	s.token++
	deadline := time.Now().Add(20 * time.Second)
	s.core.Submit(s.token, op.Encode(), 1<<40)
	s.core.Flush(&out)
	timer := time.NewTicker(10 * time.Millisecond)
	defer timer.Stop()
	for time.Now().Before(deadline) {
		for _, send := range out.Sends {
			for _, l := range s.links {
				l.Send(send.Frame.Raw())
			}
		}
		for _, d := range out.Done {
			if d.Token != s.token || d.Outcome != pbft.OutcomeDone {
				s.t.Fatalf("operation %d ended %v", d.Token, d)
			}
			r, err := kv.DecodeResult(d.Result)
			if err != nil {
				s.t.Fatal(err)
			}
			return r
		}
		out.Reset()
		select {
		case <-timer.C:
			s.core.Clock(pbft.Ticks(time.Since(s.began)/(10*time.Millisecond)), &out)
		case <-s.inbox.Ready():
			for _, r := range s.inbox.Drain(nil, 100) {
				f, err := wire.Decode(r.Frame)
				if err != nil {
					s.t.Fatal(err)
				}
				if p := s.core.DecodeReply(int(f.Author), f); p != nil {
					s.core.Receive(int(f.Author), p, &out)
				}
			}
		}
	}
	s.t.Fatal("no answer in 20 s")
	return kv.Result{}
}

func (s *session) put(key, value string) int64 {
	s.t.Helper()
	return s.do(kv.Put{Key: []byte(key), Value: []byte(value)}).Revision
}

func (s *session) get(key string) string {
	s.t.Helper()
	r := s.do(kv.Range{Interval: kv.Interval{Key: []byte(key)}})
	reply, ok := r.Reply.(kv.RangeReply)
	if !ok || len(reply.KVs) != 1 {
		s.t.Fatalf("get %s: %+v", key, r)
	}
	return string(reply.KVs[0].Value)
}

func TestFourNodes(t *testing.T) {
	c := newCluster(t, 4)
	c.start(0, 1, 2, 3)
	s := c.open()
	for i := range 50 {
		if rev := s.put(fmt.Sprint("k", i), fmt.Sprint("v", i)); rev != int64(i+2) {
			t.Fatalf("put %d made revision %d", i, rev)
		}
	}
	if v := s.get("k7"); v != "v7" {
		t.Fatalf("k7 is %q", v)
	}
	c.stop(0) // the primary: a clean stop abdicates
	s.put("after", "stop")
	c.start(0)
	c.stop(1)
	s.put("after", "second stop")
	c.stop(0, 2, 3)
	c.start(0, 1, 2, 3)
	if v := s.get("k7") + s.get("after"); v != "v7second stop" {
		t.Fatalf("after a restart of all: %q", v)
	}
}

// BenchmarkPut is one caller's durable put, four nodes in this process.
func BenchmarkPut(b *testing.B) {
	c := newCluster(b, 4)
	c.start(0, 1, 2, 3)
	s := c.open()
	s.put("warm", "up")
	i := 0
	for b.Loop() {
		i++
		s.put(fmt.Sprint("k", i%1000), "0123456789abcdef")
	}
}
