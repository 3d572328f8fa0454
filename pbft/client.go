package pbft

import (
	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/wire"
)

// Outcome of an operation. There are three: a client that lost contact does
// not know, and says so.
type Outcome uint8

// Outcomes.
const (
	OutcomeDone    Outcome = iota // executed; the result is vouched for by f+1 replicas
	OutcomeNotDone                // definitely not executed, and never will be
	OutcomeUnknown                // it may have executed, or may still
)

// ClientParams bound one session.
type ClientParams struct {
	InFlight     int   // requests sent and not answered
	InFlightSize int   // and their bytes
	Retry        Ticks // first pause before a request is sent again
	RetryMax     Ticks // longest
}

// ClientDefaults are those of docs/protocol.md section 13.
func ClientDefaults() ClientParams {
	return ClientParams{InFlight: 8, InFlightSize: 8 << 20, Retry: 10, RetryMax: 200}
}

// Client is one session of one client in one keyspace: everything that it
// decides. Like Replica it is pure; package client drives it.
type Client struct {
	cfg      *Config
	p        ClientParams
	sign     auth.Signer
	keyspace []byte
	session  SessionID

	now    Ticks
	number uint64 // last used
	acked  uint64
	over   map[uint64]bool // completed numbers above acked, at most a window
	queue  []operation     // not sent yet; bounded by its callers
	flight []*flight       // ascending by number, at most InFlight
	size   int
	recent []decided // the last answers, to judge late replies; at most 64
	ended  bool

	// Unordered reads (reading.go).
	suspect []bool     // by replica: it contradicted f+1 others
	unread  []*reading // not sent yet; bounded by its callers
	reads   []*reading // under way, at most maxUnderWay and MaxReads
	asked   uint64     // questions, each of up to MaxReads reads
	heard   []uint64   // by replica: the last question that it answered
}

type operation struct {
	token    uint64
	op       []byte
	deadline Ticks
}

// flight is a request under way.
type flight struct {
	request *Request
	ops     []operation
	replies []*Reply // by replica
	results [][]byte // by replica: full results whose digest matches, else nil
	retryAt Ticks
	gap     Ticks
	sent    int
	urged   bool // the digest is decided, the result is asked for
}

type decided struct {
	number uint64
	seq    Seq
	digest wire.Digest
}

// Completion ends one submitted operation.
type Completion struct {
	Token   uint64
	Outcome Outcome
	Status  ReplyStatus // Done, or the reason
	Seq     Seq
	Result  []byte // of OutcomeDone
	Read    bool   // the operation was read and not ordered: Seq is 0, and Result is as machine.Reader has it
	Version uint64 // if Read: of the keyspace, exact if that was asked for, else one that it has had
}

// Accusation says that a replica contradicted f+1 others.
type Accusation struct {
	Replica int
	Reason  Reason
}

// ClientEffects is what must follow a call. The caller owns and reuses it.
type ClientEffects struct {
	Sends   []Send
	Done    []Completion
	Accused []Accusation
	Wake    bool // Clock is wanted at the next tick
	Ended   bool // the session is over: open another
}

// Reset empties e for reuse.
func (e *ClientEffects) Reset() {
	*e = ClientEffects{Sends: e.Sends[:0], Done: e.Done[:0], Accused: e.Accused[:0]}
}

// NewClient opens a session. The id must never have been used before: the
// time in milliseconds and eight random bytes.
func NewClient(c *Config, p ClientParams, s auth.Signer, keyspace []byte, session SessionID) *Client {
	return &Client{cfg: c, p: p, sign: s, keyspace: keyspace, session: session,
		over: map[uint64]bool{}, suspect: make([]bool, len(c.Members)), heard: make([]uint64, len(c.Members))}
}

// Submit queues an operation; Flush sends it. token comes back in its
// Completion. op is at most MaxOperation bytes and must not change.
func (c *Client) Submit(token uint64, op []byte, deadline Ticks) {
	c.queue = append(c.queue, operation{token, op, deadline})
}

