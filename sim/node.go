package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"

	"github.com/tagma-db/tagma/auth"
	"github.com/tagma-db/tagma/host"
	"github.com/tagma-db/tagma/kv"
	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/storage"
	"github.com/tagma-db/tagma/wire"
)

// node is one process that hosts one replica: a real host on a modelled disk
// and clock. A twin is a second node with the identity of a first.
type node struct {
	w     *World
	slot  int    // index among the nodes
	id    int    // identity: the replica it is
	kind  string // "": correct; else how it is Byzantine
	fs    *storage.CrashFS
	rowFS *storage.CrashFS // of Pebble, if rows are there
	rows  storage.Store
	disk  *disk
	host  *host.Host
	seen  *memory
	book  []*pbft.Evidence // what it recorded, in every life

	up      bool
	boot    uint32 // counts starts: events of an earlier life are void
	inbox   []arrival
	working bool // an evRound is on its way
	ticking bool // an evTick is
	paused  micros
	halted  bool // a Byzantine one that gave up
	syncing int  // records that the sync under way covers; -1: none
	syncID  uint32
	want    bool // another sync is wanted
	offset  int64
	rate    int64 // of its clock, millionths
	at      uint64
	nth     int // operation within the slot being executed
	state   []byte
	digest  digester // of the writes since the last commit
	partial bool     // a state is being installed
	saved   bool     // the saved trees are replaced in the present step: with the record it is an installed state
	queue   []func() // what its host wants done beside it
}

// arrival is a frame that waits to be looked at.
type arrival struct {
	from host.Source
	raw  []byte
}

func (n *node) correct() bool { return n.kind == "" }

// local is the node's own time.
func (n *node) local() micros { return n.w.now/1_000_000*n.rate + n.w.now%1_000_000*n.rate/1_000_000 }

func (n *node) ticks() pbft.Ticks { return pbft.Ticks(n.local()/tick) + 1 }

func (n *node) wall() int64 { return epochMillis + n.local()/millisecond + n.offset }

// epochMillis is when every run begins, milliseconds since 1970.
const epochMillis = 1_700_000_000_000

// start starts the process on what its disk holds; with create on an empty one.
func (n *node) start(create bool) {
	w := n.w
	var records [][]byte
	log, err := storage.OpenLog(storage.LogOptions{FS: n.fs, Dir: "log", SegmentBytes: w.plan.segment}, create,
		func(_ uint64, record []byte) error {
			records = append(records, append([]byte(nil), record...))
			return nil
		})
	if err != nil {
		w.violate(n, "I5", "log does not open: "+err.Error())
		return
	}
	n.seen.young = n.seen.young[:0]
	for _, record := range records {
		if s, ok := read(record); ok {
			n.seen.know(s)
		}
	}
	n.disk = &disk{log: log, next: log.Next(), memory: n.seen}
	n.boot++
	n.up, n.working, n.ticking, n.syncing, n.want, n.inbox = true, false, false, -1, false, nil
	n.at, n.nth = 0, 0
	n.state, n.digest = nil, sha256.New()
	if w.plan.pebble && n.rows == nil {
		if n.rows, err = storage.OpenPebble(n.rowFS, "rows", storage.PebbleOptions{MemTableBytes: 8 << 20, CacheBytes: 1 << 20}); err != nil {
			w.violate(n, "I5", "rows do not open: "+err.Error())
			return
		}
	}
	record, ok := n.rows.Get(binary.BigEndian.AppendUint64([]byte{0}, w.cfg.Group))
	n.partial = ok && record[len(record)-1] == 1
	o := host.Options{Config: w.cfg, Self: n.id, Signer: w.signers[n.id], Verifier: w.verifier, Machine: n, Log: n.disk,
		Store: store{n.rows, n}, Outbox: n.outbox(), Allowed: w.allowed, Event: n.event, Sessions: w.plan.sessions,
		Beside: n.beside, Journal: w.plan.journal, Archive: w.plan.archive,
		Evidence: n.book, Record: n.recorded}
	rec := host.Recovery{Clean: create || log.Closed(), Boot: log.Boot(), Next: log.Next(),
		Records: func(yield func([]byte) error) error {
			for _, record := range records {
				if err := yield(record); err != nil {
					return err
				}
			}
			return nil
		}}
	h, err := host.Open(o, rec)
	if err != nil {
		w.violate(n, "I5", "host does not open: "+err.Error())
		return
	}
	n.host = h
	n.after()
}

