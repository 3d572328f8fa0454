package pbft

import (
	"github.com/tagma-db/tagma/wire"
)

// The state at a stable checkpoint, and how a replica that is below it gets
// it (docs/protocol.md section 7). What it consists of is the host's business:
// the core says that it is needed and learns that it is installed.

// StatePart is what a StateFetch asks for.
type StatePart uint8

// Parts of a state, in the order in which they are fetched.
const (
	StateHead  StatePart = iota // what the root is made of
	StateNodes                  // nodes of one tree, by where they stand
	StateRows                   // values of rows, by key
	statePartEnd
)

// MaxRowKey bounds a key in a StateFetch, in bytes: that of package merkle.
const MaxRowKey = 64 << 10

// StateFetch asks one replica for parts of the state at its checkpoint Seq.
type StateFetch struct {
	ID    uint64 // the answer carries it
	Seq   Seq
	Part  StatePart
	Tree  uint16      // for StateNodes: which one
	Items []StateItem // at most MaxFetch; none for the head
}

// StateItem is a row's key, or where a node stands: its level, and the key
// from which its keys are on.
type StateItem struct {
	Level uint8
	Key   []byte
}

// Frame encodes the fetch as replica author.
func (s *StateFetch) Frame(c *Config, author int) *wire.Frame {
	var w wire.Writer
	w.U64(s.ID)
	w.U64(uint64(s.Seq))
	w.U8(uint8(s.Part))
	w.U16(s.Tree)
	w.U16(uint16(len(s.Items)))
	for _, item := range s.Items {
		w.U8(item.Level)
		w.Bytes(item.Key)
	}
	return wire.Encode(c.header(KindStateFetch, author), w.B)
}

func decodeStateFetch(r *wire.Reader) *StateFetch {
	s := &StateFetch{ID: r.U64(), Seq: Seq(r.U64()), Part: StatePart(r.U8()), Tree: r.U16()}
	if n := r.Count(MaxFetch, 5); n > 0 {
		s.Items = make([]StateItem, n)
		for i := range s.Items {
			s.Items[i] = StateItem{r.U8(), r.Bytes(MaxRowKey)}
			if s.Part == StateRows && s.Items[i].Level != 0 {
				r.Fail()
			}
		}
	}
	if s.Seq == 0 || s.Seq > maxSeq || s.Part >= statePartEnd || (s.Part == StateHead) != (len(s.Items) == 0) ||
		s.Part != StateNodes && s.Tree != 0 {
		r.Fail()
	}
	return s
}

// StateBlob answers a StateFetch: the first items of those asked for, in their
// order. Not held: the checkpoint is not there any more.
type StateBlob struct {
	ID    uint64
	Held  bool
	Items [][]byte // at most MaxFetch
}

// Frame encodes the blob as replica author.
func (s *StateBlob) Frame(c *Config, author int) *wire.Frame {
	size := 16
	for _, item := range s.Items {
		size += 4 + len(item)
	}
	w := wire.Writer{B: make([]byte, 0, size)}
	w.U64(s.ID)
	w.Bool(s.Held)
	w.U16(uint16(len(s.Items)))
	for _, item := range s.Items {
		w.Bytes(item)
	}
	return wire.Encode(c.header(KindStateBlob, author), w.B)
}

func decodeStateBlob(r *wire.Reader) *StateBlob {
	s := &StateBlob{ID: r.U64(), Held: r.Bool()}
	if n := r.Count(MaxFetch, 4); n > 0 {
		s.Items = make([][]byte, n)
		for i := range s.Items {
			s.Items[i] = r.Bytes(wire.MaxFrame)
		}
	}
	if !s.Held && len(s.Items) > 0 {
		r.Fail()
	}
	return s
}

// StateFetch returns the message's body if it is a state fetch.
func (m *Message) StateFetch() (*StateFetch, bool) {
	s, ok := m.body.(*StateFetch)
	return s, ok
}

// StateBlob returns the message's body if it is a state blob.
func (m *Message) StateBlob() (*StateBlob, bool) {
	s, ok := m.body.(*StateBlob)
	return s, ok
}

// transfer tells the host which state to fetch, while this replica is behind:
// the newest for which f+1 vouch, one of them correct. The stable one need not
// be there any more where others have started again since, and without this
// replica no newer one may become stable.
func (r *Replica) transfer() {
	if !r.behind || r.stable.seq() <= r.ordered {
		return
	}
	best := r.stable
	for _, list := range r.votes {
		for _, m := range list {
			k := m.body.(*Checkpoint)
			if k.Seq <= best.Seq {
				break
			}
			if frames := r.vouchers(k); len(frames) >= r.n.Weak() {
				best = &Stable{Checkpoint: *k, frames: frames}
				break
			}
		}
	}
	r.eff.Transfer = best
}

// vouchers are the checkpoints that are equal to k.
func (r *Replica) vouchers(k *Checkpoint) (frames []*wire.Frame) {
	for _, list := range r.votes {
		for _, m := range list {
			if *m.body.(*Checkpoint) == *k {
				frames = append(frames, m.Frame)
			}
		}
	}
	return frames
}

// onInstalled goes on from a state that the host fetched, durable by now.
func (r *Replica) onInstalled(in Installed) {
	if in.Seq <= r.ordered {
		panic("pbft: installed a state that is no news")
	}
	r.ordered, r.agreed, r.history = in.Seq, in.Time, in.History
	r.behind, r.progress, r.start = false, r.now, r.now
	r.rootedAt = max(r.rootedAt, in.Seq)
	r.next = max(r.next, in.Seq+1)
	r.store.archive = newArchive()
	r.event(Event{Kind: EventInstalled, Peer: -1, Seq: in.Seq})
	var executed []*entry
	for _, e := range r.pending.order {
		if !e.gone && r.judge.Judge(e.request, max(r.agreed, r.wall)) == Executed {
			executed = append(executed, e)
		}
	}
	for _, e := range executed {
		r.discard(e)
	}
	r.sweep()
	r.ask(ToAll)
	r.advanceAll()
}