// Flush sends the reads that are queued, and packs the other operations into as
// few signed requests as the limits allow.
func (c *Client) Flush(out *ClientEffects) {
	c.startReads(out)
	for len(c.queue) > 0 && len(c.flight) < c.p.InFlight && !c.ended && c.number < c.acked+64 {
		if c.size > 0 && c.size >= c.p.InFlightSize {
			break
		}
		var ops [][]byte
		size := 0
		for _, o := range c.queue {
			if len(ops) == MaxOperations || len(ops) > 0 && size+4+len(o.op) > MaxRequest {
				break
			}
			size += 4 + len(o.op)
			ops = append(ops, o.op)
		}
		c.number++
		q := NewRequest(c.cfg, c.sign, Request{Keyspace: c.keyspace, Session: c.session, Number: c.number, Acked: c.acked}, ops)
		f := &flight{request: q, ops: append([]operation(nil), c.queue[:len(ops)]...),
			replies: make([]*Reply, len(c.cfg.Members)), results: make([][]byte, len(c.cfg.Members)), gap: c.p.Retry}
		c.queue = append(c.queue[:0], c.queue[len(ops):]...)
		c.flight = append(c.flight, f)
		c.size += len(q.frame.Raw())
		c.transmit(f, out)
	}
	out.Wake = len(c.queue) > 0 || len(c.flight) > 0 || len(c.unread) > 0 || len(c.reads) > 0
	out.Ended = c.ended
}

func (c *Client) transmit(f *flight, out *ClientEffects) {
	f.sent++
	jitter := Ticks(f.request.Number*7919%5) * f.gap / 16
	f.retryAt = c.now + f.gap + jitter
	f.gap = min(2*f.gap, c.p.RetryMax)
	out.Sends = append(out.Sends, Send{ToAll, f.request.frame})
}

// Clock moves time: unanswered requests are sent again, deadlines pass.
func (c *Client) Clock(now Ticks, out *ClientEffects) {
	if now <= c.now {
		return
	}
	c.now = now
	c.clockReads(out)
	kept := c.queue[:0]
	for _, o := range c.queue {
		if o.deadline <= now {
			out.Done = append(out.Done, Completion{Token: o.token, Outcome: OutcomeNotDone, Status: Busy})
		} else {
			kept = append(kept, o)
		}
	}
	c.queue = kept
	for _, f := range append([]*flight(nil), c.flight...) {
		alive := 0
		for i := range f.ops {
			o := &f.ops[i]
			if o.token != 0 && o.deadline <= now {
				out.Done = append(out.Done, Completion{Token: o.token, Outcome: OutcomeUnknown})
				o.token = 0
			}
			if o.token != 0 {
				alive++
			}
		}
		if alive == 0 {
			c.finish(f)
		} else if now >= f.retryAt {
			c.transmit(f, out)
		}
	}
	c.Flush(out)
}

// finish ends a request; its number is acknowledged, so that it can never
// execute later if it has not executed by then.
func (c *Client) finish(f *flight) {
	for i, other := range c.flight {
		if other == f {
			c.flight = append(c.flight[:i], c.flight[i+1:]...)
			break
		}
	}
	c.size -= len(f.request.frame.Raw())
	c.over[f.request.Number] = true
	for c.over[c.acked+1] {
		c.acked++
		delete(c.over, c.acked)
	}
}

// Receive takes a reply that came over the link of replica from.
func (c *Client) Receive(from int, p *Reply, out *ClientEffects) {
	if p.Session != c.session || from < 0 || from >= len(c.cfg.Members) {
		return
	}
	if p.Status == Done && p.Full && ResultDigest(p.Result) != p.Digest {
		c.accuse(from, out)
		return
	}
	var f *flight
	for _, other := range c.flight {
		if other.request.Number == p.Number {
			f = other
		}
	}
	if f == nil {
		c.judgeLate(from, p, out)
		return
	}
	if have := f.replies[from]; have != nil && (!p.Status.Definite() || have.Status == Done && p.Status != Done) {
		return
	}
	f.replies[from] = p
	if p.Full {
		f.results[from] = p.Result
	}
	c.decide(f, out)
	c.Flush(out)
}

