package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// World is one group with its clients, network, disks and adversaries.
type World struct {
	c        *Chooser
	o        Options
	plan     plan
	now      micros
	queue    queue
	cfg      *pbft.Config
	signers  []auth.Signer
	verifier auth.Verifier
	nodes    []*node // by identity, then the twins
	clients  []*client
	net      network
	check    checker
	phase    phase
	healedAt micros
	trace    digester
	scratch  []byte

	delivered int
	result    Result
}

// digester is a running hash.
type digester interface {
	Write(p []byte) (int, error)
	Sum(b []byte) []byte
}

// phase is how far a run has come.
type phase uint8

const (
	chaos  phase = iota // faults happen
	healed              // links are timely, all is up: every request completes (I9)
	quiet               // nobody asks: the group falls silent (I10)
	over
)

// Result is what a run has shown.
type Result struct {
	Seed        uint64
	Violation   string // invariant and text; empty: none
	Delivered   int    // messages handed to a replica or a client
	ViewChanges int    // views entered above 0, each once
	Crashes     int    // processes that ended, and disks that lost power
	Byzantine   int    // replicas
	Primary     bool   // f are Byzantine, the first primary among them
	Operations  int    // completed
	Healing     int64  // ms from the healing to the last completion
	Virtual     int64  // ms
	Trace       [32]byte
	Marks       []string // rare things that happened, sorted
	Choices     []uint32 // if Options.Record
}

// later adds an event after a delay.
func (w *World) later(delay micros, e event) {
	e.at = w.now + max(delay, 0)
	w.queue.push(e, w.c.Choose(1<<8))
}

// call runs something rare after a delay.
func (w *World) call(delay micros, f func()) { w.later(delay, event{kind: evCall, call: f}) }

// violate ends the run.
func (w *World) violate(n *node, invariant, text string) {
	if w.result.Violation != "" {
		return
	}
	who := ""
	if n != nil {
		who = fmt.Sprintf(" (replica %d)", n.id)
	}
	w.result.Violation = fmt.Sprintf("%s: %s%s at %d ms", invariant, text, who, w.now/millisecond)
	w.logf("violation %s", w.result.Violation)
	w.phase = over
}

func (w *World) mark(name string) { w.check.marks[name]++ }

func (w *World) logf(format string, args ...any) {
	if w.o.Log != nil {
		w.o.Log(fmt.Sprintf("%9d ", w.now) + fmt.Sprintf(format, args...))
	}
}

// note adds an event to the trace.
func (w *World) note(kind eventKind, a, b int, f *wire.Frame) {
	out := append(w.scratch[:0], byte(kind), byte(a), byte(b))
	out = binary.BigEndian.AppendUint64(out, uint64(w.now))
	if f != nil {
		d := f.Digest()
		out = append(out, d[:8]...)
	}
	w.scratch = out
	w.trace.Write(out)
}

// newWorld draws a world.
func newWorld(seed uint64, o Options) *World {
	w := &World{c: NewChooser(seed), o: o, trace: sha256.New()}
	if o.Choices != nil {
		w.c = ReplayChooser(o.Choices)
	}
	if o.Record {
		w.c.Record()
	}
	w.plan = draw(w.c, o)
	p := &w.plan
	w.result.Seed = seed
	w.verifier = verifierOf(p.real)
	w.cfg = &pbft.Config{Cluster: wire.Digest(sha256.Sum256([]byte("sim"))), Group: 7, Epoch: 3, Offset: uint64(p.offset), Params: p.params}
	for id := range p.n {
		s := signerOf(seed, "replica "+string(rune('0'+id)), p.real)
		w.signers = append(w.signers, s)
		w.cfg.Members = append(w.cfg.Members, s.Public())
	}
	w.check = newChecker(w)
	for id := range p.n {
		w.addNode(id)
	}
	for id, kind := range p.kindOf {
		if kind != "" {
			w.result.Byzantine++
			w.mark(kind)
		}
		if kind == "twins" {
			w.addNode(id)
		}
	}
	w.result.Primary = w.result.Byzantine == w.cfg.Size().F() && p.kindOf[p.offset] != ""
	w.net = newNetwork(w)
	for i := range p.clients {
		w.clients = append(w.clients, newClient(w, i))
	}
	return w
}

func (w *World) addNode(id int) {
	n := &node{w: w, slot: len(w.nodes), id: id, kind: w.plan.kindOf[id], seen: newMemory(), syncing: -1,
		fs: storage.NewCrashFS(w.c.Choose), offset: int64(w.c.Choose(w.plan.skew + 1)),
		rate: 1_000_000 + int64(w.c.Choose(w.plan.drift+1))}
	if w.plan.pebble { // Pebble's goroutines must not draw from the run's choices
		n.rowFS = storage.NewCrashFS(NewChooser(w.result.Seed ^ uint64(n.slot)).Choose)
	} else {
		n.rows = storage.NewMemRows()
	}
	w.nodes = append(w.nodes, n)
}

func (w *World) allowed(auth.PublicKey) bool { return true }

// syncTime draws how long a sync takes.
func (w *World) syncTime(n *node) micros {
	d := micros(w.plan.disk + w.c.Choose(w.plan.disk))
	if w.phase == chaos && w.plan.slow > 0 && w.c.Chance(w.plan.slow, 1000) {
		d += micros(w.c.Scale(10, 900)) * millisecond
		w.mark("slow sync")
	}
	return d
}

// handle carries out one event.
func (w *World) handle(e *event) {
	switch e.kind {
	case evArrive:
		w.arrive(e)
	case evAsked:
		w.asked(e)
	case evReply:
		w.clients[e.to].reply(int(e.from), e.raw)
	case evRound:
		n := w.nodes[e.to]
		if n.up && e.gen == n.boot {
			n.working = false
			if n.paused > w.now {
				n.wake()
				return
			}
			n.round(nil)
		}
	case evTick:
		n := w.nodes[e.to]
		if n.up && e.gen == n.boot {
			n.ticking = false
			if n.paused > w.now {
				n.ticking = true
				w.later(n.paused-w.now, event{kind: evTick, to: e.to, gen: e.gen})
				return
			}
			w.note(evTick, n.slot, 0, nil)
			n.round(nil)
		}
	case evSynced:
		n := w.nodes[e.to]
		if n.up && e.gen == n.syncID {
			w.note(evSynced, n.slot, 0, nil)
			n.synced()
		}
	case evClient:
		w.clients[e.to].tick(e.gen)
	case evCall:
		w.note(evCall, 0, 0, nil)
		e.call()
	}
}

// wake makes sure that a node looks at its inbox soon.
func (n *node) wake() {
	if n.working {
		return
	}
	n.working = true
	n.w.later(max(micros(n.w.c.Choose(n.w.plan.grain+1)), n.paused-n.w.now), event{kind: evRound, to: int32(n.slot), gen: n.boot})
}
