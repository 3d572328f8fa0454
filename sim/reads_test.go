package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"strconv"
	"testing"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// stage is four real hosts and a real client whose every message waits until
// the schedule delivers it. Disks are instant and keep everything.
type stage struct {
	t      *testing.T
	cfg    *pbft.Config
	actors []*actor
	mail   []frameFor
	client auth.Signer
	core   *pbft.Client
	eff    pbft.ClientEffects
	now    pbft.Ticks
	asked  []*wire.Frame // what the client sent last
	told   []answerFrom
	done   []pbft.Completion
}

// actor is one replica with its disk.
type actor struct {
	s       *stage
	id      int
	signer  auth.Signer
	host    *host.Host
	rows    *storage.MemRows
	records [][]byte
	boot    uint64
	view    pbft.View
}

type frameFor struct {
	from, to int
	f        *wire.Frame
}

type answerFrom struct {
	from int
	f    *wire.Frame
}

func (a *actor) Append(record []byte) uint64 {
	a.records = append(a.records, append([]byte(nil), record...))
	return uint64(len(a.records))
}

func (a *actor) ToReplica(id int, f *wire.Frame) {
	a.s.mail = append(a.s.mail, frameFor{a.id, id, f})
}

func (a *actor) ToClient(_ auth.PublicKey, f *wire.Frame) {
	a.s.told = append(a.s.told, answerFrom{a.id, f})
}

// start starts the replica on what its disk holds.
func (a *actor) start() {
	a.boot++
	records := a.records
	h, err := host.Open(host.Options{Config: a.s.cfg, Self: a.id, Signer: a.signer, Verifier: ideal{}, Machine: kv.Machine{},
		Store: a.rows, Log: a, Outbox: a, Allowed: func(auth.PublicKey) bool { return true }, Sessions: host.DefaultSessions(),
		Event: func(e pbft.Event) {
			if e.Kind == pbft.EventEntered {
				a.view = e.View
			}
		}},
		host.Recovery{Clean: a.boot == 1, Boot: a.boot, Next: uint64(len(records) + 1), Records: func(yield func([]byte) error) error {
			for _, record := range records {
				if err := yield(record); err != nil {
					return err
				}
			}
			return nil
		}})
	if err != nil {
		a.s.t.Fatal(err)
	}
	a.host = h
	a.round(nil)
}

// crash ends the process; what was executed and not flushed is replayed.
func (a *actor) crash() { a.rows = a.rows.Crash(func(int) int { return 0 }) }

func (a *actor) round(inside func()) {
	a.host.Begin(a.s.now, epochMillis+int64(a.s.now)*10)
	if inside != nil {
		inside()
	}
	a.host.End()
	for a.host.NeedsSync() {
		a.host.Synced(uint64(len(a.records)))
		a.host.End()
	}
	if why := a.host.Halted(); why != pbft.ReasonNone {
		a.s.t.Fatalf("replica %d halted: %v", a.id, why)
	}
}

func newStage(t *testing.T) *stage {
	s := &stage{t: t, now: 1, client: signerOf(1, "client", false)}
	s.cfg = &pbft.Config{Cluster: wire.Digest(sha256.Sum256([]byte("stage"))), Group: 1, Epoch: 1, Params: pbft.Defaults()}
	for id := range 4 {
		a := &actor{s: s, id: id, signer: signerOf(1, "replica "+strconv.Itoa(id), false), rows: storage.NewMemRows()}
		s.actors = append(s.actors, a)
		s.cfg.Members = append(s.cfg.Members, a.signer.Public())
	}
	for _, a := range s.actors {
		a.start()
	}
	s.pass(everything)
	var session pbft.SessionID
	binary.BigEndian.PutUint64(session[:], epochMillis)
	session[15] = 2 // replica 0 sends the result of the second request
	s.core = pbft.NewClient(s.cfg, pbft.ClientDefaults(), s.client, keyspace, session)
	s.put("old")
	s.hand()
	s.pass(everything)
	s.answers(0, 1, 2, 3)
	s.written()
	return s
}

func everything(int, int, pbft.Kind) bool { return true }

