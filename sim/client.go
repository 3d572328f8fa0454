package sim

import (
	"encoding/binary"
	"slices"
	"strconv"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// client is one closed-loop client around a real pbft.Client.
type client struct {
	w       *World
	id      int
	signer  auth.Signer
	core    *pbft.Client
	eff     pbft.ClientEffects
	life    uint32 // counts sessions
	ticking bool
	open    []int // operations under way, by index in the history
	left    int   // operations still to begin, once healed
}

// keyspace is the one that all clients use.
var keyspace = []byte("sim")

// Kinds of operations.
const (
	opGet = iota
	opPut
	opSwap
)

// operation is one entry of the history.
type operation struct {
	client  int
	kind    int
	key     int
	value   string // of put and swap, unique
	expect  string // of swap
	op      []byte
	begun   micros
	ended   micros
	outcome pbft.Outcome
	done    bool
	found   string // what get, put and a failed swap saw
	swapped bool
	seq     pbft.Seq

	exact     bool  // a read, if not ordered: at one revision
	unordered bool  // it was not ordered
	revision  int64 // that it saw, 0: not known
}

func newClient(w *World, id int) *client {
	c := &client{w: w, id: id, signer: signerOf(w.result.Seed, "client "+strconv.Itoa(id), w.plan.real)}
	return c
}

func (c *client) key() auth.PublicKey { return c.signer.Public() }

func (c *client) ticks() pbft.Ticks { return pbft.Ticks(c.w.now/tick) + 1 }

// start opens a session; what an earlier life left behind is unknown.
func (c *client) start() {
	c.life++
	c.open, c.ticking = nil, false
	var id pbft.SessionID
	binary.BigEndian.PutUint64(id[:], uint64(epochMillis+c.w.now/millisecond))
	binary.BigEndian.PutUint64(id[8:], uint64(c.life)<<32|uint64(c.w.c.Choose(1<<30)))
	c.core = pbft.NewClient(c.w.cfg, pbft.ClientDefaults(), c.signer, keyspace, id)
	c.settle(c.core.Clock)
	for range c.w.plan.depth {
		c.think()
	}
}

// settle runs the core once and carries out what follows.
func (c *client) settle(clock func(pbft.Ticks, *pbft.ClientEffects)) {
	clock(c.ticks(), &c.eff)
	c.apply()
}

func (c *client) apply() {
	e := &c.eff
	for _, s := range e.Sends {
		c.w.ask(c, s.Frame)
	}
	for _, done := range e.Done {
		c.complete(done)
	}
	for _, a := range e.Accused {
		if n := c.w.nodes[a.Replica]; n.correct() {
			c.w.violate(n, "I6", "a client accuses a correct replica: "+a.Reason.String())
		}
		c.w.mark("client accuses")
	}
	wake, ended := e.Wake, e.Ended
	e.Reset()
	if ended {
		c.w.mark("session ended")
		c.start()
		return
	}
	if wake && !c.ticking {
		c.ticking = true
		c.w.later(tick, event{kind: evClient, to: int32(c.id), gen: c.life})
	}
}

func (c *client) tick(life uint32) {
	if life == c.life {
		c.ticking = false
		c.settle(c.core.Clock)
	}
}

func (c *client) reply(from int, raw []byte) {
	f, err := wire.Decode(raw)
	if err != nil {
		panic("sim: a frame was damaged on its way")
	}
	c.w.delivered++
	c.w.note(evReply, c.id, from, f)
	if p := c.core.DecodeReply(from, f); p != nil {
		c.core.Receive(from, p, &c.eff)
		c.apply()
	}
	if p := c.core.DecodeReadAnswer(from, f); p != nil {
		c.core.ReceiveRead(from, p, &c.eff)
		c.apply()
	}
}

// think begins the next operation after a while.
func (c *client) think() {
	life := c.life
	c.w.call(micros(c.w.c.Choose(c.w.plan.think+1)), func() {
		if c.life != life || c.w.phase > healed {
			return
		}
		if c.w.phase == healed {
			if c.left == 0 {
				return
			}
			c.left--
		}
		c.begin()
	})
}

// begin draws an operation and submits it.
func (c *client) begin() {
	w := c.w
	token := len(w.check.history)
	o := operation{client: c.id, kind: w.c.Choose(3), key: w.c.Choose(w.plan.keys), begun: w.now}
	key := []byte("key " + strconv.Itoa(o.key))
	o.value = strconv.Itoa(token)
	one := kv.Interval{Key: key}
	get := kv.Range{Interval: one, Limit: int64(token) + 1} // the limit makes it unique
	switch o.kind {
	case opGet:
		o.op = get.Encode()
	case opPut:
		o.op = kv.Put{Key: key, Value: []byte(o.value), PrevKV: true}.Encode()
	default:
		o.expect = w.check.recent(o.key)
		o.op = kv.Txn{Compares: []kv.Compare{{Interval: one, Target: kv.TargetValue, Value: []byte(o.expect)}},
			Then: []kv.Op{kv.Put{Key: key, Value: []byte(o.value)}}, Else: []kv.Op{get}}.Encode()
	}
	c.open = append(c.open, token)
	deadline := c.ticks() + 100_000
	if w.phase == chaos && w.c.Choose(8) >= w.plan.patient {
		deadline = c.ticks() + pbft.Ticks(w.c.Scale(5, 400))
	}
	c.submit(token, &o, deadline)
	w.check.issue(o)
	c.core.Flush(&c.eff)
	c.apply()
}

// complete files the outcome of an operation and thinks about the next.
func (c *client) complete(done pbft.Completion) {
	token := int(done.Token) - 1
	if at := slices.Index(c.open, token); at >= 0 {
		c.open = slices.Delete(c.open, at, at+1)
	}
	c.w.check.completed(token, done)
	c.think()
}
