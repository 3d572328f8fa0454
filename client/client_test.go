package client_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/client"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/node"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/sim"
)

func newKey(t *testing.T) (ed25519.PrivateKey, string) {
	t.Helper()
	public, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	return key, hex.EncodeToString(public)
}

// newGenesis makes a cluster of n on free ports, and the keys of its nodes and
// of its client, the last.
func newGenesis(t *testing.T, n int) (*client.Genesis, []ed25519.PrivateKey) {
	t.Helper()
	g := &client.Genesis{Format: client.GenesisFormat, Name: "test", Created: "2026-11-24T10:00:00Z", Demo: true,
		Protocol: client.ProtocolVersion, Params: client.NewGenesisParams(pbft.Defaults())}
	keys := make([]ed25519.PrivateKey, n+1)
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // after all have got another port
		key, public := newKey(t)
		keys[i] = key
		g.Nodes = append(g.Nodes, client.GenesisNode{ID: i, Key: public, Address: l.Addr().String()})
	}
	key, public := newKey(t)
	keys[n], g.Clients = key, []string{public}
	return g, keys
}

// startNodes runs a cluster in this process; bad names what nodes do wrong.
func startNodes(t *testing.T, g *client.Genesis, keys []ed25519.PrivateKey, bad map[int]string) []*node.Node {
	t.Helper()
	var nodes []*node.Node
	for i := range g.Nodes {
		o := node.Options{Dir: filepath.Join(t.TempDir(), fmt.Sprint("node-", i))}
		if err := node.Create(o.Dir, g, i, keys[i]); err != nil {
			t.Fatal(err)
		}
		if name := bad[i]; name != "" {
			o.Behave = func(cfg *pbft.Config, self int, signer auth.Signer, next host.Outbox) (host.Outbox, error) {
				return sim.Behaviour(name, cfg, self, signer, next)
			}
		}
		n, err := node.Start(o)
		if err != nil {
			t.Fatal(err)
		}
		nodes = append(nodes, n)
		t.Cleanup(func() { n.Stop(); n.Wait() })
	}
	return nodes
}

