package pbft

import (
	"encoding/binary"

	"github.com/tagma-db/tagma/wire"
)

const (
	maxUnderWay = 512 // reads of one Client under way
	quiet       = 64  // questions that a replica has not answered, until nobody waits for it
)

// reading is an unordered read, queued or under way.
type reading struct {
	operation
	exact   bool // answers must agree in their version too
	again   bool // asked for the second time
	nonce   uint64
	index   int         // among the operations of its question
	answers []*ReadItem // by replica, to this question
	retryAt Ticks
	urged   bool // the digest is decided, the result is asked for
}

// Read queues an operation that writes nothing; Flush sends it. It is asked of
// all replicas without being ordered; if q of them do not give equal results,
// not even when asked once more, it is ordered like any other. With exact they
// must have read equal versions of the keyspace, not only equal rows. token
// comes back in its Completion; op is at most MaxOperation bytes and must not
// change.
func (c *Client) Read(token uint64, op []byte, exact bool, deadline Ticks) {
	c.unread = append(c.unread, &reading{operation: operation{token, op, deadline}, exact: exact})
}

// startReads packs queued reads into as few questions as the limits allow, and
// puts them to all replicas. Each has a nonce of its own: late answers to what
// was asked before do not count.
func (c *Client) startReads(out *ClientEffects) {
	for len(c.unread) > 0 && len(c.reads) < maxUnderWay && !c.ended {
		c.asked++
		q := Read{Nonce: c.nonces() + c.asked, Full: c.teller(), Keyspace: c.keyspace}
		size := 0
		for _, d := range c.unread {
			if len(q.Ops) == MaxReads || len(q.Ops) > 0 && size+len(d.op) > MaxRequest {
				break
			}
			if d.again {
				q.Full = FullFromAll
			}
			d.nonce, d.index, d.answers = q.Nonce, len(q.Ops), make([]*ReadItem, len(c.cfg.Members))
			d.retryAt, d.urged = c.now+c.p.Retry, false
			if d.again {
				d.retryAt += 2 * c.p.Retry // the order would not be quicker
			}
			size += len(d.op)
			q.Ops = append(q.Ops, d.op)
		}
		c.reads = append(c.reads, c.unread[:len(q.Ops)]...)
		c.unread = append(c.unread[:0], c.unread[len(q.Ops):]...)
		out.Sends = append(out.Sends, Send{ToAll, q.Frame(c.cfg)})
	}
}

// nonces is where this client's begin: other connections of the same key see
// its answers too.
func (c *Client) nonces() uint64 { return binary.BigEndian.Uint64(c.session[8:]) }

// isQuiet reports whether a replica has left many questions unanswered.
func (c *Client) isQuiet(id int) bool { return c.asked > c.heard[id]+quiet }

// teller is the replica that is to send long results next: each in turn, but
// for those that are quiet or have lied.
func (c *Client) teller() int {
	for i := range c.cfg.Members {
		if id := (int(c.asked%MaxReads) + i) % len(c.cfg.Members); !c.isQuiet(id) && !c.suspect[id] {
			return id
		}
	}
	return FullFromAll
}

// askAgain asks once more, now all for the whole result, and after that has the
// read ordered.
func (c *Client) askAgain(d *reading) {
	if d.again {
		c.orderRead(d)
		return
	}
	c.endRead(d)
	d.again = true
	c.unread = append(c.unread, d)
}

// orderRead makes a request of a read.
func (c *Client) orderRead(d *reading) {
	c.endRead(d)
	c.queue = append(c.queue, d.operation)
}

func (c *Client) endRead(d *reading) {
	for i, other := range c.reads {
		if other == d {
			c.reads = append(c.reads[:i], c.reads[i+1:]...)
			return
		}
	}
}

// clockReads gives up what is past its deadline, and goes on with what was not
// answered in time. A read leaves nothing behind: one that was not ordered is
// definitely not done.
func (c *Client) clockReads(out *ClientEffects) {
	over := func(d *reading) bool {
		if d.deadline > c.now {
			return false
		}
		out.Done = append(out.Done, Completion{Token: d.token, Outcome: OutcomeNotDone, Status: Refused})
		return true
	}
	kept := c.unread[:0]
	for _, d := range c.unread {
		if !over(d) {
			kept = append(kept, d)
		}
	}
	c.unread = kept
	for _, d := range append([]*reading(nil), c.reads...) {
		switch {
		case over(d):
			c.endRead(d)
		case c.now >= d.retryAt:
			c.askAgain(d)
		}
	}
}

