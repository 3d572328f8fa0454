package pbft

import (
	"testing"

	"github.com/tagma-db/tagma/auth"
)

// readOf hands replica r a read and returns what it is to answer at once.
func readOf(r *Replica, client byte, op string) []DueRead {
	var e Effects
	r.Step(Reading{auth.PublicKey{client}, &Read{Nonce: 1, Keyspace: []byte("k"), Ops: [][]byte{[]byte(op)}}}, &e)
	if len(e.Records)+len(e.Sends)+len(e.Eager) > 0 || e.Sync {
		panic("I8: a read writes or says something")
	}
	return e.Reads
}

// A replica that holds a stable certificate of a slot that it has not executed
// has dropped what it prepared up to there; reads wait for that slot all the
// same.
func TestReadWaitsForCollectedSlots(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Clock{1, 1}, &e)
	if got := readOf(r, 1, "x"); len(got) != 1 || got[0].Late {
		t.Fatalf("the empty state is not read: %v", got)
	}
	for _, id := range []int{0, 2, 3} {
		r.Step(Received{id, w.msg(t, w.signed(KindCheckpoint, id, w.stable(8).Checkpoint.encode()))}, &e)
	}
	if r.low != 8 || r.ordered != 0 {
		t.Fatal("setup", r.low, r.ordered)
	}
	if got := readOf(r, 1, "x"); len(got) != 0 {
		t.Fatalf("I8: slot 8 is stable, slot 0 executed, and a read is answered: %v", got)
	}
}

// What waits is bounded, for one client and for all; it ends after a base
// time-out, and nothing is left of it.
func TestWaitingReadsAreBounded(t *testing.T) {
	w := newWorld(4)
	p := w.cfg.Params
	p.ClientCount, p.PendingCount, p.ClientSize, p.PendingSize = 4, 6, 2000, 2500
	r := w.replica(1, &p)
	r.prepared = 1 // and not executed
	var e Effects
	r.Step(Clock{1, 1}, &e)
	late := func(client byte, ops ...string) (out []bool) {
		for _, op := range ops {
			for _, d := range readOf(r, client, op) {
				out = append(out, d.Late)
			}
		}
		return out
	}
	if got := late(1, "a", "b", "c", "d", "e"); len(got) != 1 || !got[0] {
		t.Fatalf("I7: the fifth read of one client: %v", got)
	}
	if got := late(2, string(make([]byte, 1900))); len(got) != 1 || !got[0] {
		t.Fatalf("I7: a read above the client's bytes: %v", got)
	}
	if got := late(2, "f", "g", "h"); len(got) != 1 || !got[0] {
		t.Fatalf("I7: the seventh read: %v", got)
	}
	e.Reset()
	r.Step(Clock{1 + p.ViewTimeout - 1, 1}, &e)
	if len(e.Reads) != 0 || !e.Wake {
		t.Fatalf("%d reads end early, wake %v", len(e.Reads), e.Wake)
	}
	e.Reset()
	r.Step(Clock{1 + p.ViewTimeout, 1}, &e)
	if len(e.Reads) != 6 || !e.Reads[0].Late || e.Wake {
		t.Fatalf("%d reads end, wake %v", len(e.Reads), e.Wake)
	}
	if len(r.reads.waiting)+len(r.reads.each)+r.reads.size != 0 {
		t.Fatalf("left over: %+v", r.reads)
	}
}

// A replica whose state is not to be trusted yet, or no more, is silent, and
// forgets what waited.
func TestUnreadableStateIsNotRead(t *testing.T) {
	w := newWorld(4)
	for name, spoil := range map[string]func(r *Replica){
		"joining":   func(r *Replica) { r.joining = true },
		"repairing": func(r *Replica) { r.behind = true },
		"stopped":   func(r *Replica) { r.stopped = true },
	} {
		r := w.replica(1, nil)
		r.prepared = 1
		readOf(r, 1, "waits")
		spoil(r)
		var e Effects
		in := Reading{auth.PublicKey{1}, &Read{Keyspace: []byte("k"), Ops: [][]byte{{1}}}}
		r.Step(in, &e)
		if len(e.Reads) != 0 || len(r.reads.waiting) != 0 || len(e.Events) != 1 || e.Events[0].Reason != ReasonUnreadable {
			t.Errorf("%s: %d answers, %d wait, events %v", name, len(e.Reads), len(r.reads.waiting), e.Events)
		}
	}
}