// among lets kinds pass between the given replicas.
func among(ids []int, kinds ...pbft.Kind) func(int, int, pbft.Kind) bool {
	return func(from, to int, kind pbft.Kind) bool {
		ok := len(kinds) == 0
		for _, k := range kinds {
			ok = ok || k == kind
		}
		at := 0
		for _, id := range ids {
			if id == from || id == to {
				at++
			}
		}
		return ok && at == 2
	}
}

// pass delivers what the schedule lets through until nothing is left of it;
// the rest is lost.
func (s *stage) pass(through func(from, to int, kind pbft.Kind) bool) {
	for len(s.mail) > 0 {
		m := s.mail[0]
		s.mail = s.mail[1:]
		if through(m.from, m.to, pbft.Kind(m.f.Kind)) {
			a := s.actors[m.to]
			a.round(func() { a.host.Receive(host.Source{Replica: m.from}, m.f) })
		}
	}
}

// tick moves the clocks of some replicas.
func (s *stage) tick(ids ...int) {
	s.now++
	for _, id := range ids {
		s.actors[id].round(nil)
	}
}

func (s *stage) settle() {
	for _, x := range s.eff.Sends {
		s.asked = append(s.asked, x.Frame)
	}
	for _, a := range s.eff.Accused {
		s.t.Fatalf("I6: the client accuses replica %d, which only lags", a.Replica)
	}
	s.done = append(s.done, s.eff.Done...)
	s.eff.Reset()
}

func (s *stage) put(value string) {
	s.asked, s.told, s.done = nil, nil, nil
	s.core.Submit(1, kv.Put{Key: []byte("k"), Value: []byte(value)}.Encode(), 1_000_000)
	s.core.Flush(&s.eff)
	s.settle()
}

func (s *stage) read() {
	s.asked, s.told, s.done = nil, nil, nil
	s.core.Read(2, kv.Range{Interval: kv.Interval{Key: []byte("k")}}.Encode(), false, 1_000_000)
	s.core.Flush(&s.eff)
	s.settle()
}

// hand delivers what the client sent to some replicas, to all if none is named.
func (s *stage) hand(ids ...int) {
	for _, f := range s.asked {
		for _, a := range s.actors {
			take := len(ids) == 0
			for _, id := range ids {
				take = take || id == a.id
			}
			if take {
				a.round(func() { a.host.Receive(host.Source{Replica: pbft.FromClient, Client: s.client.Public()}, f) })
			}
		}
	}
	s.asked = nil
}

// answers delivers to the client what some replicas told it.
func (s *stage) answers(ids ...int) {
	told := s.told
	s.told = nil
	for _, x := range told {
		for _, id := range ids {
			if id == x.from {
				s.say(id, x.f)
			}
		}
	}
}

func (s *stage) say(from int, f *wire.Frame) {
	if p := s.core.DecodeReply(from, f); p != nil {
		s.core.Receive(from, p, &s.eff)
	}
	if p := s.core.DecodeReadAnswer(from, f); p != nil {
		s.core.ReceiveRead(from, p, &s.eff)
	}
	s.settle()
}

// written demands that the client knows its write to be done.
func (s *stage) written() {
	s.t.Helper()
	if len(s.done) != 1 || s.done[0].Outcome != pbft.OutcomeDone {
		s.t.Fatalf("the write is not done: %v", s.done)
	}
}

// staleRead has the client read from some replicas, of which Byzantine 3 tells
// what the others tell, and demands that it does not believe the old value.
func (s *stage) staleRead(ids ...int) {
	s.t.Helper()
	s.read()
	s.hand(ids...)
	told := s.told
	s.told = nil
	for _, x := range told {
		s.say(x.from, x.f)
		if p := s.core.DecodeReadAnswer(x.from, x.f); p != nil {
			s.say(3, p.Frame(s.cfg, 3))
		}
	}
	if len(s.done) != 0 {
		s.t.Fatalf("I8: a write is acknowledged, and a read that began later finds %q", s.found())
	}
}

func (s *stage) found() string {
	r, err := kv.DecodeResult(s.done[0].Result)
	if err != nil {
		s.t.Fatal(err)
	}
	if kvs := r.Reply.(kv.RangeReply).KVs; len(kvs) == 1 {
		return string(kvs[0].Value)
	}
	return ""
}

