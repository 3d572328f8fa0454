package client

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"runtime"
	"time"

	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/transport"
	"github.com/tagma-db/tagma/wire"
)

const perRound = 256 // frames taken from the inbox in one round

// loop is what the one goroutine owns: the protocol core and the calls in it.
type loop struct {
	c        *Client
	core     *pbft.Client
	over     []*pbft.Client // ended sessions with requests still under way
	eff      pbft.ClientEffects
	calls    map[uint64]*call // in a core, by token; bounded by the callers
	held     []*call          // not yet in a core: too few replicas are connected
	token    uint64           // last used
	received []transport.Received
	answers  []readAnswer // to reads, in received
	sends    transport.Batch
	refusals map[int]pbft.ReplyStatus // by replica: the last "busy" or "refused" since a result came
}

func newLoop(c *Client) *loop {
	l := &loop{c: c, calls: map[uint64]*call{}, refusals: map[int]pbft.ReplyStatus{}}
	l.core = l.session()
	return l
}

// session makes a core for a session that was never used before.
func (l *loop) session() *pbft.Client {
	return pbft.NewClient(l.c.cfg, pbft.ClientDefaults(), l.c.signer, l.c.keyspace, newSession())
}

func newSession() (id pbft.SessionID) {
	binary.BigEndian.PutUint64(id[:8], uint64(time.Now().UnixMilli()))
	if _, err := rand.Read(id[8:]); err != nil {
		panic("client: no random bytes: " + err.Error())
	}
	return id
}

func (l *loop) run() {
	defer close(l.c.done)
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	running := true
	for {
		if wake := l.round(); wake != running {
			if running = wake; wake {
				ticker.Reset(tick)
			} else {
				ticker.Stop()
			}
		}
		select {
		case <-l.c.wake:
			runtime.Gosched() // callers that are about to hand in something join this round
		case <-l.c.inbox.Ready():
		case <-ticker.C:
		case <-l.c.stop:
			l.fail()
			return
		}
	}
}

// round takes what came and what was handed in, and reports whether the clock
// is wanted.
func (l *loop) round() bool {
	now := pbft.Ticks(time.Since(l.c.began) / tick)
	replies := l.drain()
	for _, core := range l.over {
		l.step(core, now, replies)
	}
	kept := l.over[:0]
	for _, core := range l.over {
		l.eff.Reset()
		if core.Flush(&l.eff); l.eff.Wake {
			kept = append(kept, core)
		}
	}
	l.over = kept
	l.take(now)
	l.step(l.core, now, replies)
	l.sends.Flush()
	if l.eff.Ended {
		l.renew()
	}
	return l.eff.Wake || len(l.over) > 0 || len(l.held) > 0
}

type reply struct {
	from int
	*pbft.Reply
}

type readAnswer struct {
	from int
	*pbft.ReadAnswer
}

// drain takes frames from the inbox and sorts them.
func (l *loop) drain() (replies []reply) {
	clear(l.answers)
	l.answers = l.answers[:0]
	l.received = l.c.inbox.Drain(l.received[:0], perRound)
	for _, r := range l.received {
		from, ok := l.c.index[r.From.Key()]
		if !ok {
			continue
		}
		f, err := wire.Decode(r.Frame)
		if err != nil {
			continue
		}
		m, err := pbft.Decode(l.c.cfg, f)
		if err != nil || m.Author() != from {
			continue
		}
		if p, ok := m.Reply(); ok {
			if !l.c.surveyed(reply{from, p}) {
				replies = append(replies, reply{from, p})
			}
		} else if a, ok := m.ReadAnswer(); ok {
			l.answers = append(l.answers, readAnswer{from, a})
		} else if p, ok := m.Report(); ok {
			l.c.probed(from, p)
		}
	}
	return replies
}

// take moves calls from the queue into the core, once enough replicas are
// connected to answer them; before that their deadlines are kept here.
func (l *loop) take(now pbft.Ticks) {
	l.c.mu.Lock()
	l.held = append(l.held, l.c.queue...)
	l.c.queue = l.c.queue[:0]
	l.c.mu.Unlock()
	if len(l.held) == 0 {
		return
	}
	weak := l.c.cfg.Size().Weak()
	count, settled := l.c.connected()
	if count >= weak && (settled || count == len(l.c.links)) {
		for _, k := range l.held {
			l.token++
			l.calls[l.token] = k
			if k.read {
				l.core.Read(l.token, k.op, k.exact, k.deadline)
			} else {
				l.core.Submit(l.token, k.op, k.deadline)
			}
		}
		l.held = nil
		return
	}
	kept := l.held[:0]
	for _, k := range l.held {
		if k.deadline > now {
			kept = append(kept, k)
			continue
		}
		k.done <- outcome{err: notDone("not sent: "+l.c.reachable(), fmt.Sprintf("%d are needed; start the nodes, or see `tagma status`", weak))}
	}
	l.held = kept
}