// ReceiveRead takes an answer to reads that came over the link of replica from.
func (c *Client) ReceiveRead(from int, a *ReadAnswer, out *ClientEffects) {
	if from < 0 || from >= len(c.cfg.Members) {
		return
	}
	if n := a.Nonce - c.nonces(); n-1 < c.asked {
		c.heard[from] = max(c.heard[from], n)
	}
	for _, d := range append([]*reading(nil), c.reads...) {
		if d.nonce != a.Nonce || d.answers[from] != nil {
			continue
		}
		x := &ReadItem{Kind: ReadRetry}
		if d.index < len(a.Items) {
			x = &a.Items[d.index]
			x.seq = a.Seq
		}
		if x.Full && ResultDigest(x.Result) != x.Digest {
			c.accuse(from, out)
			break
		}
		d.answers[from] = x
		c.decideRead(d, out)
	}
	c.Flush(out)
}

// decideRead counts answers with equal results: q of them are needed, for f+1
// could all be of replicas that a write, answered by f+1 others, has not
// reached. Once q cannot agree any more there is nothing to wait for.
func (c *Client) decideRead(d *reading, out *ClientEffects) {
	most, alike, open, refused := 0, 0, 0, 0
	for id, a := range d.answers {
		switch {
		case a == nil:
			if !c.isQuiet(id) {
				open++
			}
			continue
		case a.Kind == ReadRefused:
			refused++
		}
		if a.Kind != ReadRows {
			continue
		}
		votes, rows := c.countRead(d, a)
		if votes >= c.cfg.Size().Quorum() {
			c.acceptRead(d, a, out)
			return
		}
		most, alike = max(most, votes), max(alike, rows)
	}
	switch {
	case refused >= c.cfg.Size().Weak(): // a correct one among them: no other will answer
		c.orderRead(d)
	case most+open >= c.cfg.Size().Quorum():
	case alike >= c.cfg.Size().Quorum(): // writes elsewhere in the keyspace go on: they will go on
		c.orderRead(d)
	default:
		c.askAgain(d)
	}
}

// countRead counts the answers that agree with a, and those with its rows.
func (c *Client) countRead(d *reading, a *ReadItem) (votes, rows int) {
	for _, b := range d.answers {
		if b == nil || b.Kind != ReadRows || b.Digest != a.Digest {
			continue
		}
		rows++
		if !d.exact || b.Version == a.Version {
			votes++
		}
	}
	return votes, rows
}

// acceptRead ends a read that q replicas answered as a does, once one of them
// has sent the result.
func (c *Client) acceptRead(d *reading, a *ReadItem, out *ClientEffects) {
	var result *ReadItem
	for _, b := range d.answers {
		if b != nil && b.Full && b.Digest == a.Digest {
			result = b
		}
	}
	if result == nil {
		if !d.urged {
			d.urged = true
			d.retryAt = min(d.retryAt, c.now+c.p.Retry/3)
		}
		return
	}
	c.endRead(d)
	c.judgeRead(d, a.Digest, out)
	out.Done = append(out.Done, Completion{Token: d.token, Outcome: OutcomeDone, Status: Done, Result: result.Result,
		Read: true, Version: c.reached(d, a)})
}

// reached is a version that the keyspace has had when the read ended. If exact,
// it is the one that was read: q replicas say so, one of them is correct and
// has seen every write that was done before, so no such write has a higher one.
// Else only the rows are known, and the answers' versions differ: the highest
// that f+1 of them reach is no invention, since a correct one is among these,
// but it may be older than such a write, and the rows may be those of another
// version if a row came and went between two of them.
func (c *Client) reached(d *reading, a *ReadItem) uint64 {
	if d.exact {
		return a.Version
	}
	best := uint64(0)
	for _, b := range d.answers {
		if b == nil || b.Kind != ReadRows || b.Digest != a.Digest {
			continue
		}
		above := 0
		for _, o := range d.answers {
			if o != nil && o.Kind == ReadRows && o.Digest == a.Digest && o.Version >= b.Version {
				above++
			}
		}
		if above >= c.cfg.Size().Weak() {
			best = max(best, b.Version)
		}
	}
	return best
}

// judgeRead names who lied for sure: who says of the state after a slot what
// f+1 others deny of the state after the same slot. Answers from other slots
// may differ rightly; one is behind, one ahead.
func (c *Client) judgeRead(d *reading, accepted wire.Digest, out *ClientEffects) {
	for id, b := range d.answers {
		if b == nil || b.Kind != ReadRows {
			continue
		}
		against := 0
		var version uint64
		for _, o := range d.answers {
			if o != nil && o.Kind == ReadRows && o.Digest == accepted && o.seq == b.seq {
				if against == 0 || o.Version == version {
					against, version = against+1, o.Version
				}
			}
		}
		if against >= c.cfg.Size().Weak() && (b.Digest != accepted || b.Version != version) {
			c.accuse(id, out)
		}
	}
}

// DecodeReadAnswer is DecodeReply for answers to reads.
func (c *Client) DecodeReadAnswer(from int, f *wire.Frame) *ReadAnswer {
	m, err := Decode(c.cfg, f)
	if err != nil || m.Kind() != KindReadAnswer || m.Author() != from {
		return nil
	}
	return m.body.(*ReadAnswer)
}