// Nobody relays reads.
func TestReadIsNotRelayed(t *testing.T) {
	w := newWorld(4)
	r := w.replica(1, nil)
	var e Effects
	r.Step(Received{2, w.msg(t, (&Read{Keyspace: []byte("k"), Ops: [][]byte{{1}}}).Frame(w.cfg))}, &e)
	if len(e.Reads) != 0 || len(e.Events) != 1 || e.Events[0].Reason != ReasonRelayed {
		t.Fatalf("%d answers, events %v", len(e.Reads), e.Events)
	}
}

// reader is a Client with one read under way, and its effects.
func (w *world) reader(op string, exact bool) (*Client, *ClientEffects, *Read) {
	c := NewClient(w.cfg, ClientDefaults(), w.client, []byte("k"), SessionID{1})
	e := &ClientEffects{}
	c.Read(5, []byte(op), exact, 1000)
	c.Flush(e)
	m, err := Decode(w.cfg, e.Sends[0].Frame)
	if err != nil {
		panic(err)
	}
	q, _ := m.Read()
	return c, e, q
}

func rows(nonce uint64, seq Seq, version uint64, result string) *ReadAnswer {
	return &ReadAnswer{Nonce: nonce, Seq: seq, Items: []ReadItem{
		{Version: version, Digest: ResultDigest([]byte(result)), Full: true, Result: []byte(result)}}}
}

// next is the read or request that the client sent last.
func next(t *testing.T, w *world, e *ClientEffects) *Message {
	t.Helper()
	if len(e.Sends) == 0 {
		t.Fatal("nothing is sent")
	}
	m, err := Decode(w.cfg, e.Sends[len(e.Sends)-1].Frame)
	if err != nil {
		t.Fatal(err)
	}
	e.Sends = e.Sends[:0]
	return m
}

// Rows must be equal at q replicas; versions may differ, and the one reported
// is reached by a correct replica.
func TestReadMatchesRowsNotVersions(t *testing.T) {
	w := newWorld(4)
	c, e, q := w.reader("op", false)
	for id, version := range []uint64{7, 1 << 60, 9} { // replica 1 lies
		c.ReceiveRead(id, rows(q.Nonce, Seq(version), version, "r"), e)
	}
	if len(e.Done) != 1 || !e.Done[0].Read || string(e.Done[0].Result) != "r" || e.Done[0].Version != 9 {
		t.Fatalf("%+v", e.Done)
	}
}

// An exact read is not settled for less, and ordered at once when only the
// versions differ.
func TestExactReadMatchesVersions(t *testing.T) {
	w := newWorld(4)
	c, e, q := w.reader("op", true)
	for id, version := range []uint64{7, 8, 7, 9} {
		if len(e.Done) != 0 {
			t.Fatalf("settled after %d answers: %+v", id, e.Done)
		}
		c.ReceiveRead(id, rows(q.Nonce, Seq(version), version, "r"), e)
	}
	if m := next(t, w, e); m.Kind() != KindRequest {
		t.Fatalf("a %v is sent", m.Kind())
	}
	c, e, q = w.reader("op", true)
	for id, version := range []uint64{7, 8, 7, 7} {
		c.ReceiveRead(id, rows(q.Nonce, Seq(version), version, "r"), e)
	}
	if len(e.Done) != 1 || e.Done[0].Version != 7 {
		t.Fatalf("%+v", e.Done)
	}
}

// A read that q replicas cannot agree on is asked once more, and then ordered;
// answers to the first question do not count for the second.
func TestReadIsAskedTwiceThenOrdered(t *testing.T) {
	w := newWorld(4)
	c, e, q := w.reader("op", false)
	e.Sends = e.Sends[:0]
	c.ReceiveRead(0, rows(q.Nonce, 1, 1, "a"), e)
	c.ReceiveRead(1, rows(q.Nonce, 2, 2, "b"), e)
	c.ReceiveRead(2, rows(q.Nonce, 1, 1, "a"), e)
	if len(e.Sends) != 0 {
		t.Fatal("given up while a third equal answer may come")
	}
	c.ReceiveRead(3, &ReadAnswer{Nonce: q.Nonce}, e)
	again, ok := next(t, w, e).Read()
	if !ok || again.Nonce == q.Nonce || again.Full != FullFromAll {
		t.Fatalf("%+v", again)
	}
	c.ReceiveRead(0, rows(q.Nonce, 2, 2, "b"), e)
	c.ReceiveRead(0, rows(again.Nonce, 2, 2, "b"), e)
	c.ReceiveRead(2, rows(again.Nonce, 2, 2, "b"), e)
	if len(e.Done) != 0 {
		t.Fatalf("I8: two answers settle it: %+v", e.Done)
	}
	c.Clock(3*c.p.Retry+1, e)
	if m := next(t, w, e); m.Kind() != KindRequest {
		t.Fatalf("a %v is sent", m.Kind())
	}
	if len(e.Accused) != 0 {
		t.Fatalf("I6: accused %v", e.Accused)
	}
}

