package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"time"

	"github.com/tagma-db/tagma/pbft"
)

// Probe is what one replica says of itself when it is asked.
type Probe struct {
	ID        int
	Connected bool          // a link is made
	Failure   string        // why not, if that is known
	Report    *pbft.Report  // nil: it did not answer in time
	After     time.Duration // how long the answer took
}

// Probe asks every replica for a report and waits until all that are connected
// have answered or ctx ends. Nobody should believe a report alone.
func (c *Client) Probe(ctx context.Context) []Probe {
	c.settle(ctx)
	var random [8]byte
	rand.Read(random[:])
	nonce := binary.BigEndian.Uint64(random[:])
	answers := make(chan Probe, 2*len(c.links))
	c.mu.Lock()
	c.probes[nonce] = answers
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.probes, nonce)
		c.mu.Unlock()
	}()
	frame := (&pbft.Probe{Nonce: nonce}).Frame(c.cfg).Raw()
	out := make([]Probe, len(c.links))
	waiting := 0
	for id, l := range c.links {
		c.mu.Lock()
		out[id] = Probe{ID: id, Failure: c.failed[id]}
		c.mu.Unlock()
		if out[id].Connected = l.Send(frame); out[id].Connected {
			waiting++
		}
	}
	asked := time.Now()
	for waiting > 0 {
		select {
		case p := <-answers:
			if out[p.ID].Report == nil {
				waiting--
				out[p.ID].Report, out[p.ID].After = p.Report, time.Since(asked)
			}
		case <-ctx.Done():
			return out
		case <-c.stop:
			return out
		}
	}
	return out
}

// probed hands a report to the probe that waits for it.
func (c *Client) probed(from int, p *pbft.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if waiting := c.probes[p.Nonce]; waiting != nil {
		select {
		case waiting <- Probe{ID: from, Report: p}:
		default: // a replica that answers more than once
		}
	}
}

// Answer is what one replica replied to an operation that was put to all.
type Answer struct {
	Reply    *pbft.Reply   // its first outcome; nil: none came in time
	Disputed bool          // it said two different things, or sent a result that its digest denies
	After    time.Duration // from the first sending until it came
}

const (
	surveyRetry = 100 * time.Millisecond
	surveyTail  = time.Second // waited for the last replicas, once f+1 agree
)

// Survey has operations executed one after the other in a session of its own
// and collects every replica's answer, not just the first f+1: [operation][replica].
// For each it waits until all connected replicas have answered, or for a
// second after f+1 have said the same, at most until ctx ends.
func (c *Client) Survey(ctx context.Context, ops ...[]byte) [][]Answer {
	c.settle(ctx)
	session := newSession()
	replies := make(chan reply, 4*len(c.links))
	c.mu.Lock()
	c.surveys[session] = replies
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.surveys, session)
		c.mu.Unlock()
	}()
	out := make([][]Answer, len(ops))
	for i, op := range ops {
		q := pbft.NewRequest(c.cfg, c.signer, pbft.Request{
			Keyspace: c.keyspace, Session: session, Number: uint64(i) + 1, Acked: uint64(i)}, [][]byte{op})
		out[i] = c.ask(ctx, q, replies)
	}
	return out
}

// ask sends one request to all until they have answered.
func (c *Client) ask(ctx context.Context, q *pbft.Request, replies <-chan reply) []Answer {
	answers := make([]Answer, len(c.links))
	asked := time.Now()
	retry := time.NewTimer(0)
	defer retry.Stop()
	pause := surveyRetry
	var tail <-chan time.Time
	for {
		select {
		case <-retry.C:
			for _, l := range c.links {
				l.Send(q.Frame().Raw())
			}
			retry.Reset(pause)
			pause *= 2
		case p := <-replies:
			if p.Number == q.Number && p.Status.Definite() {
				note(&answers[p.from], p.Reply, time.Since(asked))
			}
		case <-tail:
			return answers
		case <-ctx.Done():
			return answers
		case <-c.stop:
			return answers
		}
		missing := false
		for id, l := range c.links {
			missing = missing || answers[id].Reply == nil && l.Connected()
		}
		agreed, _ := Agreed(answers, c.cfg.Size().Weak())
		if agreed != nil && !missing {
			return answers
		}
		if agreed != nil && tail == nil {
			tail = time.After(surveyTail)
		}
	}
}

func note(a *Answer, p *pbft.Reply, after time.Duration) {
	if p.Status == pbft.Done && p.Full && pbft.ResultDigest(p.Result) != p.Digest {
		a.Disputed = true
	}
	if a.Reply == nil {
		a.Reply, a.After = p, after
	} else if !same(a.Reply, p) {
		a.Disputed = true
	}
}

// same reports whether two replies vouch for one outcome.
func same(a, b *pbft.Reply) bool {
	return a.Status == b.Status && (a.Status != pbft.Done || a.Seq == b.Seq && a.Digest == b.Digest)
}

// Agreed is the outcome that at least weak replicas vouch for, and the
// replicas that said otherwise; nil if there is none yet.
func Agreed(answers []Answer, weak int) (agreed *pbft.Reply, liars []int) {
	for _, a := range answers {
		if a.Reply == nil {
			continue
		}
		votes := 0
		for _, b := range answers {
			if b.Reply != nil && same(a.Reply, b.Reply) {
				votes++
			}
		}
		if votes >= weak {
			agreed = a.Reply
			break
		}
	}
	for id, a := range answers {
		if a.Disputed || agreed != nil && agreed.Status == pbft.Done && a.Reply != nil && a.Reply.Status == pbft.Done && !same(agreed, a.Reply) {
			liars = append(liars, id)
		}
	}
	return agreed, liars
}

// surveyed hands a reply to the survey that waits for it, if there is one.
func (c *Client) surveyed(p reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	waiting := c.surveys[p.Session]
	if waiting == nil {
		return false
	}
	select {
	case waiting <- p:
	default: // a replica that answers more often than it was asked
	}
	return true
}

// settle waits until every link is made or refused, or for a moment.
func (c *Client) settle(ctx context.Context) {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		if _, settled := c.connected(); settled {
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		case <-c.stop:
			return
		}
	}
}
