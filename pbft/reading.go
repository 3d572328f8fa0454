package pbft

import (
	"encoding/binary"

	"github.com/tagma-db/tagma/wire"
)

const (
	maxReads = 64 // reads of one Client under way
	quiet    = 64 // reads decided without a replica, until nobody waits for it
)

// reading is an unordered read under way.
type reading struct {
	operation
	exact   bool // answers must agree in their version too
	nonce   uint64
	again   bool          // sent for the second time
	answers []*ReadAnswer // by replica, to this nonce
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

// startReads sends queued reads, as many as may be under way.
func (c *Client) startReads(out *ClientEffects) {
	for len(c.unread) > 0 && len(c.reads) < maxReads && !c.ended {
		d := c.unread[0]
		c.unread = c.unread[1:]
		c.reads = append(c.reads, d)
		c.sendRead(d, c.teller(), out)
	}
}

// teller is the replica that is to send a long result next: each in turn, but
// for those that keep quiet.
func (c *Client) teller() int {
	for range c.cfg.Members {
		c.told++
		if id := c.told % len(c.cfg.Members); c.missed[id] < quiet {
			return id
		}
	}
	return FullFromAll
}

// sendRead asks all replicas, under a nonce of its own: a late answer to what
// was asked before does not count.
func (c *Client) sendRead(d *reading, full int, out *ClientEffects) {
	c.nonce++
	d.nonce = binary.BigEndian.Uint64(c.session[8:]) + c.nonce
	d.answers = make([]*ReadAnswer, len(c.cfg.Members))
	d.retryAt, d.urged = c.now+c.p.Retry, false
	q := Read{Nonce: d.nonce, Full: full, Keyspace: c.keyspace, Op: d.op}
	out.Sends = append(out.Sends, Send{ToAll, q.Frame(c.cfg)})
}

// askAgain asks once more, now all for the whole result, and after that has the
// read ordered.
func (c *Client) askAgain(d *reading, out *ClientEffects) {
	if d.again {
		c.orderRead(d)
		return
	}
	d.again = true
	c.sendRead(d, FullFromAll, out)
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
			c.askAgain(d, out)
		}
	}
}

// ReceiveRead takes an answer to a read that came over the link of replica from.
func (c *Client) ReceiveRead(from int, a *ReadAnswer, out *ClientEffects) {
	if from < 0 || from >= len(c.cfg.Members) {
		return
	}
	if a.Kind == ReadRows && a.Full && ResultDigest(a.Result) != a.Digest {
		c.accuse(from, out)
		return
	}
	if n := a.Nonce - binary.BigEndian.Uint64(c.session[8:]); n-1 < c.nonce {
		c.missed[from] = 0 // late or not
	}
	for _, d := range c.reads {
		if d.nonce == a.Nonce {
			if d.answers[from] == nil {
				d.answers[from] = a
				c.decideRead(d, out)
			}
			break
		}
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
			if c.missed[id] < quiet {
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
		c.askAgain(d, out)
	}
}

// countRead counts the answers that agree with a, and those with its rows.
func (c *Client) countRead(d *reading, a *ReadAnswer) (votes, rows int) {
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
func (c *Client) acceptRead(d *reading, a *ReadAnswer, out *ClientEffects) {
	var result *ReadAnswer
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
	for id, b := range d.answers {
		if b == nil {
			c.missed[id]++
		}
	}
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
func (c *Client) reached(d *reading, a *ReadAnswer) uint64 {
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
			if o != nil && o.Kind == ReadRows && o.Digest == accepted && o.Seq == b.Seq {
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