func open(t *testing.T, g *client.Genesis, key ed25519.PrivateKey, timeout time.Duration) *client.Client {
	t.Helper()
	c, err := client.Open(client.Options{Genesis: g, Key: key, Timeout: timeout})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestCluster(t *testing.T) {
	g, keys := newGenesis(t, 4)
	startNodes(t, g, keys, map[int]string{2: "lie"})
	c := open(t, g, keys[4], 30*time.Second)
	ctx := context.Background()
	if _, revision, err := c.Put(ctx, kv.Put{Key: []byte("k"), Value: []byte("v")}); err != nil || revision != 2 {
		t.Fatalf("put: revision %d, %v", revision, err)
	}
	pair, ok, err := c.Get(ctx, []byte("k"))
	if err != nil || !ok || string(pair.Value) != "v" {
		t.Fatalf("get: %+v, %v, %v", pair, ok, err)
	}
	if _, ok, err := c.Get(ctx, []byte("absent")); ok || err != nil {
		t.Fatal(ok, err)
	}
	var group sync.WaitGroup
	for i := range 200 {
		group.Go(func() {
			if _, _, err := c.Put(ctx, kv.Put{Key: fmt.Appendf(nil, "many/%03d", i)}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	reply, _, err := c.Range(ctx, kv.Range{Interval: kv.Prefix([]byte("many/")), CountOnly: true})
	if err != nil || reply.Count != 200 {
		t.Fatalf("%d keys, %v", reply.Count, err)
	}
	_, _, err = c.Range(ctx, kv.Range{Interval: kv.Interval{Key: []byte("k")}, Revision: 1 << 40})
	var e *client.Error
	if !errors.Is(err, kv.CodeFutureRevision) || !errors.As(err, &e) || e.Outcome != pbft.OutcomeNotDone {
		t.Errorf("a future revision: %v", err)
	}
	answers := c.Survey(ctx, kv.Range{Interval: kv.Interval{Key: []byte("k")}}.Encode())
	if agreed, liars := client.Agreed(answers[0], 2); agreed == nil || len(liars) != 1 || liars[0] != 2 {
		t.Errorf("agreed %v, liars %v", agreed, liars)
	}
	probing, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	for _, p := range c.Probe(probing) {
		if !p.Connected || p.Report == nil {
			t.Errorf("replica %d: %+v", p.ID, p)
		}
	}
	if s := c.Suspects(); len(s) != 1 || s[0] != 2 {
		t.Errorf("suspects %v", s)
	}
}

// TestUnreachable: what was never sent is definitely not done.
func TestUnreachable(t *testing.T) {
	g, keys := newGenesis(t, 4)
	c := open(t, g, keys[4], 200*time.Millisecond)
	_, err := c.Do(context.Background(), []byte("op"))
	var e *client.Error
	if !errors.As(err, &e) || e.Outcome != pbft.OutcomeNotDone || !strings.Contains(e.Cause, "0 of 4 replicas are connected") || e.Next == "" {
		t.Errorf("%v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.Do(ctx, []byte("op")); err == nil {
		t.Error("a cancelled operation succeeds")
	}
	if p := c.Probe(context.Background()); len(p) != 4 || p[0].Connected || p[0].Failure == "" {
		t.Errorf("probes %+v", p)
	}
	c.Close()
	if _, err := c.Do(context.Background(), []byte("op")); err == nil || client.Unknown(err) {
		t.Errorf("after Close: %v", err)
	}
}

func TestLimitsAreCheckedBeforeSending(t *testing.T) {
	g, keys := newGenesis(t, 1)
	c := open(t, g, keys[1], time.Minute) // nobody answers: an operation that waited would hang
	for want, op := range map[error]kv.Op{
		kv.CodeEmptyKey:     kv.Put{},
		kv.CodeKeyTooLarge:  kv.Put{Key: bytes.Repeat([]byte("k"), kv.MaxKey+1)},
		kv.CodeTooLarge:     kv.Put{Key: []byte("k"), Value: make([]byte, kv.MaxOp)},
		kv.CodeDuplicateKey: kv.Txn{Then: []kv.Op{kv.Put{Key: []byte("k")}, kv.Put{Key: []byte("k")}}},
	} {
		var e *client.Error
		if _, err := c.Execute(context.Background(), op); !errors.Is(err, want) || !errors.As(err, &e) || e.Outcome != pbft.OutcomeNotDone || e.Next == "" {
			t.Errorf("%v, want %v", err, want)
		}
	}
	if _, err := c.Do(context.Background(), make([]byte, pbft.MaxOperation+1)); err == nil || client.Unknown(err) {
		t.Error(err)
	}
}

// TestUnknownWhenLost: an operation that was sent and not answered is unknown.
func TestUnknownWhenLost(t *testing.T) {
	g, keys := newGenesis(t, 4)
	startNodes(t, g, keys, map[int]string{0: "mute", 1: "mute", 2: "mute", 3: "mute"})
	c := open(t, g, keys[4], 500*time.Millisecond)
	if _, _, err := c.Put(context.Background(), kv.Put{Key: []byte("k")}); !client.Unknown(err) {
		t.Errorf("%v", err)
	}
}

func TestCloseLeavesNoGoroutine(t *testing.T) {
	g, keys := newGenesis(t, 4)
	nodes := startNodes(t, g, keys, nil)
	before := runtime.NumGoroutine()
	c := open(t, g, keys[4], 30*time.Second)
	if _, _, err := c.Put(context.Background(), kv.Put{Key: []byte("k")}); err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, n := range nodes {
		n.Stop()
		n.Wait()
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, name := range []string{"client.(*loop)", "transport.(*dialer)"} {
		if bytes.Contains(stacks, []byte(name)) {
			t.Errorf("a goroutine in %s is left (%d before)\n%s", name, before, stacks)
		}
	}
}