// step drives one core through a round.
func (l *loop) step(core *pbft.Client, now pbft.Ticks, replies []reply) {
	l.eff.Reset()
	core.Clock(now, &l.eff)
	for _, p := range replies {
		if !p.Status.Definite() {
			l.refusals[p.from] = p.Status
		}
		core.Receive(p.from, p.Reply, &l.eff)
	}
	for _, a := range l.answers {
		core.ReceiveRead(a.from, a.ReadAnswer, &l.eff)
	}
	core.Flush(&l.eff)
	for _, s := range l.eff.Sends {
		for id, link := range l.c.links {
			if s.To == pbft.ToAll || s.To == id {
				l.sends.Send(link, s.Frame.Raw()) // a lost frame is sent again by the core
			}
		}
	}
	for _, a := range l.eff.Accused {
		l.c.mu.Lock()
		l.c.suspects[a.Replica] = true
		l.c.mu.Unlock()
	}
	for _, d := range l.eff.Done {
		l.complete(d)
	}
}

// renew opens a session in place of one that is over.
func (l *loop) renew() {
	old := l.core
	l.core = l.session()
	old.Unsent(func(token uint64, _ []byte, _ pbft.Ticks) {
		l.held = append(l.held, l.calls[token])
		delete(l.calls, token)
	})
	l.over = append(l.over, old)
	l.c.signal()
}

// complete ends a call as the core says.
func (l *loop) complete(d pbft.Completion) {
	k := l.calls[d.Token]
	delete(l.calls, d.Token)
	if d.Outcome == pbft.OutcomeDone {
		clear(l.refusals)
		k.done <- outcome{result: d.Result, read: d.Read, version: d.Version}
		return
	}
	if d.Outcome == pbft.OutcomeNotDone && d.Status == pbft.Expired && !k.again {
		k.again = true // definite, so it may be sent again in another session
		l.held = append(l.held, k)
		return
	}
	k.done <- outcome{err: l.failure(d)}
}

func (l *loop) failure(d pbft.Completion) *Error {
	e := &Error{Outcome: d.Outcome}
	switch {
	case d.Outcome == pbft.OutcomeNotDone && d.Status == pbft.Busy:
		e.Cause = "not sent in time: the operations before it were not answered (" + l.c.reachable() + ")"
		e.Next = "try again, with a longer time-out if the cluster is busy; see `tagma status`"
	case d.Outcome == pbft.OutcomeNotDone && d.Status == pbft.Refused:
		e.Cause = fmt.Sprintf("no answer that %d replicas agree on came in time: %s", l.c.cfg.Size().Quorum(), l.c.reachable())
		e.Next = "read again, with a longer time-out if the cluster is busy; see `tagma status`"
	case d.Status == pbft.Denied:
		e.Cause = "this key may not use the cluster"
		e.Next = "use the client folder that `tagma init` made"
	case d.Status == pbft.Expired:
		e.Cause = "the session could not be opened or is over"
		e.Next = "check this computer's clock, then try again"
	case d.Status == pbft.TooOld || d.Status == pbft.Reused:
		e.Outcome = pbft.OutcomeUnknown
		e.Cause = "executed, or refused for ever, and the result is no longer kept"
		e.Next = "read to see whether it took effect"
	default:
		e.Cause = fmt.Sprintf("no answer that %d replicas agree on came in time: %s%s", l.c.cfg.Size().Weak(), l.c.reachable(), l.refused())
		e.Next = "read to see whether it took effect, and see `tagma status`"
	}
	return e
}

// refused says what replicas answered that hold the request back.
func (l *loop) refused() string {
	busy, refused := 0, 0
	for _, status := range l.refusals {
		if status == pbft.Busy {
			busy++
		} else {
			refused++
		}
	}
	switch {
	case refused > 0:
		return fmt.Sprintf("; %d refuse new sessions of this key for now", refused)
	case busy > 0:
		return fmt.Sprintf("; %d are busy", busy)
	}
	return ""
}

// fail ends all calls: the client closes.
func (l *loop) fail() {
	l.c.mu.Lock()
	l.c.closed = true
	unsent := append(l.held, l.c.queue...)
	l.c.queue = nil
	l.c.mu.Unlock()
	for _, core := range append(l.over, l.core) {
		core.Unsent(func(token uint64, _ []byte, _ pbft.Ticks) {
			unsent = append(unsent, l.calls[token])
			delete(l.calls, token)
		})
	}
	for _, k := range unsent {
		k.done <- outcome{err: errClosed}
	}
	for _, k := range l.calls {
		k.done <- outcome{err: &Error{Outcome: pbft.OutcomeUnknown, Cause: "the client was closed while it was under way", Next: "read to see whether it took effect"}}
	}
}
