package client

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/transport"
)

const (
	// DefaultKeyspace is the keyspace of clients that name none.
	DefaultKeyspace = "default"
	// DefaultTimeout is how long an operation may take, if its context says nothing.
	DefaultTimeout = 5 * time.Second

	tick = TickMillis * time.Millisecond
	// settleTime is how long a first request waits for links that are neither
	// made nor refused: it should reach all replicas at once.
	settleTime = 300 * time.Millisecond
)

// Options of a Client. Dir, or Genesis and Key, say whose client it is.
type Options struct {
	// Dir is the folder with genesis.json and key.pem, or the folder that
	// contains it as "client".
	Dir     string
	Genesis *Genesis
	Key     ed25519.PrivateKey

	Keyspace string                // DefaultKeyspace if empty
	Timeout  time.Duration         // DefaultTimeout if 0
	Event    func(transport.Event) // told what links tell; may be nil
}

// Client is a connection to a cluster. Its methods may be called by any number
// of goroutines at once.
type Client struct {
	genesis  *Genesis
	cfg      *pbft.Config
	signer   auth.Signer
	keyspace []byte
	timeout  time.Duration
	began    time.Time
	inbox    *transport.Inbox
	links    []*transport.Link     // by replica
	index    map[transport.Key]int // replica by key

	wake chan struct{} // capacity 1
	stop chan struct{}
	done chan struct{} // closed when run has returned
	once sync.Once

	mu       sync.Mutex
	closed   bool
	queue    []*call                      // handed in, not yet taken by run
	failed   []string                     // by replica: why its link is down, "" if it is not known to be
	suspects []bool                       // by replica
	surveys  map[pbft.SessionID]*question // of surveys under way
	probes   map[uint64]*probing          // of probes under way, by nonce
}

// call is one operation on its way.
type call struct {
	op       []byte
	deadline pbft.Ticks
	read     bool // writes nothing: need not be ordered
	exact    bool // of a read: at one version
	again    bool // sent anew after its session had expired
	done     chan outcome
}

// outcome ends a call.
type outcome struct {
	result  []byte
	read    bool // not ordered: the result is of machine.Reader
	version uint64
	err     error
}

