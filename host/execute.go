package host

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"

	"github.com/tagma-db/tagma/machine"
	"github.com/tagma-db/tagma/pbft"
	"github.com/tagma-db/tagma/wire"
)

// Row keys. The group's own record stands alone; all else under the root stands
// under the hash of its keyspace, so that a partition is one range of rows:
//
//	0 | group 8                              the group's own record
//	1 | SHA-256(keyspace) 32 | 0 | …         sessions and results (session.go)
//	1 | SHA-256(keyspace) 32 | 1 | …         the machine's rows
//	2 to 5                                   trees (checkpoint.go)
const (
	spaceGroup     = 0
	spacePartition = 1
	partSessions   = 0
	partMachine    = 1
)

// groupState is the group's own record: where execution stands.
type groupState struct {
	seq      uint64
	time     int64 // agreed time
	history  wire.Digest
	bytes    uint64 // of request bodies since the last boundary
	boundary uint64 // the last slot at which the order asked for a checkpoint
	partial  bool   // a state is being installed: rows are of no one slot
}

// spaceKey is the key of a group's one row in a space, and the prefix of others.
func spaceKey(space byte, group uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{space}, group)
}

func (g *groupState) encode() []byte {
	var w wire.Writer
	w.U64(g.seq)
	w.I64(g.time)
	w.Raw(g.history[:])
	w.U64(g.bytes)
	w.U64(g.boundary)
	w.Bool(g.partial)
	return w.B
}

func decodeState(b []byte) (g groupState, err error) {
	r := wire.NewReader(b)
	g = groupState{seq: r.U64(), time: r.I64(), history: r.Digest(), bytes: r.U64(), boundary: r.U64(), partial: r.Bool()}
	return g, r.Done()
}

func (h *Host) loadState() (err error) {
	value, ok := h.o.Store.Get(spaceKey(spaceGroup, h.cfg.Group))
	if !ok {
		if h.o.Store.Applied() != 0 {
			return errors.New("the row store holds rows but not this group's record: it belongs to another group")
		}
		return nil
	}
	h.state, err = decodeState(value)
	return err
}

// execute runs one committed batch as one atomic step of the store.
func (h *Host) execute(o *pbft.Ordered) {
	g, group := &h.state, h.cfg.Group
	if uint64(o.Seq) != g.seq+1 || g.partial {
		panic("host: slots out of order")
	}
	g.seq, g.history = uint64(o.Seq), o.History
	g.time = max(g.time, o.Time)
	t := &tracked{store: h.o.Store, changes: changes{}}
	for _, q := range o.Requests {
		g.bytes += uint64(len(q.Frame().Raw()))
		h.executeRequest(t, q)
	}
	boundary := o.Interval || g.bytes >= uint64(h.cfg.Params.IntervalSize)
	if boundary {
		g.bytes, g.boundary = 0, g.seq
	}
	if boundary || len(t.changes) > 0 {
		journal := encodeJournal(boundary, t.changes.sorted())
		h.o.Store.Set(slotKey(spaceJournal, group, g.seq), journal)
		h.journal += len(journal)
		maps.Copy(h.changes, t.changes)
	}
	h.o.Store.Set(spaceKey(spaceGroup, group), g.encode())
	h.o.Store.Commit(g.seq)
	if boundary {
		h.checkpoint(true, false)
	}
}

