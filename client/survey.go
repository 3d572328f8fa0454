package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"slices"
	"time"

	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
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
	return c.probe(ctx, nil)
}

// probe asks every replica, or with wanted only those that it wants evidence
// of, by replica.
func (c *Client) probe(ctx context.Context, wanted [][]wire.Digest) []Probe {
	var random [8]byte
	rand.Read(random[:])
	nonce := binary.BigEndian.Uint64(random[:])
	p := &probing{out: make([]Probe, len(c.links)), news: make(chan struct{}, 1), asked: time.Now()}
	c.mu.Lock()
	for id := range p.out {
		p.out[id] = Probe{ID: id, Failure: c.failed[id]}
	}
	c.probes[nonce] = p
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		delete(c.probes, nonce)
		c.mu.Unlock()
	}()
	for id, l := range c.links {
		q := pbft.Probe{Nonce: nonce}
		if wanted != nil {
			if q.Wanted = wanted[id]; len(q.Wanted) == 0 {
				continue
			}
		}
		connected := l.Send(q.Frame(c.cfg).Raw())
		c.mu.Lock()
		p.out[id].Connected = connected
		c.mu.Unlock()
	}
	for {
		c.mu.Lock()
		waiting := slices.ContainsFunc(p.out, func(x Probe) bool { return x.Connected && x.Report == nil })
		c.mu.Unlock()
		if !waiting {
			return p.out
		}
		select {
		case <-p.news:
		case <-ctx.Done():
			return p.out
		case <-c.stop:
			return p.out
		}
	}
}

// probing is a probe under way; the client's mu guards out. Each replica has
// its own place, so that none can push out another's report.
type probing struct {
	asked time.Time
	out   []Probe       // by replica
	news  chan struct{} // capacity 1
}

// probed hands a report to the probe that waits for it. The first one counts.
func (c *Client) probed(from int, r *pbft.Report) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.probes[r.Nonce]
	if p == nil || p.out[from].Report != nil {
		return
	}
	p.out[from].Report, p.out[from].After = r, time.Since(p.asked)
	tell(p.news)
}

// tell wakes whoever waits for news.
func tell(news chan<- struct{}) {
	select {
	case news <- struct{}{}:
	default:
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
	defer func() {
		c.mu.Lock()
		delete(c.surveys, session)
		c.mu.Unlock()
	}()
	out := make([][]Answer, len(ops))
	for i, op := range ops {
		q := pbft.NewRequest(c.cfg, c.signer, pbft.Request{
			Keyspace: c.keyspace, Session: session, Number: uint64(i) + 1, Acked: uint64(i)}, [][]byte{op})
		out[i] = c.ask(ctx, q)
	}
	return out
}

// question is one request of a survey that is under way; the client's mu guards
// answers. Each replica has its own place, so that none can push out another's.
type question struct {
	number  uint64
	asked   time.Time
	answers []Answer      // by replica
	news    chan struct{} // capacity 1
}

// ask sends one request to all until they have answered.
func (c *Client) ask(ctx context.Context, r *pbft.Request) []Answer {
	q := &question{number: r.Number, asked: time.Now(), answers: make([]Answer, len(c.links)), news: make(chan struct{}, 1)}
	c.mu.Lock()
	c.surveys[r.Session] = q
	c.mu.Unlock()
	retry := time.NewTimer(0)
	defer retry.Stop()
	pause := surveyRetry
	var tail <-chan time.Time
	for {
		c.mu.Lock()
		answers := slices.Clone(q.answers)
		c.mu.Unlock()
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
		select {
		case <-retry.C:
			for _, l := range c.links {
				l.Send(r.Frame().Raw())
			}
			retry.Reset(pause)
			pause *= 2
		case <-q.news:
		case <-tail:
			return answers
		case <-ctx.Done():
			return answers
		case <-c.stop:
			return answers
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

// surveyed takes a reply that belongs to a survey, and says whether it does.
func (c *Client) surveyed(p reply) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.surveys[p.Session]
	if q == nil {
		return false
	}
	if p.Number == q.number && p.Status.Definite() {
		note(&q.answers[p.from], p.Reply, time.Since(q.asked))
		tell(q.news)
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
