package host

import (
	"errors"
	"fmt"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Log is the node's log as one host sees it. Others may append to it too.
type Log interface {
	// Append buffers a record and returns its position; positions rise. The
	// record is durable once the driver reports a Synced position as high.
	Append(record []byte) (position uint64)
}

// Outbox takes what leaves. Neither call blocks; both may drop.
type Outbox interface {
	ToReplica(id int, f *wire.Frame)
	ToClient(key auth.PublicKey, f *wire.Frame)
}

// Store is the durable rows of a node.
type Store interface {
	machine.Rows
	// Commit makes the writes since the last Commit one atomic step and
	// records applied in the same step. It does not sync.
	Commit(applied uint64)
	// Applied is the last committed step's number, 0 in an empty store.
	Applied() uint64
	// Err is the first error of the disk; the driver ends the process.
	Err() error
	// Snapshot is the state of the last Commit, for use beside the Store.
	Snapshot() machine.Snapshot
	// Peek is Get as of the last Commit; it may run beside the Store.
	Peek(key []byte) (value []byte, ok bool)
}

// Options of a Host.
type Options struct {
	Config   *pbft.Config
	Self     int
	Signer   auth.Signer
	Verifier auth.Verifier
	Machine  machine.Machine
	Store    Store
	Log      Log
	Outbox   Outbox
	Allowed  func(auth.PublicKey) bool // clients that may send requests
	Event    func(pbft.Event)          // told every event; may be nil
	Sessions SessionLimits
	// Beside runs work on trees on another goroutine, one after the other in
	// the order given; after each the driver calls Ran in a round. Nil: at once.
	Beside func(run func())
	// Journal is how many bytes of changes wait before the trees are saved; 0: 16 MiB.
	Journal int
	// Archive is how many executed slots are kept for replicas that lag; 0: 16 L.
	Archive  pbft.Seq
	Evidence []*pbft.Evidence // recorded before, oldest first, and verified; what finds no room is forgotten
	// Record is told every new item of evidence, and which items made room for
	// it. It must not block; may be nil.
	Record func(e *pbft.Evidence, dropped []wire.Digest)
}

// Host is one replica of one group. It is not safe for concurrent use.
type Host struct {
	o       Options
	cfg     *pbft.Config
	replica *pbft.Replica
	opener  *pbft.Opener
	book    *pbft.Book
	eff     pbft.Effects
	inputs  []pbft.Input // made while effects are applied, at most a few
	state   groupState

	positions []uint64 // log positions of the core's records not yet durable
	durable   uint64   // the core's records that are
	synced    uint64   // log position
	last      uint64   // log position of the last record
	gates     []gate   // ascending by position
	needSync  bool
	halt      pbft.Reason
	err       error
	stable    pbft.Seq
	now       pbft.Ticks

	// Trees and checkpoints.
	keeper  keeper
	running []func()      // what is done after each thing that runs beside
	changes changes       // since the last boundary
	points  []*checkpoint // ascending: the stable one, later ones, and older ones that are asked for
	leaving []*checkpoint // to be closed once nobody reads them
	journal int           // bytes since the saved trees
	savedAt uint64        // boundary of the saved trees
	saving  bool          // they are being saved
	stale   []staleNodes  // ascending
	serving serving

	// The state of another slot, while this replica is behind.
	boot        uint64
	wanted      *pbft.Stable // newest; nil: none
	transfer    *transfer
	fetched     TransferStats // by transfers that are over
	needFlush   bool
	installedAt uint64 // log position that makes an installed state durable, 0: none
	readsLeft   int    // what reads may still cost in this round
}

// gate is sends that wait for a log position.
type gate struct {
	position uint64
	sends    []pbft.Send
}

// Recovery is what the driver read before it opens a Host.
type Recovery struct {
	Records func(yield func(record []byte) error) error // replays the log, oldest first
	Clean   bool                                        // the log ends with a clean stop, or holds only its genesis record
	Boot    uint64                                      // number of this start, never 0
	Next    uint64                                      // position that the next Append gets
}

// Errors of Open.
var ErrRowsLost = errors.New("the row store is older than the log says: rows are lost; replace this replica's disk as a newcomer")

// Open restores a host from its log and rows. It may append to the log and
// send; the first sync that the driver makes covers it.
func Open(o Options, rec Recovery) (*Host, error) {
	if o.Journal == 0 {
		o.Journal = defaultJournal
	}
	h := &Host{o: o, cfg: o.Config, opener: pbft.NewOpener(o.Config, o.Verifier), synced: rec.Next - 1, last: rec.Next - 1, boot: rec.Boot, book: pbft.NewBook(o.Config)}
	for _, e := range o.Evidence {
		h.book.Add(e)
	}
	var flushed uint64
	restore := pbft.Restore{Config: o.Config}
	err := rec.Records(func(record []byte) error {
		if p, ok := flushMark(record); ok {
			flushed = p
			return nil
		}
		return restore.Record(record)
	})
	if err != nil {
		return nil, err
	}
	if o.Store.Applied() < flushed {
		return nil, fmt.Errorf("%w (rows at slot %d, log says %d)", ErrRowsLost, o.Store.Applied(), flushed)
	}
	if err := h.loadState(); err != nil {
		return nil, err
	}
	if err := h.loadTrees(); err != nil {
		return nil, err
	}
	if h.state.seq > 0 && !h.state.partial {
		h.checkpoint(false, true)
	}
	applied := pbft.Applied{Seq: pbft.Seq(h.state.seq), Time: h.state.time, History: h.state.history, Partial: h.state.partial}
	core := pbft.Options{Config: o.Config, Self: o.Self, Signer: o.Signer, Judge: h, Counter: rec.Boot, Archive: o.Archive}
	h.replica = restore.Replica(core, applied, rec.Clean, &h.eff)
	h.apply()
	h.drain()
	return h, h.Err()
}

// Source is where a frame came from.
type Source struct {
	Replica int            // pbft.FromClient if it came from a client
	Client  auth.PublicKey // then its key
}

// Begin opens a round.
func (h *Host) Begin(now pbft.Ticks, wall int64) {
	h.now = now
	h.readsLeft = maxReadCost
	h.step(pbft.Clock{Now: now, Wall: wall})
	h.serve()
	h.advanceTransfer()
	h.drain()
}

// Receive takes one frame.
func (h *Host) Receive(from Source, f *wire.Frame) {
	m, err := pbft.Decode(h.cfg, f)
	if err != nil {
		h.junk(from, f, err)
		return
	}
	if from.Replica == pbft.FromClient {
		if !h.fromClient(from.Client, m) {
			return
		}
	} else if h.onState(from.Replica, m) || !h.replica.Wants(from.Replica, m) {
		return
	}
	v, err := h.opener.Open(m)
	if err != nil {
		h.junk(from, f, err)
		return
	}
	if q, ok := m.Request(); ok && from.Replica == pbft.FromClient && h.answered(q) { // else it may be a body that is wanted
		return
	}
	h.step(pbft.Received{From: from.Replica, Message: v})
}

// onState handles what belongs to the fetching of a state, and reports whether
// m does.
func (h *Host) onState(from int, m *pbft.Message) bool {
	f, fetch := m.StateFetch()
	b, blob := m.StateBlob()
	if fetch && m.Author() == from {
		h.onStateFetch(from, f)
	} else if blob && m.Author() == from {
		h.onStateBlob(from, m.Frame, b)
	}
	return fetch || blob
}

// fromClient handles what a client may send: requests in its own name, reads,
// and probes. It reports whether the message goes on to the core.
func (h *Host) fromClient(key auth.PublicKey, m *pbft.Message) bool {
	if p, ok := m.Probe(); ok {
		h.o.Outbox.ToClient(key, h.report(p).Frame(h.cfg, h.o.Self))
		return false
	}
	if q, ok := m.Read(); ok {
		h.step(pbft.Reading{Client: key, Read: q})
		return false
	}
	q, ok := m.Request()
	if !ok || q.Client != key {
		h.event(pbft.Event{Kind: pbft.EventIgnored, Reason: pbft.ReasonRelayed, Peer: pbft.FromClient, Of: m.Kind()})
		return false
	}
	return true
}

// End closes a round: what came in it is proposed.
func (h *Host) End() { h.step(pbft.Flush{}) }

// LinkUp says that a link to another replica was made or has drained.
func (h *Host) LinkUp(peer int) { h.step(pbft.LinkUp{Peer: peer}) }

// DiskStall says that a sync takes too long.
func (h *Host) DiskStall() { h.step(pbft.DiskStall{}) }

// Stop asks for a clean stop; afterwards a sync and a last round of sends are due.
func (h *Host) Stop() { h.step(pbft.Stop{}) }

// NeedsSync reports whether something waits for the log, and forgets it: the
// driver starts a sync that covers all appended so far.
func (h *Host) NeedsSync() bool {
	need := h.needSync
	h.needSync = false
	return need
}

// Synced says that the log is durable up to a position.
func (h *Host) Synced(position uint64) {
	if position <= h.synced {
		return
	}
	h.synced = position
	n := 0
	for n < len(h.positions) && h.positions[n] <= position {
		n++
	}
	h.positions = append(h.positions[:0], h.positions[n:]...)
	h.durable += uint64(n)
	for len(h.gates) > 0 && h.gates[0].position <= position {
		h.sendAll(h.gates[0].sends)
		h.gates = h.gates[1:]
	}
	h.step(pbft.Synced{Records: h.durable})
	h.installed(position)
}

// Wakes reports whether a Begin is wanted at the next tick.
func (h *Host) Wakes() bool { return h.eff.Wake || h.transfer != nil || len(h.serving.queue) > 0 }

// Halted is the reason for which the replica stopped for good, or ReasonNone.
func (h *Host) Halted() pbft.Reason { return h.halt }

// Report is where the replica stands and what evidence it holds.
func (h *Host) Report() *pbft.Report { return h.report(&pbft.Probe{}) }

// Err is the first error of the state; the driver ends the process.
func (h *Host) Err() error { return errors.Join(h.err, h.o.Store.Err()) }

// Close lets go of the store. Nothing runs beside any more.
func (h *Host) Close() {
	for _, c := range append(h.leaving, h.points...) {
		h.close(c)
	}
	h.leaving, h.points = nil, nil
}

// Stable is the newest stable checkpoint's slot.
func (h *Host) Stable() pbft.Seq { return h.stable }

// Waiting is the number of frames that wait for a sync.
func (h *Host) Waiting() int { return len(h.gates) }

// step runs the core on one input and on all that follow from it here.
func (h *Host) step(in pbft.Input) {
	h.replica.Step(in, &h.eff)
	h.apply()
	h.drain()
}

func (h *Host) drain() {
	for len(h.inputs) > 0 {
		in := h.inputs[0]
		h.inputs = h.inputs[1:]
		h.replica.Step(in, &h.eff)
		h.apply()
	}
	h.inputs = nil
}

// apply carries out effects: persist, send, execute.
func (h *Host) apply() {
	e := &h.eff
	h.sendAll(e.Eager)
	for _, record := range e.Records {
		h.last = h.o.Log.Append(record)
		h.positions = append(h.positions, h.last)
	}
	h.needSync = h.needSync || e.Sync
	if len(e.Sends) > 0 {
		if h.last <= h.synced {
			h.sendAll(e.Sends)
		} else {
			h.gates = append(h.gates, gate{h.last, append([]pbft.Send(nil), e.Sends...)})
			h.needSync = true // what is repeated asks for none, but may wait for one
		}
	}
	for i := range e.Execute {
		h.execute(&e.Execute[i])
	}
	for range e.Roots {
		h.checkpoint(false, false)
	}
	for _, r := range e.Refused {
		h.reply(r.Request, pbft.Reply{Status: r.Status})
	}
	for i := range e.Reads {
		h.answerRead(&e.Reads[i])
	}
	for _, x := range e.Accused {
		h.accuse(x)
	}
	if e.Stable != nil {
		h.stable = e.Stable.Seq
		h.retire()
	}
	if e.Transfer != nil {
		h.wanted = e.Transfer
	}
	for _, ev := range e.Events {
		h.event(ev)
	}
	if e.Halt != pbft.ReasonNone && h.halt == pbft.ReasonNone {
		h.halt = e.Halt
	}
	wake := e.Wake
	e.Reset()
	e.Wake = wake
}

func (h *Host) sendAll(sends []pbft.Send) {
	for _, s := range sends {
		if s.To != pbft.ToAll {
			h.o.Outbox.ToReplica(s.To, s.Frame)
			continue
		}
		for id := range h.cfg.Members {
			if id != h.o.Self {
				h.o.Outbox.ToReplica(id, s.Frame)
			}
		}
	}
}

func (h *Host) event(e pbft.Event) {
	if h.o.Event != nil {
		h.o.Event(e)
	}
}

// junk is a frame that did not decode or open.
func (h *Host) junk(from Source, f *wire.Frame, err error) {
	if errors.Is(err, pbft.ErrScope) {
		h.event(pbft.Event{Kind: pbft.EventIgnored, Reason: pbft.ReasonUnwanted, Peer: from.Replica, Digest: f.Digest(), Of: pbft.Kind(f.Kind)})
		return
	}
	h.step(pbft.Invalid{From: from.Replica, Frame: f})
	if from.Replica != pbft.FromClient {
		h.blame(from.Replica, f, err)
	}
}

// FlushedMark is the log record that names the slot up to which the rows are
// durable (docs/protocol.md D4). It is written after the flush returned.
func flushedMark(seq uint64) []byte {
	w := wire.Writer{}
	w.U8(0)
	w.U64(seq)
	return w.B
}

func flushMark(record []byte) (uint64, bool) {
	if len(record) != 9 || record[0] != 0 {
		return 0, false
	}
	r := wire.NewReader(record[1:])
	return r.U64(), true
}

// Carry returns the records with which a new log begins from which all older
// ones are dropped, given the slot up to which the rows are durable now. It
// returns nil if the log still holds slots that are kept nowhere else: flush
// again, later. The driver hands the records to the log as they are and calls
// Carried with the position of the last.
func (h *Host) Carry(flushed uint64) [][]byte {
	var e pbft.Effects
	if !h.replica.Carry(pbft.Seq(flushed), &e) {
		return nil
	}
	return append(e.Records, flushedMark(flushed))
}

// Carried says that the records of Carry are durable, the last at position.
func (h *Host) Carried(records int, position uint64) {
	for range records - 1 {
		h.positions = append(h.positions, position)
	}
	h.last = position
	h.Synced(position)
}
