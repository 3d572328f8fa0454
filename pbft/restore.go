package pbft

import (
	"errors"

	"github.com/tagma-db/tagma/wire"
)

// ErrRecord says that a log record does not decode: the log is not ours, or
// was written by another version.
var ErrRecord = errors.New("log record does not decode")

// Restore collects the records of a log, oldest first, and makes the replica
// that wrote them. The zero value with Config set is ready.
type Restore struct {
	Config *Config

	mark      Seq
	view      View
	abstainIn View
	abstain   Seq
	change    *change
	changes   []*change
	newView   *Message
	own       []*Message // votes
	votes     []*Message // checkpoints
	stable    *Stable
	certs     map[Seq]*Prepared
	prepared  Seq // highest of certs
	executed  map[Seq]wire.Digest
	last      Seq // highest executed
	batches   map[wire.Digest]*batch
}

// Record takes the next record. Records of other groups and epochs are not
// for this replica and are passed over. The signatures were checked before
// the record was written, and the log's checksums protect it.
func (s *Restore) Record(record []byte) error {
	if s.batches == nil {
		s.batches, s.certs, s.executed = map[wire.Digest]*batch{}, map[Seq]*Prepared{}, map[Seq]wire.Digest{}
	}
	r := wire.NewReader(record)
	kind := r.U8()
	if group, epoch := r.U64(), r.U64(); group != s.Config.Group || epoch != s.Config.Epoch {
		return nil
	}
	if kind == 0 || kind >= recEnd {
		return ErrRecord
	}
	s.take(kind, &r)
	if r.Done() != nil {
		return ErrRecord
	}
	return nil
}

func (s *Restore) take(kind uint8, r *wire.Reader) {
	d := decoder{s.Config}
	switch kind {
	case recVote:
		s.takeVote(s.message(r))
	case recBatch:
		s.takeBatch(r)
	case recPrepared:
		p := d.prepared(r)
		s.mark, s.prepared = max(s.mark, p.Seq), max(s.prepared, p.Seq)
		if have := s.certs[p.Seq]; have == nil || have.View <= p.View {
			s.certs[p.Seq] = &p
		}
	case recView:
		s.takeView(r)
	case recChange:
		if m := s.message(r); m != nil {
			if c, ok := m.body.(*ViewChange); ok {
				s.changes = append(s.changes, &change{ViewChange: c, frame: m.Frame, author: m.Author()})
				return
			}
		}
		r.Fail()
	case recNewView:
		s.newView = s.message(r)
		if s.newView == nil || s.newView.Kind() != KindNewView {
			r.Fail()
		}
	case recCheckpoint:
		if m := s.message(r); m != nil && m.Kind() == KindCheckpoint {
			s.votes = append(s.votes, m)
			s.mark = max(s.mark, m.body.(*Checkpoint).Seq)
		}
	case recStable:
		if c := d.stable(r); c.seq() > s.stable.seq() {
			s.stable = c
			s.mark = max(s.mark, c.Seq)
		}
	case recExecuted:
		seq := Seq(r.U64())
		if seq == 0 || seq > maxSeq {
			r.Fail()
			return
		}
		s.executed[seq] = r.Digest()
		s.last, s.mark = max(s.last, seq), max(s.mark, seq)
	case recMark:
		s.mark = max(s.mark, Seq(r.U64()))
		s.abstainIn, s.abstain = View(r.U64()), Seq(r.U64())
		if max(s.mark, s.abstain) > maxSeq {
			r.Fail()
		}
	}
}

// message decodes one logged frame.
func (s *Restore) message(r *wire.Reader) *Message {
	f, err := wire.Decode(r.Bytes(wire.MaxFrame))
	if err != nil {
		r.Fail()
		return nil
	}
	m, err := Decode(s.Config, f)
	if err != nil {
		r.Fail()
		return nil
	}
	return m
}

func (s *Restore) takeVote(m *Message) {
	if m == nil {
		return
	}
	if v, ok := m.body.(*Vote); ok {
		s.own = append(s.own, m)
		s.mark = max(s.mark, v.Seq)
	}
}

func (s *Restore) takeBatch(r *wire.Reader) {
	m := s.message(r)
	if m == nil {
		return
	}
	content, ok := m.body.(*Batch)
	if !ok {
		r.Fail()
		return
	}
	b := &batch{Batch: *content, frame: m.Frame, whole: true, logged: true}
	for range r.Count(MaxBatch, wire.SignedOverhead) {
		m := s.message(r)
		if m == nil {
			return
		}
		q, ok := m.body.(*Request)
		if !ok {
			r.Fail()
			return
		}
		b.requests = append(b.requests, q)
	}
	s.batches[m.Frame.Digest()] = b
}

func (s *Restore) takeView(r *wire.Reader) {
	v := View(r.U64())
	if v > maxView {
		r.Fail()
		return
	}
	raw := r.Bytes(wire.MaxFrame)
	s.view, s.change, s.newView, s.changes, s.own = v, nil, nil, nil, nil
	if len(raw) == 0 {
		return
	}
	f, err := wire.Decode(raw)
	if err != nil {
		r.Fail()
		return
	}
	m, err := Decode(s.Config, f)
	if err != nil || m.Kind() != KindViewChange {
		r.Fail()
		return
	}
	s.change = &change{ViewChange: m.body.(*ViewChange), frame: f, author: m.Author()}
}