// executeRequest runs one request at most once and answers its client.
func (h *Host) executeRequest(t *tracked, q *pbft.Request) {
	space := t.scope(q.Keyspace, partSessions)
	s := h.openSession(space, q, h.state.time)
	if t.visited > maxVisits && s.verdict == verdictRun {
		s.verdict = verdictLater // this batch has cost enough
	}
	switch s.verdict {
	case verdictRun:
	case verdictDone: // executed before, this number or this very request: skipped
		return
	case verdictLater:
		h.reply(q, pbft.Reply{Status: pbft.Refused})
		return
	default:
		h.reply(q, pbft.Reply{Status: s.status, Seq: pbft.Seq(h.state.seq)})
		return
	}
	rows := t.scope(q.Keyspace, partMachine)
	call := machine.Call{Keyspace: q.Keyspace, Principal: q.Client, Seq: h.state.seq, Time: h.state.time}
	var w wire.Writer
	left := pbft.MaxResult - 4*q.Count
	q.Each(func(op []byte) {
		call.Op = op
		var result []byte
		if t.visited <= maxVisits {
			result = h.o.Machine.Execute(rows, call)
		}
		if len(result) > left {
			result = nil // too large: an empty result says so
		}
		left -= len(result)
		pbft.EncodeResults(&w, result)
	})
	result := pbft.Reply{Status: pbft.Done, Seq: pbft.Seq(h.state.seq), Digest: pbft.ResultDigest(w.B), Result: w.B}
	s.save(space, q, &result, h.state.time)
	result.Full = h.designated(q) == h.o.Self
	if !result.Full {
		result.Result = nil
	}
	h.reply(q, result)
}

// designated is the replica that sends a request's result; the others send
// its digest.
func (h *Host) designated(q *pbft.Request) int {
	return int((binary.BigEndian.Uint64(q.Session[8:]) + q.Number) % uint64(len(h.cfg.Members)))
}

// reply answers the client of q.
func (h *Host) reply(q *pbft.Request, p pbft.Reply) {
	if h.o.Store.Err() != nil {
		return // made from rows that could not be read (D6)
	}
	p.Session, p.Number, p.View = q.Session, q.Number, h.replica.View()
	h.o.Outbox.ToClient(q.Client, p.Frame(h.cfg, h.o.Self))
}

// maxVisits is how many rows the scans of one batch may pass: about a third of
// a second. What comes after it in the batch is refused, or answered as too
// large if it stands in a request that has begun.
const maxVisits = 2 << 20

// tracked is the store as a batch sees it: every write is noted for the trees.
type tracked struct {
	store   machine.Rows
	visited int // rows that scans have passed
	changes changes
}

// scope gives the rows of one part of one keyspace.
func (t *tracked) scope(keyspace []byte, part byte) *scoped {
	sum := sha256.Sum256(keyspace)
	prefix := make([]byte, 0, 34)
	prefix = append(prefix, spacePartition)
	prefix = append(prefix, sum[:]...)
	return &scoped{t: t, store: t.store, prefix: append(prefix, part)}
}

// scoped is the rows under one prefix.
type scoped struct {
	t      *tracked
	store  machine.Rows
	prefix []byte
	buffer []byte
}

func (s *scoped) key(key []byte) []byte {
	s.buffer = append(append(s.buffer[:0], s.prefix...), key...)
	return s.buffer
}

func (s *scoped) Get(key []byte) ([]byte, bool) { return s.store.Get(s.key(key)) }

func (s *scoped) Set(key, value []byte) {
	full := s.key(key)
	s.t.changes[string(full)] = written{value: sha256.Sum256(value), length: uint64(len(value))}
	s.store.Set(full, value)
}

func (s *scoped) Delete(key []byte) {
	full := s.key(key)
	s.t.changes[string(full)] = written{deleted: true}
	s.store.Delete(full)
}

func (s *scoped) bounds(lo, hi []byte) (from, to []byte) {
	from = append(append([]byte(nil), s.prefix...), lo...)
	if hi != nil {
		return from, append(append([]byte(nil), s.prefix...), hi...)
	}
	to = append([]byte(nil), s.prefix...)
	to[len(to)-1]++ // the part byte is 0 or 1
	return from, to
}

func (s *scoped) Scan(lo, hi []byte, yield func(key, value []byte) bool) {
	from, to := s.bounds(lo, hi)
	s.store.Scan(from, to, func(key, value []byte) bool {
		s.t.visited++
		return yield(key[len(s.prefix):], value)
	})
}

func (s *scoped) ScanBack(lo, hi []byte, yield func(key, value []byte) bool) {
	from, to := s.bounds(lo, hi)
	s.store.ScanBack(from, to, func(key, value []byte) bool {
		s.t.visited++
		return yield(key[len(s.prefix):], value)
	})
}