// heal delivers everything from now on, until the read is answered rightly.
func (s *stage) heal() {
	s.t.Helper()
	for range 1000 {
		s.tick(0, 1, 2, 3)
		for id := range s.actors {
			for peer := range s.actors {
				if peer != id && s.now%100 == 0 {
					s.actors[id].round(func() { s.actors[id].host.LinkUp(peer) })
				}
			}
		}
		s.core.Clock(s.now, &s.eff)
		s.settle()
		s.hand()
		s.pass(everything)
		s.answers(0, 1, 2, 3)
		if len(s.done) > 0 {
			if found := s.found(); found != "new" {
				s.t.Fatalf("I8: the read ends with %q", found)
			}
			return
		}
	}
	s.t.Fatal("I9: the read is not answered")
}

// halfWritten is a write that all prepare and only 0 and 3 execute: f+1
// replies, so the client knows it to be done.
func halfWritten(t *testing.T) *stage {
	s := newStage(t)
	s.put("new")
	s.hand()
	s.pass(func(_, to int, kind pbft.Kind) bool {
		return kind != pbft.KindStatus && (kind != pbft.KindCommit || to == 0 || to == 3)
	})
	s.answers(0, 3)
	s.written()
	return s
}

// A write with f+1 replies and a read with q answers have only a liar in
// common; who prepared the write waits.
func TestReadWaitsForWhatIsPrepared(t *testing.T) {
	s := halfWritten(t)
	s.staleRead(1, 2)
	s.heal()
}

// After a base time-out who waits says so, and the read is ordered.
func TestReadThatWaitsTooLongIsOrdered(t *testing.T) {
	s := halfWritten(t)
	s.staleRead(1, 2)
	for range s.cfg.Params.ViewTimeout {
		s.tick(1, 2)
		s.mail = nil
	}
	kinds := 0
	for _, x := range s.told {
		if p := s.core.DecodeReadAnswer(x.from, x.f); p != nil && len(p.Items) == 0 {
			kinds++
		}
	}
	if kinds != 2 {
		t.Fatalf("%d replicas say that the read waited too long", kinds)
	}
	s.heal()
}

// In the next view the write is not prepared yet: the certificate of the view
// before it counts.
func TestReadWaitsForWhatAnotherViewPrepared(t *testing.T) {
	s := halfWritten(t)
	for range 4 * s.cfg.Params.ViewTimeout {
		s.tick(1, 2, 3)
		s.pass(among([]int{1, 2, 3}, pbft.KindViewChange, pbft.KindNewView, pbft.KindBatch, pbft.KindRequest))
		if s.actors[1].view == 1 && s.actors[2].view == 1 {
			break
		}
	}
	if s.actors[1].view != 1 || s.actors[2].view != 1 {
		t.Fatalf("views %d and %d", s.actors[1].view, s.actors[2].view)
	}
	s.staleRead(1, 2)
	s.heal()
}

// A start does not forget what was prepared before it.
func TestReadWaitsForWhatWasPreparedBeforeAStart(t *testing.T) {
	s := halfWritten(t)
	for _, id := range []int{1, 2} {
		s.actors[id].crash()
		s.actors[id].start()
	}
	s.staleRead(1, 2) // the status round is not over
	s.now += 200      // the client gives that read up
	s.core.Clock(s.now, &s.eff)
	s.settle()
	for range 20 {
		s.tick(1, 2)
		s.pass(among([]int{1, 2, 3}, pbft.KindStatus))
	}
	if e := s.actors[1].host.Report(); e.State != "" || e.Executed != 1 {
		t.Fatalf("replica 1 is %q at slot %d", e.State, e.Executed)
	}
	s.staleRead(1, 2)
	s.heal()
}

// f+1 answers may all be of replicas that a write has not reached, or of liars.
func TestReadNeedsAQuorum(t *testing.T) {
	s := newStage(t)
	s.put("new")
	s.hand(0, 1, 3)
	s.pass(among([]int{0, 1, 3}))
	s.answers(0, 1, 3)
	s.written()
	s.staleRead(2)
	s.heal()
}