// outbox is where the host sends: the network, behind what makes the node
// Byzantine.
func (n *node) outbox() host.Outbox {
	if n.correct() || n.kind == "twins" {
		return sender{n}
	}
	out, err := n.w.behaviour(n, sender{n})
	if err != nil {
		panic("sim: " + err.Error())
	}
	return out
}

// round hands the inbox to the host.
func (n *node) round(inside func()) {
	n.host.Begin(n.ticks(), n.wall())
	if inside != nil {
		inside()
	}
	for i := 0; i < len(n.inbox); i++ {
		a := n.inbox[i]
		f, err := wire.Decode(a.raw)
		if err != nil {
			panic("sim: a frame was damaged on its way")
		}
		n.w.delivered++
		n.w.note(evRound, n.slot, a.from.Replica, f)
		n.w.check.court.heard(n, f)
		n.host.Receive(a.from, f)
	}
	n.inbox = n.inbox[:0]
	n.host.End()
	n.after()
}

// after does what the host wants done after a round.
func (n *node) after() {
	if why := n.host.Halted(); why != pbft.ReasonNone {
		if n.correct() {
			n.w.violate(n, "halt", "a correct replica halted: "+why.String())
		}
		n.halted = true
		n.die()
		return
	}
	if n.host.NeedsSync() {
		n.want = true
	}
	if n.want && n.syncing < 0 {
		n.sync()
	}
	if n.host.NeedsFlush() {
		n.flushLater()
	}
	if n.host.Wakes() && !n.ticking {
		n.ticking = true
		n.w.later(tick-n.local()%tick+1, event{kind: evTick, to: int32(n.slot), gen: n.boot})
	}
}

// beside runs work of the host after a while, one thing after the other.
func (n *node) beside(work func()) {
	if n.queue = append(n.queue, work); len(n.queue) == 1 {
		n.besideLater()
	}
}

func (n *node) besideLater() {
	boot := n.boot
	n.w.call(micros(n.w.c.Scale(1, n.w.plan.lag)), func() {
		if !n.up || n.boot != boot {
			return
		}
		n.queue[0]()
		if n.queue = n.queue[1:]; len(n.queue) > 0 {
			n.besideLater()
		}
		n.round(n.host.Ran)
	})
}

// flushLater makes the rows durable after a while.
func (n *node) flushLater() {
	boot := n.boot
	n.w.call(micros(n.w.c.Scale(100, 50_000)), func() {
		if !n.up || n.boot != boot {
			return
		}
		flushed, err := n.rows.Flush()
		if err != nil {
			panic("sim: flush: " + err.Error())
		}
		n.round(func() { n.host.Flushed(flushed) })
	})
}

// sync starts one that covers what was appended so far.
func (n *node) sync() {
	n.want = false
	n.syncing = len(n.disk.buffer)
	n.syncID++
	d := n.w.syncTime(n)
	n.w.later(d, event{kind: evSynced, to: int32(n.slot), gen: n.syncID})
	if d > 150*millisecond {
		boot := n.boot
		n.w.call(100*millisecond, func() {
			if n.up && n.boot == boot {
				n.round(n.host.DiskStall)
			}
		})
	}
}

// synced ends the sync under way.
func (n *node) synced() {
	position, err := n.disk.write(n.syncing)
	n.syncing = -1
	if err != nil {
		panic("sim: sync failed: " + err.Error())
	}
	n.seen.durable(position)
	n.round(func() { n.host.Synced(position) })
}

// kill ends the process: with power the disk loses what was not synced, else
// only what was not written. A sync under way came any way far.
func (n *node) kill(power bool) {
	if !n.up {
		return
	}
	random := n.w.c.Choose
	if n.syncing > 0 && random(2) == 0 {
		if random(2) == 0 {
			n.fs.CutPower(1 + random(8))
		}
		n.disk.write(n.syncing)
		n.fs.CutPower(0)
	}
	n.down(power)
}

// down forgets what only the process knew.
func (n *node) down(power bool) {
	n.die()
	if power {
		n.fs = n.fs.Crash()
		if n.rowFS != nil {
			n.rowFS = n.rowFS.Crash()
		}
	}
	if m, ok := n.rows.(*storage.MemRows); ok {
		n.rows = m.Crash(n.w.c.Choose)
		return
	}
	if err := n.rows.Close(); err != nil {
		panic("sim: rows: " + err.Error())
	}
	n.rows = nil
}

// die ends the process; the disk stays as it is.
func (n *node) die() {
	if n.host != nil {
		n.host.Close()
	}
	n.queue = nil
	n.up, n.host, n.syncing, n.inbox = false, nil, -1, nil
	n.syncID++
	n.boot++
	n.w.disconnect(n)
}

