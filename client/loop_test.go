package client

import (
	"errors"
	"testing"
	"time"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
)

// testLoop is a loop without links: its sends are lost, replies are given.
func testLoop(t *testing.T) *loop {
	t.Helper()
	cfg, err := testGenesis(4).Config()
	if err != nil {
		t.Fatal(err)
	}
	return newLoop(&Client{cfg: cfg, signer: auth.NewSigner(testKey(100)), keyspace: []byte("k"), began: time.Now(),
		wake: make(chan struct{}, 1), suspects: make([]bool, 4)})
}

// send puts a call into the core and returns the request that leaves.
func (l *loop) send(t *testing.T, k *call) *pbft.Request {
	t.Helper()
	l.token++
	l.calls[l.token] = k
	l.core.Submit(l.token, k.op, k.deadline)
	l.step(l.core, 0, nil)
	if len(l.eff.Sends) != 1 {
		t.Fatalf("%d sends", len(l.eff.Sends))
	}
	m, err := pbft.Decode(l.c.cfg, l.eff.Sends[0].Frame)
	if err != nil {
		t.Fatal(err)
	}
	q, _ := m.Request()
	return q
}

// answer gives the same reply from f+1 replicas.
func (l *loop) answer(q *pbft.Request, status pbft.ReplyStatus) {
	var replies []reply
	for from := range 2 {
		replies = append(replies, reply{from, &pbft.Reply{Session: q.Session, Number: q.Number, Status: status}})
	}
	l.step(l.core, 0, replies)
}

// TestExpiredSession: an operation of an expired session, which is definitely
// not done, goes out once more in a new session, and only once.
func TestExpiredSession(t *testing.T) {
	l := testLoop(t)
	k := &call{op: []byte("op"), deadline: 1000, done: make(chan outcome, 1)}
	first := l.send(t, k)
	l.answer(first, pbft.Expired)
	if !l.eff.Ended || len(l.held) != 1 || l.held[0] != k {
		t.Fatalf("ended %v, held %v", l.eff.Ended, l.held)
	}
	l.renew()
	l.held = nil
	second := l.send(t, k)
	if second.Session == first.Session {
		t.Fatal("the session is the same")
	}
	l.answer(second, pbft.Expired)
	select {
	case out := <-k.done:
		var e *Error
		if !errors.As(out.err, &e) || e.Outcome != pbft.OutcomeNotDone || e.Next == "" {
			t.Errorf("%v", out.err)
		}
	default:
		t.Error("the call has not ended")
	}
}

// TestRenewKeepsUnsent: what was not sent when a session ends goes out in the
// next one.
func TestRenewKeepsUnsent(t *testing.T) {
	l := testLoop(t)
	k := &call{op: []byte("op"), deadline: 1000, done: make(chan outcome, 1)}
	l.token++
	l.calls[l.token] = k
	l.core.Submit(l.token, k.op, k.deadline)
	l.renew()
	if len(l.held) != 1 || l.held[0] != k || len(l.calls) != 0 {
		t.Errorf("held %v, calls %v", l.held, l.calls)
	}
}

func TestOutcomes(t *testing.T) {
	for status, want := range map[pbft.ReplyStatus]pbft.Outcome{
		pbft.Denied: pbft.OutcomeNotDone, pbft.TooOld: pbft.OutcomeUnknown, pbft.Reused: pbft.OutcomeUnknown,
	} {
		l := testLoop(t)
		k := &call{op: []byte("op"), deadline: 1000, done: make(chan outcome, 1)}
		l.answer(l.send(t, k), status)
		var e *Error
		if out := <-k.done; !errors.As(out.err, &e) || e.Outcome != want || e.Cause == "" || e.Next == "" {
			t.Errorf("status %d: %v", status, out.err)
		}
	}
}

// TestReadAcrossSessions: a read that is under way when its session ends is
// asked again in the next one, and its answer is what q replicas say alike.
func TestReadAcrossSessions(t *testing.T) {
	l := testLoop(t)
	k := &call{op: []byte("op"), read: true, deadline: 1000, done: make(chan outcome, 1)}
	ask := func() *pbft.Read {
		l.token++
		l.calls[l.token] = k
		l.core.Read(l.token, k.op, k.exact, k.deadline)
		l.step(l.core, 0, nil)
		m, err := pbft.Decode(l.c.cfg, l.eff.Sends[0].Frame)
		if err != nil {
			t.Fatal(err)
		}
		q, _ := m.Read()
		return q
	}
	first := ask()
	l.renew()
	if len(l.held) != 1 || l.held[0] != k {
		t.Fatalf("held %v", l.held)
	}
	second := ask()
	if second.Nonce == first.Nonce {
		t.Fatal("the nonce is the same")
	}
	result := []byte("rows")
	for from := range 3 {
		select {
		case out := <-k.done:
			t.Fatalf("%d answers suffice: %v", from, out)
		default:
		}
		a := &pbft.ReadAnswer{Nonce: second.Nonce, Items: []pbft.ReadItem{{Version: 7, Digest: pbft.ResultDigest(result), Full: true, Result: result}}}
		l.answers = []readAnswer{{from, a}}
		l.step(l.core, 0, nil)
	}
	if out := <-k.done; out.err != nil || !out.read || out.version != 7 || string(out.result) != "rows" {
		t.Errorf("%+v", out)
	}
}

// TestUnansweredRead: a read that was never ordered is definitely not done.
func TestUnansweredRead(t *testing.T) {
	l := testLoop(t)
	k := &call{op: []byte("op"), read: true, deadline: 5, done: make(chan outcome, 1)}
	l.calls[1] = k
	l.core.Read(1, k.op, true, k.deadline)
	l.step(l.core, 1, nil)
	l.step(l.core, 5, nil)
	var e *Error
	if out := <-k.done; !errors.As(out.err, &e) || e.Outcome != pbft.OutcomeNotDone || e.Cause == "" || e.Next == "" {
		t.Errorf("%v", out.err)
	}
}