// Applied is where the rows stand.
type Applied struct {
	Seq     Seq
	Time    int64 // agreed time at Seq
	History wire.Digest
	Partial bool // another state was being installed over it
}

// Replica makes the replica. clean says that the log's last record was
// written by a clean stop, or is the genesis record: all own votes are known.
// out gets the executions to repeat above applied, and what must be said and
// logged first.
func (s *Restore) Replica(o Options, applied Applied, clean bool, out *Effects) *Replica {
	r := newReplica(o)
	r.eff = out
	r.view, r.active = s.view, s.view == 0 || s.newView != nil
	r.mark, r.prepared = max(s.mark, applied.Seq), s.prepared
	r.ordered, r.agreed, r.history = applied.Seq, applied.Time, applied.History
	if s.stable != nil {
		r.stable, r.low = s.stable, s.stable.Seq
	}
	r.change, r.newView, r.newChanges = s.change, s.newView, s.changes
	if s.change != nil {
		r.changes[r.self] = s.change
	}
	for d, b := range s.batches { //order-free: fills a map
		r.store.batches[d] = b
		for _, q := range b.requests {
			r.store.keepRequest(q)
		}
	}
	for _, m := range s.votes {
		r.keepVote(r.self, m)
		r.rootedAt = max(r.rootedAt, m.body.(*Checkpoint).Seq)
	}
	s.slots(r)
	r.abstainIn, r.abstain = s.abstainIn, s.abstain
	if !clean && r.active {
		r.abstainIn, r.abstain = r.view, max(r.abstain, r.mark+r.p.Window)
	}
	r.logMark()
	r.eff.Sync = true
	if r.behind = applied.Partial; !r.behind {
		s.replay(r)
	}
	r.transfer()
	r.next = max(r.next, r.ordered+1, r.low+1)
	r.resendWait = 4 * r.p.StatusMin
	r.statusAt = r.now + r.p.StatusMin
	r.ask(ToAll)
	r.tryJoined() // a group of one
	out.Wake = r.armed()
	r.eff = nil
	return r
}

// slots puts certificates and own votes of the present view back.
func (s *Restore) slots(r *Replica) {
	if r.active && r.newView != nil {
		v := r.newView.body.(*NewView)
		for _, p := range v.Proposals {
			vote := p.body.(*Vote)
			r.fixed = max(r.fixed, vote.Seq)
			if vote.Seq > r.low && vote.Seq <= r.low+r.p.Log {
				x := r.slot(vote.Seq)
				x.proposal = p
				if r.isPrimary() {
					x.own, x.voted = p, true
				}
			}
		}
		r.next = r.fixed + 1
	}
	for seq := r.low + 1; seq <= r.low+r.p.Log; seq++ {
		c := s.certs[seq]
		if c == nil || c.Digest != (wire.Digest{}) && s.batches[c.Digest] == nil {
			continue
		}
		x := r.slot(seq)
		x.cert = c
		if c.View == r.view && r.active {
			f := c.proposal
			vote := c.Vote
			x.proposal, x.certain = &Message{Frame: f, body: &vote}, true
			x.commits[r.self] = commit{c.Vote, true} // durable: it may be said again
			r.eager(ToAll, wire.Encode(r.cfg.header(KindCommit, r.self), c.Vote.encode()))
		}
	}
	for _, m := range s.own {
		v := m.body.(*Vote)
		if v.View != r.view || v.Seq <= r.low || v.Seq > r.low+r.p.Log {
			continue
		}
		x := r.slot(v.Seq)
		x.own, x.voted = m, true
		if m.Kind() == KindPrepare {
			x.prepares[r.self] = m
		} else {
			x.proposal = m
			r.next = max(r.next, v.Seq+1)
		}
		r.eager(ToAll, m.Frame)
	}
}

// replay files what the log says was executed up to the rows, for replicas
// that lag, and executes again what lies above.
func (s *Restore) replay(r *Replica) {
	first := r.ordered + 1
	for first > 1 && s.batch(r, first-1) != nil {
		first--
	}
	for seq := first; seq <= r.ordered; seq++ {
		r.store.archive.add(done{seq: seq, digest: s.executed[seq], batch: s.batch(r, seq)})
	}
	for seq := r.ordered + 1; seq <= s.last; seq++ {
		b := s.batch(r, seq)
		if b == nil {
			return // cut off with the tail: others know
		}
		r.deliver(seq, s.executed[seq], b)
	}
	r.store.archive.trim(r.low, r.kept, &r.p)
}

// batch returns the whole batch that the log says was executed at seq, or nil.
func (s *Restore) batch(r *Replica, seq Seq) *batch {
	d, ok := s.executed[seq]
	if !ok {
		return nil
	}
	if b := r.store.batch(d); b != nil && b.whole {
		return b
	}
	return nil
}