// A long result comes from one replica; if that one is silent, all are asked.
func TestLongResultFromOne(t *testing.T) {
	w := newWorld(4)
	c, e, q := w.reader("op", false)
	e.Sends = e.Sends[:0]
	short := func(nonce uint64) *ReadAnswer {
		a := rows(nonce, 1, 1, "long")
		a.Items[0].Full, a.Items[0].Result = false, nil
		return a
	}
	for id := range 4 {
		if id != q.Full {
			c.ReceiveRead(id, short(q.Nonce), e)
		}
	}
	if len(e.Done) != 0 {
		t.Fatal("done without a result")
	}
	c.Clock(c.p.Retry/3+1, e)
	again, ok := next(t, w, e).Read()
	if !ok || again.Full != FullFromAll {
		t.Fatalf("%+v", again)
	}
	for id := range 3 {
		c.ReceiveRead(id, rows(again.Nonce, 1, 1, "long"), e)
	}
	if len(e.Done) != 1 || string(e.Done[0].Result) != "long" {
		t.Fatalf("%+v", e.Done)
	}
}

// Refusals by f+1 send a read to the order without a second question; at its
// deadline one that was not ordered is definitely not done.
func TestRefusedReadIsOrdered(t *testing.T) {
	w := newWorld(4)
	c, e, q := w.reader("op", false)
	e.Sends = e.Sends[:0]
	c.ReceiveRead(0, &ReadAnswer{Nonce: q.Nonce, Items: []ReadItem{{Kind: ReadRefused}}}, e)
	if len(e.Sends) != 0 {
		t.Fatal("one refusal decides")
	}
	c.ReceiveRead(1, &ReadAnswer{Nonce: q.Nonce, Items: []ReadItem{{Kind: ReadRefused}}}, e)
	if m := next(t, w, e); m.Kind() != KindRequest {
		t.Fatalf("a %v is sent", m.Kind())
	}
	c, e, _ = w.reader("op", false)
	c.Clock(1000, e)
	if len(e.Done) != 1 || e.Done[0].Outcome != OutcomeNotDone || e.Wake {
		t.Fatalf("%+v, wake %v", e.Done, e.Wake)
	}
}

// Only who contradicts f+1 others about the same slot, or itself, has lied;
// whose rows are older or newer has not.
func TestReadAccusesNobodyWhoLags(t *testing.T) {
	w := newWorld(7)
	for _, lie := range []struct {
		answer  *ReadAnswer
		accused int
	}{
		{rows(0, 4, 4, "old"), 0},
		{rows(0, 6, 6, "new"), 0},
		{rows(0, 5, 5, "lie"), 1},
		{rows(0, 5, 6, "r"), 1},
		{&ReadAnswer{Seq: 5, Items: []ReadItem{{Version: 5, Full: true, Result: []byte("not its digest")}}}, 1},
	} {
		c, e, q := w.reader("op", false)
		lie.answer.Nonce = q.Nonce
		c.ReceiveRead(6, lie.answer, e)
		for id := range 5 {
			c.ReceiveRead(id, rows(q.Nonce, 5, 5, "r"), e)
		}
		if len(e.Done) != 1 || len(e.Accused) != lie.accused {
			t.Errorf("%+v: %d done, accused %v", lie.answer, len(e.Done), e.Accused)
		}
	}
}