// stop ends the process cleanly.
func (n *node) stop() {
	n.round(n.host.Stop)
	for n.up && (n.want || n.syncing >= 0 || len(n.disk.buffer) > 0) {
		position, err := n.disk.write(len(n.disk.buffer))
		if err != nil {
			panic("sim: sync failed: " + err.Error())
		}
		n.syncing = -1
		n.syncID++
		n.want = false
		n.seen.durable(position)
		n.round(func() { n.host.Synced(position) })
	}
	if !n.up {
		return
	}
	if _, err := n.rows.Flush(); err != nil {
		panic("sim: flush: " + err.Error())
	}
	if err := n.disk.log.Close(true); err != nil {
		panic("sim: close: " + err.Error())
	}
	n.down(false)
}

// cut flushes the rows and drops the log that they make needless. With crash
// the power fails in the middle of it.
func (n *node) cut(crash bool) {
	flushed, err := n.rows.Flush()
	if err != nil {
		panic("sim: flush: " + err.Error())
	}
	carry := n.host.Carry(flushed)
	if carry == nil {
		return
	}
	for _, record := range n.disk.buffer {
		n.disk.log.Append(record)
	}
	n.disk.buffer, n.syncing, n.want = nil, -1, false
	n.syncID++
	if crash {
		n.fs.CutPower(1 + n.w.c.Choose(8))
	}
	err = n.disk.log.Cut(carry)
	switch {
	case err == nil:
		n.fs.CutPower(0)
	case errors.Is(err, storage.ErrPowerCut):
		n.fs.CutPower(0)
		n.down(true)
		return
	default:
		panic("sim: cut: " + err.Error())
	}
	n.disk.next = n.disk.log.Next()
	position := n.disk.next - 1
	for _, record := range carry {
		if s, ok := read(record); ok {
			n.seen.know(s)
		}
	}
	n.seen.durable(position)
	n.host.Carried(len(carry), position) // before anything else is appended
	n.round(nil)
	n.w.mark("cut")
}

// Execute implements machine.Machine: the store's, under the checkers' eyes.
func (n *node) Execute(rows machine.Rows, call machine.Call) []byte {
	result := kv.Machine{}.Execute(rows, call)
	if n.at != call.Seq {
		n.at, n.nth = call.Seq, 0
	}
	n.nth++
	if n.correct() {
		n.w.check.executed(n, call, n.nth, result)
	}
	return result
}

func (n *node) event(e pbft.Event) { n.w.check.event(n, e) }

func (n *node) recorded(e *pbft.Evidence, dropped []wire.Digest) {
	n.book = append(slices.DeleteFunc(n.book, func(x *pbft.Evidence) bool { return slices.Contains(dropped, x.ID()) }), e)
	n.w.check.court.record(n, e)
}

// store is the rows of a node, under the checkers' eyes.
type store struct {
	storage.Store
	n *node
}

// Set implements machine.Rows.
func (s store) Set(key, value []byte) {
	if len(key) == 9 && key[0] == 0 { // the group's own record
		s.n.state = append(s.n.state[:0], value...)
	}
	switch key[0] {
	case 1:
		s.n.digest.Write(slices.Concat(key, []byte{1}, value))
	case 4:
		s.n.saved = true
	}
	s.Store.Set(key, value)
}

// Delete implements machine.Rows.
func (s store) Delete(key []byte) {
	if key[0] == 1 {
		s.n.digest.Write(slices.Concat(key, []byte{0}))
	}
	s.Store.Delete(key)
}

// Commit implements host.Store.
func (s store) Commit(applied uint64) {
	n := s.n
	s.Store.Commit(applied)
	if last := len(n.state) - 1; last >= 0 { // which ends with the mark of a state being installed
		if n.correct() && n.state[last] == 0 {
			n.w.check.step(n, applied, n.state, n.digest.Sum(nil), n.partial || n.saved)
		}
		n.partial = n.state[last] == 1
	}
	n.state, n.digest, n.saved = n.state[:0], sha256.New(), false
}

// sender is the outbox of a host: the network.
type sender struct{ n *node }

// ToReplica implements host.Outbox.
func (s sender) ToReplica(id int, f *wire.Frame) {
	if s.n.correct() {
		s.n.w.check.sent(s.n, f)
	}
	s.n.w.transmit(s.n, id, f)
}

// ToClient implements host.Outbox.
func (s sender) ToClient(key auth.PublicKey, f *wire.Frame) { s.n.w.answer(s.n, key, f) }
