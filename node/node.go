package node

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/transport"
	"github.com/tagma-db/tagma/wire"
)

// Options of a node.
type Options struct {
	// Dir is the node's folder, made by Create.
	Dir string
	// Machine is the replicated service; nil is the key-value store.
	Machine machine.Machine
	// Behave wraps the outbox of a replica that shall misbehave; nil is
	// correct. It is refused outside a demo cluster.
	Behave func(cfg *pbft.Config, self int, signer auth.Signer, next host.Outbox) (host.Outbox, error)
	// Log gets what an operator wants to know; nil discards it.
	Log *slog.Logger
	// Monitor is the loopback address for /metrics, /livez, /readyz and
	// /debug/state; empty for none.
	Monitor string
}

const (
	tick       = 10 * time.Millisecond
	perRound   = 512      // frames handled before the round is closed
	cutSize    = 64 << 20 // bytes of log after which it is cut
	stallTime  = 400 * time.Millisecond
	quickSync  = time.Millisecond       // a sync that may hold the loop up
	graceTime  = 100 * time.Millisecond // for the last frames of a clean stop to leave
	flushEvery = time.Second
)

// Node runs one replica.
type Node struct {
	o       Options
	folder  *folder
	cfg     *pbft.Config
	lock    io.Closer
	log     *storage.Log
	rows    *storage.PebbleRows
	host    *host.Host
	worker  *worker
	inbox   *transport.Inbox
	server  *transport.Server
	links   []*transport.Link // by replica; nil for self
	index   map[transport.Key]int
	allowed map[transport.Key]bool
	monitor *monitor
	filer   *filer // nil: evidence is kept in memory only
	began   time.Time

	mu      sync.Mutex
	clients map[transport.Key][]*transport.Link

	up      []atomic.Bool // by replica: its link came up
	poke    chan struct{}
	calls   chan func()
	syncAsk chan struct{}
	syncEnd chan syncResult
	flushed chan flushResult
	stop    chan struct{}
	once    sync.Once
	done    chan struct{}
	err     error

	// turn is held by whoever uses host, log and rows: the loop, or a link that
	// brings a frame while nobody else does. It guards what follows.
	turn     sync.Mutex
	over     bool  // nobody may use them any more
	broken   error // why, if not for Stop
	timer    *time.Timer
	armed    bool // the timer runs
	busy     bool // the host wanted ticks when it was last asked
	sends    transport.Batch
	received []transport.Received

	cutAt     int64    // bytes of log after which it is cut
	cutStable pbft.Seq // stable checkpoint at the last cut

	wantSync, syncing, flushing, mustFlush bool
	flushAt                                time.Time
	lastSync                               time.Duration
}

type syncResult struct {
	durable uint64
	err     error
	took    time.Duration
}

type flushResult struct {
	applied uint64
	err     error
}

// Start opens the folder, recovers and listens. Errors name cause and next step.
func Start(o Options) (*Node, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Machine == nil {
		o.Machine = kv.Machine{}
	}
	f, err := openFolder(o.Dir)
	if err != nil {
		return nil, err
	}
	if o.Behave != nil && !f.genesis.Demo {
		return nil, errors.New("this is no demo cluster: replicas of a real one cannot be told to misbehave")
	}
	n := &Node{o: o, folder: f, began: time.Now(), clients: map[transport.Key][]*transport.Link{}, cutAt: cutSize,
		index: map[transport.Key]int{}, allowed: map[transport.Key]bool{}, poke: make(chan struct{}, 1),
		calls: make(chan func()), syncAsk: make(chan struct{}, 1), syncEnd: make(chan syncResult, 1),
		flushed: make(chan flushResult, 1), stop: make(chan struct{}), done: make(chan struct{})}
	if n.cfg, err = f.genesis.Config(); err != nil {
		return nil, err
	}
	for id, key := range n.cfg.Members {
		n.index[transport.Key(key)] = id
	}
	principals, err := f.genesis.Principals()
	if err != nil {
		return nil, err
	}
	for key := range principals {
		n.allowed[transport.Key(key)] = true
	}
	if err := n.open(); err != nil {
		n.close()
		return nil, err
	}
	go n.syncer()
	go n.run()
	return n, nil
}

// open takes the folder, recovers the host and starts the links.
func (n *Node) open() (err error) {
	if n.lock, err = storage.LockDir(storage.Disk(), n.o.Dir); err != nil {
		return err
	}
	identity, err := transport.NewIdentity(n.folder.key)
	if err != nil {
		return err
	}
	n.inbox = transport.NewInbox(0)
	n.inbox.OnArrival(n.arrived)
	n.turn.Lock()
	defer n.turn.Unlock()
	n.over = true // until there is a host
	n.links = make([]*transport.Link, len(n.cfg.Members))
	n.up = make([]atomic.Bool, len(n.cfg.Members))
	n.monitor = newMonitor(n)
	// Listening comes first: a port in use must cost nothing.
	n.server, err = transport.Serve(transport.ServerOptions{
		Listen: n.folder.genesis.Nodes[n.folder.id].Address, Identity: identity, Inbox: n.inbox,
		Allow: n.allow, Opened: n.opened, Closed: n.closed, Event: n.linkEvent,
	})
	if err != nil {
		return fmt.Errorf("cannot listen for node %d: %w; stop whoever uses the address, or make a cluster with other addresses", n.folder.id, err)
	}
	if err := n.recover(); err != nil {
		return err
	}
	for id, member := range n.folder.genesis.Nodes {
		if id == n.folder.id {
			continue
		}
		n.links[id] = transport.Dial(transport.DialOptions{
			Address: member.Address, Want: transport.Key(n.cfg.Members[id]), Identity: identity, Inbox: n.inbox,
			Up:    func(*transport.Link) { n.up[id].Store(true); n.wake() },
			Event: n.linkEvent,
		})
	}
	if n.o.Monitor != "" {
		if err := n.monitor.serve(n.o.Monitor); err != nil {
			return err
		}
	}
	n.timer, n.armed, n.over = time.NewTimer(tick), true, false
	return nil
}