func (c *Client) accuse(replica int, out *ClientEffects) {
	c.suspect[replica] = true
	out.Accused = append(out.Accused, Accusation{replica, ReasonReply})
}

func (c *Client) judgeLate(from int, p *Reply, out *ClientEffects) {
	for _, d := range c.recent {
		if d.number == p.Number && p.Status == Done && (p.Seq != d.seq || p.Digest != d.digest) {
			c.accuse(from, out)
		}
	}
}

// decide counts replies that match in (session, number, seq, status, result
// digest): f+1 of them hold a correct one.
func (c *Client) decide(f *flight, out *ClientEffects) {
	weak := c.cfg.Size().Weak()
	for _, p := range f.replies {
		if p == nil || !p.Status.Definite() {
			continue
		}
		votes := 0
		var result []byte
		full := false
		for id, other := range f.replies {
			if other == nil || !matches(p, other) {
				continue
			}
			votes++
			if other.Full {
				result, full = f.results[id], true
			}
		}
		if votes < weak {
			continue
		}
		if p.Status == Done && !full {
			if !f.urged { // a resend makes every replica send the full result
				f.urged = true
				f.retryAt = min(f.retryAt, c.now+c.p.Retry/3)
			}
			return
		}
		c.complete(f, p, result, out)
		return
	}
}

func matches(a, b *Reply) bool {
	return a.Status == b.Status && (a.Status != Done || a.Seq == b.Seq && a.Digest == b.Digest)
}

// complete ends a decided request and names who contradicted the decision.
func (c *Client) complete(f *flight, p *Reply, result []byte, out *ClientEffects) {
	c.finish(f)
	if p.Status != Done {
		outcome := OutcomeNotDone
		if f.sent > 1 || p.Status == TooOld {
			outcome = OutcomeUnknown
		}
		c.ended = c.ended || p.Status == Expired
		for _, o := range f.ops {
			if o.token != 0 {
				out.Done = append(out.Done, Completion{Token: o.token, Outcome: outcome, Status: p.Status})
			}
		}
		return
	}
	for id, other := range f.replies {
		if other != nil && other.Status == Done && !matches(p, other) {
			c.accuse(id, out)
		}
	}
	c.recent = append(c.recent, decided{p.Number, p.Seq, p.Digest})
	if len(c.recent) > 64 {
		c.recent = c.recent[1:]
	}
	results, err := DecodeResults(result, len(f.ops))
	for i, o := range f.ops {
		if o.token == 0 {
			continue
		}
		done := Completion{Token: o.token, Outcome: OutcomeDone, Status: Done, Seq: p.Seq}
		if err == nil {
			done.Result = results[i]
		}
		out.Done = append(out.Done, done)
	}
}

// Unsent takes the operations that were never sent, and all reads that were not
// ordered, out of an ended session, and calls yield for each.
func (c *Client) Unsent(yield func(token uint64, op []byte, deadline Ticks)) {
	for _, o := range c.queue {
		yield(o.token, o.op, o.deadline)
	}
	for _, d := range append(c.reads, c.unread...) {
		yield(d.token, d.op, d.deadline)
	}
	c.queue, c.reads, c.unread = nil, nil, nil
}

// Config is the group's configuration as this client knows it.
func (c *Client) Config() *Config { return c.cfg }

// DecodeReply opens a frame that came over the link of a replica: the link
// authenticates it. It returns nil for anything but a reply of that replica.
func (c *Client) DecodeReply(from int, f *wire.Frame) *Reply {
	m, err := Decode(c.cfg, f)
	if err != nil || m.Kind() != KindReply || m.Author() != from {
		return nil
	}
	return m.body.(*Reply)
}