// The replica that sends a long result changes, and is none that has been
// silent for long.
func TestSilentReplicaIsNotAskedForResults(t *testing.T) {
	w := newWorld(4)
	c := NewClient(w.cfg, ClientDefaults(), w.client, []byte("k"), SessionID{1})
	e := &ClientEffects{}
	tellers := map[int]int{}
	for i := range 3 * quiet {
		c.Read(1, []byte("op"), false, 1000)
		c.Flush(e)
		q, _ := next(t, w, e).Read()
		if i >= 2*quiet {
			tellers[q.Full]++
		}
		for id := range 3 { // 3 is down
			c.ReceiveRead(id, rows(q.Nonce, 1, 1, "r"), e)
		}
	}
	if len(e.Done) != 3*quiet || tellers[3] != 0 || tellers[0] == 0 || tellers[1] == 0 || tellers[2] == 0 {
		t.Fatalf("%d done, tellers %v", len(e.Done), tellers)
	}
}

// Reads that are under way when a session ends are handed out with the rest.
func TestEndedSessionHandsOutReads(t *testing.T) {
	w := newWorld(4)
	c, e, _ := w.reader("op", false)
	for range 2 * maxUnderWay { // more than may be under way
		c.Read(6, []byte("op"), false, 1000)
	}
	c.Flush(e)
	if len(c.reads) > maxUnderWay+MaxReads || len(c.unread) == 0 {
		t.Fatalf("%d reads under way", len(c.reads))
	}
	got, total := 0, len(c.reads)+len(c.unread)
	c.Unsent(func(uint64, []byte, Ticks) { got++ })
	e.Reset()
	if c.Flush(e); got != total || e.Wake {
		t.Fatalf("%d handed out, wake %v", got, e.Wake)
	}
}

// Reads of a moment travel together and are matched one by one: what one of
// them needs does not hold up the others.
func TestReadsAreMatchedOneByOne(t *testing.T) {
	w := newWorld(4)
	c := NewClient(w.cfg, ClientDefaults(), w.client, []byte("k"), SessionID{1})
	e := &ClientEffects{}
	for token := range uint64(3) {
		c.Read(token, []byte{byte(token)}, false, 1000)
	}
	c.Flush(e)
	if len(e.Sends) != 1 {
		t.Fatalf("%d frames for three reads", len(e.Sends))
	}
	q, _ := next(t, w, e).Read()
	item := func(result string) ReadItem { return rows(0, 0, 0, result).Items[0] }
	for id, second := range []string{"a", "b", "c", "d"} {
		c.ReceiveRead(id, &ReadAnswer{Nonce: q.Nonce, Seq: Seq(id), Items: []ReadItem{item("first"), item(second), {Kind: ReadRefused}}}, e)
	}
	if len(e.Done) != 1 || e.Done[0].Token != 0 || string(e.Done[0].Result) != "first" {
		t.Fatalf("%+v", e.Done)
	}
	if len(e.Sends) != 2 {
		t.Fatalf("%d frames follow: one asks again, one orders", len(e.Sends))
	}
	for _, s := range e.Sends {
		m, err := Decode(w.cfg, s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		if again, ok := m.Read(); ok && (len(again.Ops) != 1 || again.Ops[0][0] != 1) {
			t.Fatalf("asks again for %v", again.Ops)
		}
		if q, ok := m.Request(); ok {
			q.Each(func(op []byte) {
				if op[0] != 2 {
					t.Fatalf("orders %v", op)
				}
			})
		}
	}
	if len(e.Accused) != 0 {
		t.Fatalf("I6: accused %v", e.Accused)
	}
}

// A read that is as large as can be is sent and decodes; one operation more
// goes into the next frame.
func TestReadsFillFrames(t *testing.T) {
	w := newWorld(4)
	c := NewClient(w.cfg, ClientDefaults(), w.client, []byte("k"), SessionID{1})
	e := &ClientEffects{}
	for range MaxReads + 1 {
		c.Read(1, make([]byte, MaxRequest/MaxReads), false, 1000)
	}
	c.Read(1, make([]byte, MaxOperation), false, 1000)
	c.Flush(e)
	counts := []int{}
	for _, s := range e.Sends {
		m, err := Decode(w.cfg, s.Frame)
		if err != nil {
			t.Fatal(err)
		}
		q, _ := m.Read()
		counts = append(counts, len(q.Ops))
	}
	if len(counts) != 2 || counts[0] != MaxReads || counts[1] != 2 {
		t.Fatalf("frames of %v operations", counts)
	}
}