// Open makes a client and begins to connect to all replicas; it does not wait
// for them. Errors are of the folder's files.
func Open(o Options) (*Client, error) {
	if o.Genesis == nil || o.Key == nil {
		var err error
		if o.Genesis, o.Key, err = readFolder(o.Dir); err != nil {
			return nil, err
		}
	}
	cfg, err := o.Genesis.Config()
	if err != nil {
		return nil, err
	}
	if o.Keyspace == "" {
		o.Keyspace = DefaultKeyspace
	}
	if len(o.Keyspace) > pbft.MaxKeyspace {
		return nil, Refuse("give a shorter one", "the keyspace's name has %d bytes, allowed are 1 to %d", len(o.Keyspace), pbft.MaxKeyspace)
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	identity, err := transport.NewIdentity(o.Key)
	if err != nil {
		return nil, err
	}
	n := len(cfg.Members)
	c := &Client{
		genesis: o.Genesis, cfg: cfg, signer: auth.NewSigner(o.Key), keyspace: []byte(o.Keyspace), timeout: o.Timeout,
		began: time.Now(), inbox: transport.NewInbox(0), links: make([]*transport.Link, n), index: map[transport.Key]int{},
		wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
		failed: make([]string, n), suspects: make([]bool, n),
		surveys: map[pbft.SessionID]*question{}, probes: map[uint64]*probing{},
	}
	for id, member := range cfg.Members {
		c.index[transport.Key(member)] = id
		c.links[id] = transport.Dial(transport.DialOptions{
			Address: o.Genesis.Nodes[id].Address, Want: transport.Key(member), Identity: identity, Inbox: c.inbox,
			Up:   func(*transport.Link) { c.linked(id, "") },
			Down: func(*transport.Link) { c.linked(id, "connection lost") },
			Event: func(e transport.Event) {
				if e.Kind != transport.DroppedFrames {
					c.linked(id, e.Kind.String()+": "+e.Reason)
				}
				if o.Event != nil {
					o.Event(e)
				}
			},
		})
	}
	go newLoop(c).run()
	return c, nil
}

// FindFolder returns the client folder for dir: dir/client, or dir itself.
func FindFolder(dir string) (string, error) {
	for _, d := range []string{filepath.Join(dir, "client"), dir} {
		_, err := os.Stat(filepath.Join(d, GenesisFile))
		if err == nil {
			return d, nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return "", Refuse("name the folder that `tagma init` or `tagma demo` made", "no cluster in %s: it holds neither %s nor client/%s: %w",
		dir, GenesisFile, GenesisFile, fs.ErrNotExist)
}

func readFolder(dir string) (*Genesis, ed25519.PrivateKey, error) {
	folder, err := FindFolder(dir)
	if err != nil {
		return nil, nil, err
	}
	g, err := ReadGenesis(filepath.Join(folder, GenesisFile))
	if err != nil {
		return nil, nil, err
	}
	key, err := ReadKey(filepath.Join(folder, KeyFile))
	if err != nil {
		return nil, nil, err
	}
	public := auth.NewSigner(key).Public().String()
	if !slices.Contains(g.Clients, public) {
		return nil, nil, Refuse("restore both files from the client folder that `tagma init` made", "%s: the key in %s is no client of this cluster", folder, KeyFile)
	}
	return g, key, nil
}

// Genesis is the cluster's genesis.
func (c *Client) Genesis() *Genesis { return c.genesis }

// Config is the configuration of the cluster's group.
func (c *Client) Config() *pbft.Config { return c.cfg }

// Do has one operation of the machine executed and returns its result. The
// error is an *Error. The operation's bytes must not change until Do returns.
// With a deadline in ctx, or else the client's time-out, Do returns at the
// latest one tick after it; when ctx is cancelled, at once.
func (c *Client) Do(ctx context.Context, op []byte) ([]byte, error) {
	out := c.do(ctx, &call{op: op})
	return out.result, out.err
}

// do hands a call to the loop and waits for its end.
func (c *Client) do(ctx context.Context, k *call) outcome {
	if len(k.op) > pbft.MaxOperation {
		return outcome{err: notDone(fmt.Sprintf("an operation of %d bytes, allowed are %d", len(k.op), pbft.MaxOperation), "split it")}
	}
	end := time.Now().Add(c.timeout)
	if given, ok := ctx.Deadline(); ok {
		end = given
	}
	k.deadline, k.done = c.ticksAt(end), make(chan outcome, 1)
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return outcome{err: errClosed}
	}
	c.queue = append(c.queue, k)
	c.mu.Unlock()
	c.signal()
	select {
	case out := <-k.done:
		return out
	case <-ctx.Done():
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return <-k.done // the core keeps the deadline, and knows whether it was sent
	}
	return outcome{err: c.abandon(k)}
}

// abandon ends a call whose caller does not wait any longer.
func (c *Client) abandon(k *call) *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.queue, k); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
		return notDone("cancelled before it was sent", "")
	}
	return &Error{Outcome: pbft.OutcomeUnknown, Cause: "cancelled while it was under way", Next: "read to see whether it took effect"}
}

// Suspects lists the replicas that contradicted f+1 others in their replies to
// this client, ascending.
func (c *Client) Suspects() []int {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []int
	for id, bad := range c.suspects {
		if bad {
			ids = append(ids, id)
		}
	}
	return ids
}

// Close ends the client. Calls under way end with an Error.
func (c *Client) Close() {
	c.once.Do(func() { close(c.stop) })
	<-c.done
	var group sync.WaitGroup
	for _, l := range c.links {
		group.Go(l.Close)
	}
	group.Wait()
	c.inbox.Close()
}

func (c *Client) signal() { tell(c.wake) }

// linked notes what became of a link.
func (c *Client) linked(id int, failure string) {
	c.mu.Lock()
	c.failed[id] = failure
	c.mu.Unlock()
	c.signal()
}

// connected counts the links that are made, and reports whether no other is
// likely to follow at once.
func (c *Client) connected() (count int, settled bool) {
	settled = true
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, l := range c.links {
		if l.Connected() {
			count++
		} else if c.failed[id] == "" {
			settled = false
		}
	}
	return count, settled || time.Since(c.began) > settleTime
}

// reachable says in words which replicas are connected, and why not the others.
func (c *Client) reachable() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := 0
	var why []string
	for id, l := range c.links {
		switch {
		case l.Connected():
			up++
		case c.failed[id] != "":
			why = append(why, fmt.Sprintf("replica %d at %s: %s", id, c.genesis.Nodes[id].Address, c.failed[id]))
		default:
			why = append(why, fmt.Sprintf("replica %d at %s: still connecting", id, c.genesis.Nodes[id].Address))
		}
	}
	text := fmt.Sprintf("%d of %d replicas are connected", up, len(c.links))
	if len(why) > 0 {
		text += " (" + strings.Join(why[:min(len(why), 4)], ", ") + ")"
	}
	return text
}

func (c *Client) ticksAt(t time.Time) pbft.Ticks {
	if d := t.Sub(c.began); d > 0 {
		return pbft.Ticks((d + tick - 1) / tick)
	}
	return 0
}
