package host

import (
	"bytes"
	"crypto/ed25519"
	"encoding/binary"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// counter is a machine whose operations append to one row.
type counter struct{}

func (counter) Execute(rows machine.Rows, call machine.Call) []byte {
	old, _ := rows.Get([]byte("row"))
	value := append(append([]byte(nil), old...), call.Op...)
	rows.Set([]byte("row"), value)
	return value
}

// memLog keeps records in memory.
type memLog struct{ records [][]byte }

func (l *memLog) Append(record []byte) uint64 {
	l.records = append(l.records, bytes.Clone(record))
	return uint64(len(l.records))
}

// lone is a group of one, with its disk and its client.
type lone struct {
	t       *testing.T
	cfg     *pbft.Config
	replica auth.Signer
	client  auth.Signer
	log     memLog
	rows    *storage.MemRows
	host    *Host
	replies []*pbft.Reply
	reads   []*pbft.ReadAnswer
	machine machine.Machine
	limits  SessionLimits
	wall    int64
	boot    uint64
	now     pbft.Ticks
	journal int
}

func newLone(t *testing.T) *lone {
	key := func(b byte) auth.Signer {
		return auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, 32)))
	}
	l := &lone{t: t, replica: key(1), client: key(2), rows: storage.NewMemRows(), machine: counter{}, limits: DefaultSessions(), wall: 1_000_000_000}
	l.cfg = &pbft.Config{Cluster: wire.Digest{1}, Group: 1, Epoch: 1, Members: []auth.PublicKey{l.replica.Public()}, Params: pbft.Defaults()}
	l.open(true)
	return l
}

func (l *lone) ToReplica(int, *wire.Frame) {}

func (l *lone) ToClient(_ auth.PublicKey, f *wire.Frame) {
	m, err := pbft.Decode(l.cfg, f)
	if err != nil {
		l.t.Fatal(err)
	}
	if p, ok := m.Reply(); ok {
		l.replies = append(l.replies, p)
	}
	if a, ok := m.ReadAnswer(); ok {
		l.reads = append(l.reads, a)
	}
}

