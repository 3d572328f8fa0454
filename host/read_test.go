package host

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
)

// peeker is a counter that can be read, and that does as the operation says.
type peeker struct{ counter }

func (peeker) Read(rows machine.Rows, call machine.Call) ([]byte, uint64, bool) {
	value, _ := rows.Get([]byte("row"))
	version := uint64(len(value))
	switch string(call.Op) {
	case "refuse":
		return nil, 0, false
	case "write":
		rows.Set([]byte("row"), []byte("written by a read"))
	case "delete":
		rows.Delete([]byte("row"))
	case "scan", "back":
		n := 0
		scan := rows.Scan
		if string(call.Op) == "back" {
			scan = rows.ScanBack
		}
		scan(nil, nil, func(_, _ []byte) bool { n++; return true })
		return fmt.Append(nil, n), version, true
	}
	return bytes.Clone(value), version, true
}

// peek sends a read and returns what is said of its operations.
func (l *lone) peek(ops ...string) []pbft.ReadItem {
	l.t.Helper()
	l.reads = nil
	q := pbft.Read{Full: 3, Keyspace: []byte("space")}
	for _, op := range ops {
		q.Ops = append(q.Ops, []byte(op))
	}
	l.now++
	l.host.Begin(l.now, l.wall)
	l.host.Receive(Source{Replica: pbft.FromClient, Client: l.client.Public()}, q.Frame(l.cfg))
	l.host.End()
	if len(l.reads) != 1 || len(l.reads[0].Items) != len(ops) {
		l.t.Fatalf("%d answers to a read of %d operations", len(l.reads), len(ops))
	}
	return l.reads[0].Items
}

// A read sees what was executed and leaves nothing: no row, no record, no root,
// no sync, no tick.
func TestReadLeavesNothing(t *testing.T) {
	l := newLone(t)
	l.machine = peeker{}
	l.open(false)
	l.done(l.request(1, 1, 0, "abc"), "abc")
	for range 300 { // until nothing is left to do
		l.round()
	}
	root, records := l.root(), len(l.log.records)
	for _, op := range []string{"get", "write", "delete", "refuse", "scan"} {
		a := l.peek(op)[0]
		want := pbft.ReadRefused
		if op == "get" || op == "scan" {
			want = pbft.ReadRows
		}
		if a.Kind != want || want == pbft.ReadRows && (l.reads[0].Seq != 1 || a.Version != 3 || !a.Full || a.Digest != pbft.ResultDigest(a.Result)) {
			t.Errorf("%s: %+v", op, a)
		}
		if op == "get" && string(a.Result) != "abc" {
			t.Errorf("read %q", a.Result)
		}
		if l.root() != root || len(l.log.records) != records || l.host.NeedsSync() || l.host.Wakes() {
			t.Fatalf("%s leaves something: %d records after %d, wakes %v", op, len(l.log.records), records, l.host.Wakes())
		}
	}
	l.done(l.request(1, 2, 0, "d"), "abcd")
}

// Where only the order can answer, it is asked: by machines that cannot be
// read, and for clients that have no rights.
func TestReadIsRefused(t *testing.T) {
	l := newLone(t)
	if a := l.peek("get")[0]; a.Kind != pbft.ReadRefused {
		t.Errorf("a machine without Read: %+v", a)
	}
	l.machine = peeker{}
	l.open(false)
	l.client = auth.NewSigner(bytes.Repeat([]byte{9}, 64))
	l.host.o.Allowed = func(auth.PublicKey) bool { return false }
	if a := l.peek("get")[0]; a.Kind != pbft.ReadRefused {
		t.Errorf("a stranger: %+v", a)
	}
}

// Long results come from the replica that the read names, short ones from all.
func TestReadDigests(t *testing.T) {
	l := newLone(t)
	l.machine = peeker{}
	l.open(false)
	long := string(bytes.Repeat([]byte("x"), pbft.ShortResult+1))
	l.done(l.request(1, 1, 0, long[1:]), long[1:])
	if a := l.peek("get")[0]; !a.Full {
		t.Errorf("a short result is not sent: %+v", a)
	}
	l.done(l.request(1, 2, 0, "x"), long)
	if a := l.peek("get")[0]; a.Full || len(a.Result) > 0 || a.Digest != pbft.ResultDigest([]byte(long)) {
		t.Errorf("a long result that another sends: %+v", a)
	}
}

// The reads of a round together pass a bounded number of rows: what is too
// much alone is refused, what comes too late is to come again.
func TestReadsOfARoundAreBounded(t *testing.T) {
	l := newLone(t)
	l.machine = peeker{}
	l.open(false)
	prefix := (&tracked{}).scope([]byte("space"), partMachine).prefix
	for i := range maxReadCost/2 + 1 {
		l.rows.Set(fmt.Appendf(bytes.Clone(prefix), "%08d", i), nil)
	}
	for _, op := range []string{"scan", "back"} {
		a := l.peek(op, op, "get")
		if a[0].Kind != pbft.ReadRows || a[1].Kind != pbft.ReadRetry || a[2].Kind != pbft.ReadRetry {
			t.Fatalf("I7: %v %v %v", a[0].Kind, a[1].Kind, a[2].Kind)
		}
		if a := l.peek(op)[0]; a.Kind != pbft.ReadRows {
			t.Fatalf("the next round: %+v", a)
		}
	}
	l.rows.Set(append(bytes.Clone(prefix), "large"...), make([]byte, 64*maxReadCost/2))
	if a := l.peek("scan", "get"); a[0].Kind != pbft.ReadRefused || a[1].Kind != pbft.ReadRetry {
		t.Fatalf("I7: %v %v", a[0].Kind, a[1].Kind)
	}
}

// After a failed read of the rows no answer leaves (D6).
func TestNoReadFromRowsThatFailed(t *testing.T) {
	l := newLone(t)
	l.machine = peeker{}
	l.open(false)
	l.host.o.Store = &failing{MemRows: l.rows, bad: true}
	l.host.Receive(Source{Replica: pbft.FromClient, Client: l.client.Public()}, (&pbft.Read{Keyspace: []byte("space"), Ops: [][]byte{[]byte("get")}}).Frame(l.cfg))
	if len(l.reads) != 0 {
		t.Fatalf("I5: answered %+v", l.reads[0])
	}
}

// Results that together find no room in one answer are told by their digests.
func TestReadResultsFitAnAnswer(t *testing.T) {
	l := newLone(t)
	l.machine = peeker{}
	l.open(false)
	part := string(bytes.Repeat([]byte("x"), 1<<20))
	l.done(l.request(1, 1, 0, part), part)
	l.cfg.Members = append(l.cfg.Members, l.cfg.Members[0], l.cfg.Members[0], l.cfg.Members[0])
	l.host.o.Self = 3 // the one that is to send results
	items := l.peek("get", "get", "get", "get")
	for i, x := range items {
		if x.Kind != pbft.ReadRows || x.Full != (i < 3) || x.Digest != items[0].Digest {
			t.Errorf("item %d: %v, %d bytes, full %v", i, x.Kind, len(x.Result), x.Full)
		}
	}
}
