package host

import (
	"errors"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
)

// counting is rows that give up on whoever reads without end.
type counting struct {
	*storage.MemRows
	gets int
}

func (c *counting) Get(key []byte) ([]byte, bool) {
	if c.gets++; c.gets > 1000 {
		panic("I9: one request with acked 2^60 holds every replica for ever, and again at every replay")
	}
	return c.MemRows.Get(key)
}

// TestAckedIsNoLoop: acked may lie far above what was ever used.
func TestAckedIsNoLoop(t *testing.T) {
	l := newLone(t)
	l.done(l.request(1, 1, 0, "a"), "a")
	l.host.o.Store = &counting{MemRows: l.rows}
	l.done(l.request(1, 1<<60+1, 1<<60, "b"), "ab")
}

// TestOwnClockDecidesNothing: a fast clock makes no definite answer.
func TestOwnClockDecidesNothing(t *testing.T) {
	l := newLone(t)
	l.done(l.request(1, 1, 0, "a"), "a")
	f := l.request(1, 2, 1, "b")
	l.wall += l.limits.Expiry + 1000 // this replica's clock alone jumps; agreed time does not
	l.replies = nil
	agreed := l.host.state.time
	l.host.Begin(l.now+1, l.wall)
	l.host.Receive(Source{Replica: pbft.FromClient, Client: l.client.Public()}, f)
	if len(l.replies) == 1 && l.replies[0].Status == pbft.Expired && agreed+l.limits.Expiry > agreed {
		t.Fatalf("answered %v (definite) at agreed time %d although no batch has passed the session's end; the others execute it", l.replies[0].Status, agreed)
	}
}

type failing struct {
	*storage.MemRows
	bad bool
}

func (f *failing) Get(k []byte) ([]byte, bool) {
	if f.bad {
		return nil, false // as PebbleRows does after an error
	}
	return f.MemRows.Get(k)
}
func (f *failing) Err() error {
	if f.bad {
		return errors.New("read error")
	}
	return nil
}

// TestNoReplyFromRowsThatFailed: after a failed read nothing is answered.
func TestNoReplyFromRowsThatFailed(t *testing.T) {
	l := newLone(t)
	rows := &failing{MemRows: l.rows}
	h, err := Open(Options{Config: l.cfg, Self: 0, Signer: l.replica, Verifier: auth.Ed25519{}, Machine: counter{},
		Store: rows, Log: &l.log, Outbox: l, Sessions: l.limits, Allowed: func(k auth.PublicKey) bool { return true }},
		Recovery{Clean: false, Boot: 5, Next: uint64(len(l.log.records) + 1), Records: func(yield func([]byte) error) error {
			for _, r := range append([][]byte(nil), l.log.records...) {
				if err := yield(r); err != nil {
					return err
				}
			}
			return nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	l.host = h
	l.round()
	l.done(l.request(1, 1, 0, "a"), "a")
	rows.bad = true
	l.replies = nil
	l.now++
	l.host.Begin(l.now, l.wall)
	l.host.Receive(Source{Replica: pbft.FromClient, Client: l.client.Public()}, l.request(1, 2, 0, "b"))
	l.host.End()
	l.host.NeedsSync()
	l.host.Synced(uint64(len(l.log.records))) // the round in which commits arrive
	for _, p := range l.replies {
		t.Fatalf("I5: after the store failed a reply left: %v, result %q, right is %q", p.Status, p.Result, "ab")
	}
}

// TestWhatIsRepeatedIsSynced: what is sent again asks for no sync, but may stand
// behind a vote whose record starts none (D3): it must not wait for ever.
func TestWhatIsRepeatedIsSynced(t *testing.T) {
	l := newLone(t)
	f := l.request(1, 1, 0, "a")
	l.host.eff.Records = append(l.host.eff.Records, []byte("a vote"))
	l.host.apply()
	if l.host.NeedsSync() {
		t.Fatal("a record alone starts a sync")
	}
	l.host.eff.Sends = append(l.host.eff.Sends, pbft.Send{To: pbft.ToAll, Frame: f})
	l.host.apply()
	if l.host.Waiting() != 1 || !l.host.NeedsSync() {
		t.Fatalf("I9: %d frames wait for a sync that nobody starts", l.host.Waiting())
	}
	l.host.Synced(uint64(len(l.log.records)))
	if l.host.Waiting() != 0 {
		t.Fatal("the frame still waits")
	}
}