// open starts the host from what the log and the rows hold.
func (l *lone) open(clean bool) {
	l.boot++
	l.now = 0
	records := l.log.records
	h, err := Open(Options{Config: l.cfg, Self: 0, Signer: l.replica, Verifier: auth.Ed25519{}, Machine: l.machine,
		Store: l.rows, Log: &l.log, Outbox: l, Sessions: l.limits, Journal: l.journal,
		Allowed: func(k auth.PublicKey) bool { return k == l.client.Public() },
	}, Recovery{Clean: clean, Boot: l.boot, Next: uint64(len(records) + 1), Records: func(yield func([]byte) error) error {
		for _, r := range records {
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.host = h
	l.round()
}

// round lets everything happen that can.
func (l *lone) round(frames ...*wire.Frame) {
	l.now++
	l.host.Begin(l.now, l.wall)
	for _, f := range frames {
		l.host.Receive(Source{Replica: pbft.FromClient, Client: l.client.Public()}, f)
	}
	l.host.End()
	for l.host.NeedsSync() {
		l.host.Synced(uint64(len(l.log.records)))
		l.host.End()
	}
	if l.host.Halted() != pbft.ReasonNone {
		l.t.Fatalf("halted: %v", l.host.Halted())
	}
}

// root is the state root after the last executed slot.
func (l *lone) root() wire.Digest {
	l.host.checkpoint(false, true)
	return l.host.points[len(l.host.points)-1].root
}

func (l *lone) request(session byte, number, acked uint64, ops ...string) *wire.Frame {
	q := pbft.Request{Keyspace: []byte("space"), Number: number, Acked: acked}
	binary.BigEndian.PutUint64(q.Session[:], uint64(l.wall))
	q.Session[8] = session
	return l.frame(q, ops...)
}

func (l *lone) frame(q pbft.Request, ops ...string) *wire.Frame {
	var raw [][]byte
	for _, op := range ops {
		raw = append(raw, []byte(op))
	}
	return pbft.NewRequest(l.cfg, l.client, q, raw).Frame()
}

// ask sends a request and returns the answer to it.
func (l *lone) ask(f *wire.Frame) *pbft.Reply {
	l.t.Helper()
	l.replies = nil
	l.round(f)
	if len(l.replies) != 1 {
		l.t.Fatalf("%d replies", len(l.replies))
	}
	return l.replies[0]
}

func (l *lone) done(f *wire.Frame, want string) {
	l.t.Helper()
	p := l.ask(f)
	results, err := pbft.DecodeResults(p.Result, 1)
	if err != nil || p.Status != pbft.Done || string(results[0]) != want {
		l.t.Fatalf("got %v %q, want %q", p.Status, results, want)
	}
}

func TestAtMostOnce(t *testing.T) {
	l := newLone(t)
	first := l.request(1, 1, 0, "a")
	l.done(first, "a")
	l.done(first, "a") // from the cache, not executed again [I3]
	l.done(l.request(1, 2, 0, "b"), "ab")
	if p := l.ask(l.request(1, 1, 0, "x")); p.Status != pbft.Reused {
		t.Fatalf("a reused number: %v", p.Status)
	}
	l.open(false) // killed: the rows are those in memory, the log says the same
	l.done(first, "a")
	l.done(l.request(1, 3, 2, "c"), "abc")
	if p := l.ask(first); p.Status != pbft.TooOld {
		t.Fatalf("an acknowledged number: %v", p.Status)
	}
}

// TestReplay loses all rows: the log alone brings them back, sessions and
// results with them [I5].
func TestReplay(t *testing.T) {
	l := newLone(t)
	first := l.request(1, 1, 0, "a")
	l.done(first, "a")
	l.done(l.request(1, 2, 0, "b"), "ab")
	root := l.root()
	l.rows = storage.NewMemRows()
	l.open(false)
	if again := l.root(); again != root {
		t.Fatalf("root %v became %v", root, again)
	}
	l.done(first, "a")
	l.done(l.request(1, 3, 0, "c"), "abc")
}

func TestWindow(t *testing.T) {
	l := newLone(t)
	l.limits.Window = 4
	l.open(false)
	if p := l.ask(l.request(1, 5, 0, "x")); p.Status != pbft.Refused {
		t.Fatalf("a number beyond the window of a new session: %v", p.Status)
	}
	l.done(l.request(1, 4, 0, "d"), "d") // in any order inside it
	l.done(l.request(1, 2, 0, "b"), "db")
	if p := l.ask(l.request(1, 5, 0, "x")); p.Status != pbft.Refused {
		t.Fatalf("a number beyond the window: %v", p.Status)
	}
	l.done(l.request(1, 5, 4, "e"), "dbe")
	if p := l.ask(l.request(1, 3, 0, "x")); p.Status != pbft.TooOld {
		t.Fatalf("a number that was given up: %v", p.Status)
	}
}

func TestExpiry(t *testing.T) {
	l := newLone(t)
	f := l.request(1, 1, 0, "a")
	later := l.request(1, 2, 0, "b")
	l.done(f, "a")
	l.wall += l.limits.Expiry / 2
	l.done(l.request(2, 1, 0, "b"), "ab") // time passes only in batches
	l.wall += l.limits.Expiry/2 + 2
	l.done(l.request(3, 1, 0, "c"), "abc")
	if p := l.ask(later); p.Status != pbft.Expired {
		t.Fatalf("a number of an expired session: %v", p.Status)
	}
	// The record of session 1 is gone by now; it cannot be opened again.
	if p := l.ask(f); p.Status != pbft.Expired {
		t.Fatalf("the first number of a forgotten session: %v", p.Status)
	}
	early := pbft.Request{Keyspace: []byte("space"), Number: 1}
	binary.BigEndian.PutUint64(early.Session[:], uint64(l.wall+l.limits.Expiry+10))
	if p := l.ask(l.frame(early, "x")); p.Status != pbft.Refused {
		t.Fatalf("a session from the future: %v", p.Status)
	}
}

func TestSessionRecordsAreBounded(t *testing.T) {
	l := newLone(t)
	l.limits.Records = 3
	l.open(false)
	for i := byte(1); i <= 3; i++ {
		if p := l.ask(l.request(i, 1, 0, "x")); p.Status != pbft.Done {
			t.Fatalf("session %d: %v", i, p.Status)
		}
	}
	l.wall++ // sessions 1 to 3 were opened a millisecond earlier
	first := l.old(1, 2)
	l.round(first) // session 1 is used again, so session 2 is the oldest
	if p := l.ask(l.request(4, 1, 0, "x")); p.Status != pbft.Done {
		t.Fatalf("a session too many: %v", p.Status)
	}
	if p := l.ask(l.old(1, 3)); p.Status != pbft.Done {
		t.Fatalf("a session in use was dropped: %v", p.Status)
	}
	if p := l.ask(l.old(2, 1)); p.Status != pbft.Expired { // not executed again [I3]
		t.Fatalf("a request of the dropped session: %v", p.Status)
	}
	l.wall += l.limits.Expiry + 2
	if p := l.ask(l.request(5, 1, 0, "y")); p.Status != pbft.Done {
		t.Fatalf("a session after the others expired: %v", p.Status)
	}
	rows := 0
	l.rows.Scan(nil, nil, func(key, _ []byte) bool {
		if len(key) > 34 && key[33] == partSessions {
			rows++
		}
		return true
	})
	if rows != 3 { // a session, a result, the floor
		t.Fatalf("%d session rows are kept of one live session", rows)
	}
}

// old is a request of a session that was opened a millisecond ago.
func (l *lone) old(session byte, number uint64) *wire.Frame {
	q := pbft.Request{Keyspace: []byte("space"), Number: number}
	binary.BigEndian.PutUint64(q.Session[:], uint64(l.wall-1))
	q.Session[8] = session
	return l.frame(q, "x")
}

func TestCachedResultsAreBounded(t *testing.T) {
	l := newLone(t)
	l.limits.Cached = 100
	l.open(false)
	first := l.request(1, 1, 0, string(bytes.Repeat([]byte("x"), 60)))
	if p := l.ask(first); p.Status != pbft.Done {
		t.Fatal(p.Status)
	}
	if p := l.ask(l.request(1, 2, 0, "y")); p.Status != pbft.Done {
		t.Fatal(p.Status)
	}
	if p := l.ask(first); p.Status != pbft.TooOld {
		t.Fatalf("the oldest result is still there: %v", p.Status)
	}
}

func TestStrangers(t *testing.T) {
	l := newLone(t)
	stranger := auth.NewSigner(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32)))
	q := pbft.NewRequest(l.cfg, stranger, pbft.Request{Keyspace: []byte("space"), Number: 1}, [][]byte{[]byte("x")})
	l.round(q.Frame()) // over the client's link, in another's name
	if len(l.replies) != 0 {
		t.Fatal("a request in another's name was answered")
	}
	l.replies = nil
	l.host.Receive(Source{Replica: pbft.FromClient, Client: stranger.Public()}, q.Frame())
	if len(l.replies) != 1 || l.replies[0].Status != pbft.Denied {
		t.Fatalf("a stranger got %v", l.replies)
	}
}

// TestRefusedAfterLoss: rows older than the log says are not taken for the state.
func TestRowsLost(t *testing.T) {
	l := newLone(t)
	l.done(l.request(1, 1, 0, "a"), "a")
	carry := l.host.Carry(l.rows.Applied())
	l.log.records = carry
	_, err := Open(Options{Config: l.cfg, Signer: l.replica, Verifier: auth.Ed25519{}, Machine: counter{},
		Store: storage.NewMemRows(), Log: &l.log, Outbox: l, Sessions: l.limits, Allowed: func(auth.PublicKey) bool { return true },
	}, Recovery{Boot: 9, Next: 100, Records: func(yield func([]byte) error) error {
		for _, r := range carry {
			if err := yield(r); err != nil {
				return err
			}
		}
		return nil
	}})
	if err == nil {
		t.Fatal("lost rows were not noticed")
	}
}