// recover opens log and rows and makes the host.
func (n *Node) recover() (err error) {
	var records [][]byte
	log, fresh, err := n.folder.openLog(func(record []byte) error {
		records = append(records, append([]byte(nil), record...))
		return nil
	})
	if err != nil {
		return err
	}
	n.log = log
	n.rows, err = storage.OpenPebble(storage.Disk(), filepath.Join(n.o.Dir, dirRows),
		storage.PebbleOptions{MemTableBytes: 16 << 20, CacheBytes: 16 << 20})
	if err != nil {
		return fmt.Errorf("%s: %w; if the disk is sound, replace this node", n.o.Dir, err)
	}
	n.worker = newWorker(n.wake)
	signer := auth.NewSigner(n.folder.key)
	var outbox host.Outbox = n
	if n.o.Behave != nil {
		if outbox, err = n.o.Behave(n.cfg, n.folder.id, signer, n); err != nil {
			return err
		}
	}
	verifier := newTables(n.knownKeys())
	record, known := n.openEvidence(verifier)
	n.host, err = host.Open(host.Options{
		Config: n.cfg, Self: n.folder.id, Signer: signer, Verifier: verifier, Machine: n.o.Machine,
		Store: n.rows, Log: log, Outbox: outbox, Sessions: host.DefaultSessions(),
		Allowed: func(key auth.PublicKey) bool { return n.allowed[transport.Key(key)] },
		Event:   n.event, Evidence: known, Record: record,
		Beside: n.worker.do,
	}, host.Recovery{
		Records: func(yield func([]byte) error) error {
			for _, record := range records {
				if err := yield(record); err != nil {
					return err
				}
			}
			return nil
		},
		Clean: fresh && log.Boot() == 2 || log.Closed(), Boot: log.Boot(), Next: log.Next(),
	})
	if err != nil {
		return fmt.Errorf("%s: %w", n.o.Dir, err)
	}
	n.wantSync = n.host.NeedsSync()
	return nil
}

// knownKeys are the members and then the clients of the genesis.
func (n *Node) knownKeys() []auth.PublicKey {
	keys := append([]auth.PublicKey(nil), n.cfg.Members...)
	for key := range n.allowed {
		keys = append(keys, auth.PublicKey(key))
	}
	return keys
}

// ID is the replica's index in its group.
func (n *Node) ID() int { return n.folder.id }

// Stop begins a clean stop: a primary abdicates, everything is synced.
func (n *Node) Stop() { n.once.Do(func() { close(n.stop) }) }

// Wait returns once the node has stopped: nil after Stop, else why.
func (n *Node) Wait() error {
	<-n.done
	return n.err
}

func (n *Node) wake() {
	select {
	case n.poke <- struct{}{}:
	default:
	}
}

// close releases whatever open got.
func (n *Node) close() error {
	var errs []error
	if n.monitor != nil {
		n.monitor.close()
	}
	for _, l := range n.links {
		if l != nil {
			l.Close()
		}
	}
	if n.server != nil {
		errs = append(errs, n.server.Close())
	}
	if n.inbox != nil {
		n.inbox.Close()
	}
	if n.worker != nil {
		n.worker.close()
	}
	if n.host != nil {
		n.host.Close()
	}
	if n.filer != nil {
		n.filer.close()
	}
	if n.rows != nil {
		errs = append(errs, n.rows.Close())
	}
	if n.log != nil {
		errs = append(errs, n.log.Close(false))
	}
	if n.lock != nil {
		errs = append(errs, n.lock.Close())
	}
	return errors.Join(errs...)
}

func (n *Node) allow(key transport.Key) bool {
	_, member := n.index[key]
	return member || n.allowed[key]
}

func (n *Node) opened(l *transport.Link) {
	if !n.allowed[l.Key()] {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.clients[l.Key()] = append(n.clients[l.Key()], l)
}

func (n *Node) closed(l *transport.Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	list := n.clients[l.Key()]
	for i, have := range list {
		if have == l {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(n.clients, l.Key())
	} else {
		n.clients[l.Key()] = list
	}
}

// ToReplica implements host.Outbox.
func (n *Node) ToReplica(id int, f *wire.Frame) {
	if l := n.links[id]; l != nil {
		n.sends.Send(l, f.Raw())
		n.monitor.sent(f)
	}
}

// ToClient implements host.Outbox: every connection of the client gets it,
// its sessions tell them apart.
func (n *Node) ToClient(key auth.PublicKey, f *wire.Frame) {
	n.mu.Lock()
	list := n.clients[transport.Key(key)]
	n.mu.Unlock()
	for _, l := range list {
		n.sends.Send(l, f.Raw())
	}
}
